"""What a run will call, decided before it calls anything."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.conform.address import Address
from emulator.contract.document import Document, Operation
from emulator.errors import Misused, nearest

PHASES = ("examples", "coverage", "fuzzing", "stateful")
SAFE = frozenset({"GET", "HEAD", "OPTIONS", "QUERY"})
MARK = "x-changes-nothing"
"""Of an operation in a spec: true where a POST only reads, false where a GET does more than that."""
BEFORE = 3
"""Operations that may be asked before the run whether anything answers at the address."""
OTHERS = 200
"""Requests for an operation that do not grow with `--examples`: the examples, the limits of each value, the ways of
being wrong. With what follows, a bound that ordinary runs stay far below (they need a tenth to a half)."""
PER_EXAMPLE = 10


@dataclass(frozen=True, slots=True)
class Plan:
    """One run. `most` is the number of requests that it never exceeds."""

    document: Document
    address: Address
    operations: tuple[Operation, ...]
    headers: Mapping[str, str]
    rules: Path
    seed: int
    examples: int
    phases: tuple[str, ...]
    read_only: bool
    most: int
    timeout: float

    @property
    def how(self) -> str:
        """What was chosen, in words."""
        read_only = ["read-only"] if self.read_only else []
        return ", ".join([f"seed {self.seed}", f"{self.examples} examples", *self.phases, *read_only])

    def asked_first(self) -> list[str]:
        """Paths that can be read with nothing but the headers."""
        return [
            one.path
            for one in self.operations
            if one.method == "GET" and not changes(one) and not any(each.get("required") for each in one.parameters)
        ][:BEFORE]

    def known(self) -> list[tuple[str, str, bool]]:
        """Method and path of each operation of the spec, and whether a read-only run may call it."""
        ordered = sorted(self.document.operations.values(), key=changes)
        # A parameter that is a part of a segment is taken for the whole of it; where two paths become one by that, the
        # last one counts, and that is one that writes.
        return [
            (one.method, self.address.path + re.sub(r"[^/]*\{[^}]*\}[^/]*", "{}", one.path), not changes(one))
            for one in ordered
        ]


def changes(operation: Operation) -> bool:
    """Whether a call may change something."""
    marked = operation.raw.get(MARK)
    return not marked if isinstance(marked, bool) else operation.method not in SAFE


def asks_credential(document: Document, operation: Operation) -> bool:
    """Whether the spec says that a call needs a credential."""
    ways = operation.raw.get("security", document.raw.get("security")) or []
    return bool(ways) and all(ways)


def label(operation: Operation) -> str:
    """How schemathesis names it."""
    return f"{operation.method} {operation.path}"


def chosen(document: Document, only: Sequence[str], read_only: bool) -> tuple[Operation, ...]:
    """The operations of a run. Raises Misused for a name that is none, and when none is left."""
    names = {**{label(one): one.id for one in document.operations.values()}, **{id: id for id in document.operations}}
    for name in only:
        if name not in names:
            near = nearest(name, names)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise Misused("Unknown operation", f"{document.name} has no operation {name!r}.{hint}", document.operations)
    wanted = {names[name] for name in only} or set(document.operations)
    found = tuple(one for one in document.operations.values() if one.id in wanted)
    if read_only:
        found = tuple(one for one in found if not changes(one))
    if not found:
        raise Misused(
            "Nothing to call", "--read-only leaves nothing to call: all that was chosen may change something."
        )
    return found


def at_most(operations: int, examples: int) -> int:
    """How many requests a run without `--budget` may make."""
    return operations * (OTHERS + PER_EXAMPLE * examples)


def listing(plan: Plan) -> str:
    """What is called, for a person to read."""
    writing = sum(changes(one) for one in plan.operations)
    width = max(len(one.path) for one in plan.operations) + len(plan.address.path)
    lines = [f"{plan.document.name} at {plan.address.url}, {plan.how}", ""]
    for one in plan.operations:
        does = "writes" if changes(one) else "reads"
        lines.append(f"  {does:<6}  {one.method:<7} {plan.address.path + one.path:<{width}}  {one.id}")
    count, base = len(plan.operations), plan.address.path
    lines += [
        "",
        f"{count} operation{'s' * (count != 1)}, {writing} of which write; at most {plan.most} requests in all.",
        f"Before them two questions of schemathesis: GET {base}/ and {base}/schemathesis-probe….",
    ]
    if not plan.read_only:
        lines += [
            "Beside valid calls there are wrong ones that must be refused: malformed, without a valid credential, and",
            "with methods not documented for these paths. What was written may be read back by other operations.",
        ]
    return "\n".join(lines)
