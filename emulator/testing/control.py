"""The control API of a running emulator, with nothing but the standard library.

A connection for each call, so that threads and forked processes may share one `Control`; never through a proxy, since
what is asked for is beside the test. Owns the sentences for a server that is not there, or is none of ours.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from functools import cached_property
from http.client import HTTPConnection, HTTPException, HTTPSConnection, InvalidURL
from typing import Any
from urllib.parse import urlencode, urlsplit

BASE = "/_emulator"
SECONDS = 30.0
"""How long a call may take."""
MOST_NAMES = 12
"""Names that an error lists."""


class EmulatorError(Exception):
    """What the emulator could not do, in one sentence."""


EmulatorError.__module__ = "emulator.testing"


class Control:
    """The control API of the emulator at an address such as `http://127.0.0.1:8787`.

    `token` is what a server that is bound beyond loopback asks for. Raises EmulatorError for an address that is none.
    """

    def __init__(self, url: str, token: str | None = None) -> None:
        try:
            parts = urlsplit(url)
            self._host, self._port = parts.hostname, parts.port
        except ValueError:
            parts, self._host = urlsplit(""), None
        if parts.scheme not in ("http", "https") or not self._host or parts.query or parts.fragment:
            raise EmulatorError(f"Expected an address such as http://127.0.0.1:8787, got {url!r}.")
        self.url = url.rstrip("/")
        self._path = parts.path.rstrip("/")
        self._secure = parts.scheme == "https"
        self._token = token
        self._checked = False

    def check(self) -> None:
        """Raise EmulatorError unless an emulator answers here."""
        __tracebackhide__ = True
        health = self.call("GET", "/health")
        if not isinstance(health, dict) or health.get("status") != "ok":
            raise self._stranger("its /_emulator/health is not ours")
        self._checked = True

    @cached_property
    def backends(self) -> dict[str, dict[str, Any]]:
        """The backends that are served, by name, as `GET /_emulator/backends` shows them."""
        __tracebackhide__ = True
        return {one["name"]: one for one in self.call("GET", "/backends")["backends"]}

    def backend(self, name: str) -> dict[str, Any]:
        """One backend. Raises EmulatorError with the names there are."""
        __tracebackhide__ = True
        known = self.backends
        if name not in known:
            raise EmulatorError(f"There is no backend {name!r}; there are {', '.join(known)}.")
        return known[name]

    def call(self, method: str, path: str, body: Any = None, query: Mapping[str, Any] | None = None) -> Any:
        """Call `path` below `/_emulator`; returns the reply's JSON, None for an empty one. Raises EmulatorError when
        nobody answers, or what was asked for is refused."""
        __tracebackhide__ = True
        status, content_type, data = self._exchange(method, path, body, query)
        if status >= 500 and self._checked and content_type != "application/problem+json":
            raise EmulatorError(f"The emulator at {self.url} failed ({status}); its log says why.")
        try:
            value = json.loads(data) if data else None
        except ValueError:
            raise self._stranger(f"{method} {BASE}{path} gave {status} and no JSON") from None
        if status < 300:
            return value
        if content_type != "application/problem+json" or not isinstance(value, dict):
            raise self._stranger(f"{method} {BASE}{path} gave {status}")
        if status == 401:
            asks = f"The emulator at {self.url} asks for its token: put what it printed at start into"
            raise EmulatorError(f"{asks} CHAT_EMULATOR_TOKEN.")
        raise EmulatorError(_refusal(value))

    def _exchange(self, method: str, path: str, body: Any, query: Mapping[str, Any] | None) -> tuple[int, str, bytes]:
        __tracebackhide__ = True
        headers = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        data = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            data = _json(body)
        chosen = {name: value for name, value in (query or {}).items() if value is not None}
        target = f"{self._path}{BASE}{path}{'?' + urlencode(chosen) if chosen else ''}"
        kind = HTTPSConnection if self._secure else HTTPConnection
        assert self._host is not None
        try:
            with contextlib.closing(kind(self._host, self._port, timeout=SECONDS)) as connection:
                connection.request(method, target, data, headers)
                reply = connection.getresponse()
                return reply.status, reply.headers.get_content_type(), reply.read()
        except OSError as error:
            raise EmulatorError(f"No emulator answers at {self.url}: {_why(error)}.") from None
        except InvalidURL:
            raise EmulatorError(f"The emulator at {self.url} cannot be called: its address is no URL.") from None
        except HTTPException as error:
            raise self._stranger(f"its answer is no HTTP ({type(error).__name__})") from None
        except (RuntimeError, ValueError) as error:
            # Sockets that a test has replaced, so that none are opened; a host that is no name.
            what = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(".: ")
            raise EmulatorError(f"The emulator at {self.url} cannot be called: {what}.") from None

    def _stranger(self, why: str) -> EmulatorError:
        return EmulatorError(f"What answers at {self.url} is no chat-emulator: {why}.")


def _json(body: Any) -> str:
    """A body as it is sent. Raises EmulatorError with the member that JSON has no words for."""
    __tracebackhide__ = True
    try:
        return json.dumps(body, allow_nan=False)
    except (TypeError, ValueError) as error:
        for name, value in body.items() if isinstance(body, Mapping) else ():
            with contextlib.suppress(TypeError, ValueError):
                json.dumps(value, allow_nan=False)
                continue
            raise EmulatorError(f"{name}: expected what JSON can say, got another {type(value).__name__}.") from None
        raise EmulatorError(f"Expected what JSON can say: {str(error).lower()}.") from None


def _why(error: OSError) -> str:
    if isinstance(error, TimeoutError):
        return f"no answer within {SECONDS:g} seconds"
    return (error.strerror or str(error) or type(error).__name__).lower()


def _refusal(problem: Mapping[str, Any]) -> str:
    detail = str(problem.get("detail", problem)).removeprefix("body").removeprefix("/")
    if detail.startswith(":"):
        detail = f"the body{detail}"
    detail += "" if detail.endswith((".", "?", "!")) else "."
    available = [str(name) for name in problem.get("available") or ()]
    if "Did you mean" in detail or all(name in detail for name in available):
        return detail
    names = ", ".join(available[:MOST_NAMES])
    return f"{detail} There are: {names}{', …' if len(available) > MOST_NAMES else ''}."
