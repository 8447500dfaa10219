"""`/_emulator/`: what is served, and the sessions. Only for this machine and same-origin pages.

Refuses what a hostile web page could send: a `Host` that is no loopback name (DNS rebinding), an `Origin` or
`Sec-Fetch-Site` of somebody else. No CORS here, ever. Bound beyond loopback it asks for a bearer token.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from emulator import __version__
from emulator.errors import Misused
from emulator.replies import problem
from emulator.service import Service
from emulator.settings import Settings
from emulator.world.session import Sessions

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]", "::1"})
LOOPBACK_HOST = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?", re.IGNORECASE)


def routes(services: Mapping[str, Service], sessions: Sessions, settings: Settings, token: str | None) -> list[Route]:
    """The control routes. `token` is None when the server is bound to loopback."""

    def guarded(endpoint: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        # A coroutine, so that it runs on the loop: what ends streams must not come from another thread.
        async def guard(request: Request) -> Response:
            try:
                check(request, token)
                return endpoint(request)
            except Misused as error:
                reply = problem(error)
                return Response(reply.body, reply.status, media_type="application/problem+json")

        return guard

    def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "version": __version__, "sessions": len(sessions)})

    def backends(request: Request) -> Response:
        return JSONResponse({"backends": [describe(service) for service in services.values()]})

    def reset(request: Request) -> Response:
        sessions.reset(request.path_params["session"])
        return Response(status_code=204)

    return [
        Route("/_emulator/health", guarded(health), methods=["GET"]),
        Route("/_emulator/backends", guarded(backends), methods=["GET"]),
        Route("/_emulator/sessions/{session}", guarded(reset), methods=["DELETE"]),
    ]


def describe(service: Service) -> dict[str, object]:
    """One backend as the control API shows it."""
    backend = service.backend
    return {
        "name": service.name,
        "title": backend.title,
        "base": f"/{service.name}{service.bases()[0]}",
        "spec": f"/{service.name}/openapi.json",
        "operations": len(service.document.operations),
        "credentials": [{"value": one.value, "what": one.what} for one in backend.credentials],
        "scenarios": service.scenarios.names(),
        "differences": [
            {"name": one.name, "documented": one.documented, "observed": one.observed, "source": one.source}
            for one in backend.differences
        ],
    }


def check(request: Request, token: str | None) -> None:
    """Raise Misused (403, or 401 for the token) unless the caller may use the control API."""
    if token is not None:
        given = request.headers.get("authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            raise Misused("Token needed", "Send the token that was printed at start as a bearer token.", status=401)
        return
    host = request.headers.get("host", "")
    if not LOOPBACK_HOST.fullmatch(host):
        raise Misused("Not a loopback host", f"The control API does not answer for the host {host[:80]!r}.", status=403)
    origin = request.headers.get("origin")
    if origin is not None and origin != f"{request.url.scheme}://{host}":
        raise Misused("Not the same origin", f"The control API does not answer to {origin[:80]!r}.", status=403)
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Misused("Not the same origin", "The control API answers to its own pages only.", status=403)
