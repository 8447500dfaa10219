"""`Prefer: code=429, example=rate_limit_error`: a documented reply by name. Syntax as in RFC 7240 and Prism.

Preferences that are none of ours (`return=minimal`, …) are left alone, as the RFC asks.
"""

from __future__ import annotations

from dataclasses import dataclass

from emulator.contract.document import Document, Operation
from emulator.errors import Misused, nearest


@dataclass(frozen=True, slots=True)
class Preference:
    """A documented status of one operation, and one of its examples by name or None for any."""

    status: str
    example: str | None

    def __str__(self) -> str:
        return f"code={self.status}" + (f", example={self.example}" if self.example is not None else "")


def read_prefer(header: str, operation: Operation, document: Document) -> Preference | None:
    """What a Prefer header wants of an operation; None when it wants nothing of ours. Raises Misused for a status or
    example that is not documented, and for a malformed value."""
    lower = header.lower()
    if "code" not in lower and "example" not in lower:
        return None
    wanted: dict[str, str] = {}
    for item in header.replace(";", ",").split(","):
        name, equals, value = item.partition("=")
        name = name.strip().lower()
        if name in ("code", "example"):
            value = value.strip().strip('"')
            if not equals or not value:
                raise Misused("Malformed Prefer", f"Expected {name}=VALUE in Prefer, got {item.strip()[:80]!r}.")
            wanted[name] = value
    if not wanted:
        return None
    statuses = [status for status in operation.responses if status.isdigit()]
    code = wanted.get("code")
    if code is not None and code not in statuses:
        raise Misused("Undocumented status", f"{operation.id} has no documented reply {code[:20]!r}.", statuses)
    example = wanted.get("example")
    if example is None:
        assert code is not None
        return Preference(code, None)
    examples = {status: list(document.examples(operation, status)) for status in ([code] if code else statuses)}
    for status, names in examples.items():
        if example in names:
            return Preference(status, example)
    names = [name for listed in examples.values() for name in listed]
    near = nearest(example, names)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    raise Misused("Unknown example", f"{operation.id} has no documented example {example[:80]!r}.{hint}", names)
