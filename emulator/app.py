"""Settings → one ASGI application. The only file that knows all the parts."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Route

from emulator.contract.document import problems
from emulator.control import index
from emulator.control.api import Control, NotAllowed
from emulator.control.behaviours import Server
from emulator.control.guard import LOOPBACK
from emulator.control.route import ControlRoute
from emulator.edge import BackendRoute, Prefixed
from emulator.errors import Misused, nearest
from emulator.replies import problem
from emulator.service import Service, spec_files
from emulator.settings import Settings
from emulator.world.session import Sessions

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


class App:
    """The application and what it is made of. Call it as ASGI."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.services = open_services(settings)
        self.sessions = Sessions(settings)
        self.control = Control(Server(self.services, self.sessions, settings))
        self.token = None if settings.host in LOOPBACK else settings.token or secrets.token_urlsafe(24)
        # `debug` off and no middleware of Starlette's: errors are answered in the pipeline.
        self._asgi = Prefixed(Starlette(routes=self._routes()))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """ASGI."""
        await self._asgi(scope, receive, send)

    def warm(self) -> None:
        """Open everything that the first calls would wait for. Safe in a thread."""
        for service in self.services.values():
            service.warm()
        self.control.warm()

    def stop_streams(self) -> None:
        """End every stream under way. Call it on the loop."""
        for session in self.sessions:
            session.stop_all()
        self.control.stop()

    def _routes(self) -> list[BaseRoute]:
        mounted: list[BaseRoute] = []
        for name, service in self.services.items():
            mounted += [_spec_route(service, "json"), _spec_route(service, "yaml")]
            mounted.append(BackendRoute(f"/{name}", service, self.sessions, self.settings))
        routes: list[BaseRoute] = [
            ControlRoute(self.control, self.token),
            Route("/", self._index, methods=["GET"]),
        ]
        if len(self.services) == 1:
            # The documented place: `serve dify` answers at /v1 as well.
            (service,) = self.services.values()
            routes.append(BackendRoute("", service, self.sessions, self.settings))
        else:
            routes.append(Route("/{rest:path}", self._no_backend, methods=METHODS))
        return [*mounted, *routes]

    def _no_backend(self, request: Request) -> Response:
        bases = [f"/{name}{service.bases()[0]}" for name, service in self.services.items()]
        return _problem(Misused("Nothing here", "No backend has this address.", bases, 404))

    def _index(self, request: Request) -> Response:
        return HTMLResponse(index.page(self.services, f"{request.url.scheme}://{request.url.netloc}"))


def create_app(settings: Settings | None = None, **changes: Any) -> App:
    """An ASGI application. Takes Settings, or the members of Settings to change: `create_app(seed=7, speed=0)`.

    Raises Misused for a backend that is not there, Broken for a file that cannot be used.
    """
    if settings is not None and changes:
        raise TypeError("give Settings or their members, not both")
    return App(settings if settings is not None else Settings(**changes))


def open_services(settings: Settings) -> dict[str, Service]:
    """The chosen backends by name. Own files are read at once, so that a broken one is told at start."""
    files = spec_files(settings)
    chosen = settings.backends or tuple(files)
    for name in chosen:
        if name not in files:
            near = nearest(name, files)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise Misused("Unknown backend", f"There is no backend {name!r}.{hint}", files)
    services = {name: Service(name, files[name], settings) for name in dict.fromkeys(chosen)}
    for name, keys in settings.keys.items():
        _check_keys(services.get(name), name, keys)
    for service in services.values():
        if service.file.parent == settings.specs:
            _check(service)
        if settings.modules is not None and (settings.modules / f"{service.name}.py").is_file():
            service.backend  # noqa: B018  # opened now, so that a broken module is told at start
        if settings.scenarios is not None:
            service.scenarios.all()
    return services


def _check_keys(service: Service | None, name: str, keys: Mapping[str, str]) -> None:
    """Raise Misused for keys of a backend that is not served, or that has no such account."""
    if service is None:
        raise Misused("Unknown backend", f"Keys are given for {name!r}, which is not served.")
    accounts = service.backend.accounts
    for key, account in keys.items():
        if accounts is not None and account not in accounts:
            what = f"{name} has no account {account!r} for the key {key!r}."
            raise Misused("Unknown account", what if accounts else f"{name} takes no further keys.", sorted(accounts))


def _check(service: Service) -> None:
    """Raise Broken with the first mistake of an own spec; bundled ones are checked before they are bundled."""
    document = service.document
    mistakes = problems(document.file)
    if mistakes:
        raise mistakes[0]


def _problem(error: Misused, headers: Mapping[str, str] | None = None) -> Response:
    reply = problem(error)
    return Response(reply.body, reply.status, headers=headers, media_type="application/problem+json")


# A document may be read by any page: documentation viewers run elsewhere.
OPEN = {"Access-Control-Allow-Origin": "*"}
READ = ("GET", "HEAD", "OPTIONS")
ALLOW = {"Allow": ", ".join(READ)}
PREFLIGHT = {"Access-Control-Allow-Methods": ", ".join(READ), "Access-Control-Allow-Headers": "*"}


def _spec_route(service: Service, kind: str) -> Route:
    def endpoint(request: Request) -> Response:
        if request.method == "OPTIONS":
            return Response(headers=OPEN | ALLOW | PREFLIGHT)
        if request.method not in READ:
            return _problem(NotAllowed(request.method, READ), OPEN | ALLOW)
        try:
            # Another version is worked out once for each document; a thread of its own does it.
            text = service.document.renditions.text(request.query_params.getlist("version"), kind)
        except Misused as error:
            return _problem(error, OPEN)
        return Response(text, media_type=f"application/{kind}", headers=OPEN)

    return Route(f"/{service.name}/openapi.{kind}", endpoint, methods=METHODS)
