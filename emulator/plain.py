"""A backend that has only a spec: every operation is served from its schemas, without state."""

from __future__ import annotations

from emulator.backends import Ask, Backend
from emulator.call import Reply, Violation
from emulator.contract.document import Document
from emulator.errors import Refused
from emulator.jsontext import compact
from emulator.world.session import World

STATUSES = {
    "unknown_path": 404,
    "method_not_allowed": 405,
    "too_large": 413,
    "undecodable": 400,
    "invalid": 400,
    "crashed": 500,
}


def plain_backend(name: str, document: Document) -> Backend:
    """A backend made of a document alone. It lets every caller in."""
    title = str(document.raw.get("info", {}).get("title", name))
    return Backend(
        name=name, title=title, behaviours={}, authenticate=lambda ask: None, refuse=_refuse, populate=_populate
    )


def _populate(world: World) -> None:
    """There is nothing from the start."""


def _refuse(ask: Ask, error: Refused, violations: tuple[Violation, ...]) -> Reply:
    status = error.status or STATUSES.get(error.code, 400)
    if violations and violations[0].rule == "media_type":
        status = 415
    detail = "; ".join(str(one) for one in violations) or error.message or error.code
    body = compact({"error": error.code, "detail": detail})
    return Reply(status, (("Content-Type", "application/json"),), body)
