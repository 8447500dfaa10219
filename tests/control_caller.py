"""A caller of the control API. Every reply it gets is held against the API's own document."""

from __future__ import annotations

from typing import Any

import httpx

from emulator.call import Reply
from emulator.contract.lookup import Undecodable
from emulator.testing.server import ThreadedServer


class Control:
    """One client. `call` takes what is below `/_emulator`."""

    def __init__(self, server: ThreadedServer) -> None:
        self.server = server
        # Nothing is encrypted here, and making a TLS context takes longer than most of these tests.
        self.http = httpx.Client(base_url=f"{server.url}/_emulator", timeout=20, verify=False)

    def call(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """A call; its reply is as documented, a refusal is a problem, and nothing is for other origins."""
        reply = self.http.request(method, path, **arguments)
        assert reply.status_code < 500, reply.text
        assert not [name for name in reply.headers if name.startswith("access-control-")]
        control = self.server.app.control
        if reply.status_code >= 400:
            assert reply.headers["content-type"] == "application/problem+json"
            assert reply.json()["status"] == reply.status_code
        try:
            found = control.lookup.find(method, reply.request.url.raw_path.decode().partition("?")[0])
        except Undecodable:
            found = None
        if found is not None and found.target is not None:
            inside = Reply(reply.status_code, tuple(reply.headers.items()), reply.content)
            assert control.inspector.reply(found.target, inside) == []
        return reply

    def ok(self, method: str, path: str, **arguments: Any) -> Any:
        """What a call gives that is done: its JSON, None for nothing."""
        reply = self.call(method, path, **arguments)
        assert reply.status_code < 300, reply.text
        return reply.json() if reply.content else None

    def refused(self, status: int, method: str, path: str, **arguments: Any) -> dict[str, Any]:
        """The problem of a call that is refused with a status."""
        reply = self.call(method, path, **arguments)
        assert reply.status_code == status, reply.text
        problem: dict[str, Any] = reply.json()
        return problem

    def names(self) -> list[str]:
        """The sessions there are."""
        return [one["name"] for one in self.ok("GET", "/sessions")["sessions"]]

    def arm(self, session: str, backend: str = "dify", **members: Any) -> dict[str, Any]:
        """Arm something."""
        body = {"backend": backend, **members}
        arming: dict[str, Any] = self.ok("POST", f"/sessions/{session}/armed", json=body)
        return arming

    def entries(self, session: str, **query: Any) -> list[dict[str, Any]]:
        """The entries of a journal."""
        entries: list[dict[str, Any]] = self.ok("GET", f"/sessions/{session}/journal", params=query)["entries"]
        return entries
