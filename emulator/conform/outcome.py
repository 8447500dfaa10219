"""What comes of a run, folded from the lines that its process writes."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

NO_REPLY = "no_reply"
"""Stands for a check where there was nothing to check."""
UNTESTABLE = "untestable"
"""Stands for one where no call could be made, as when the spec cannot be used."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request as it was sent. `body` None with a `size` above zero was too long to keep. `status` is told for those
    that a check made."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    size: int
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """The reply to the last step. `body` is its beginning."""

    status: int
    type: str
    body: str
    size: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as documented. `operation` is `METHOD /path`; `after` are the calls by which a check looked
    after it; `about` has what the check knows."""

    operation: str
    check: str
    phase: str
    title: str
    message: str
    steps: tuple[Step, ...] = ()
    reply: Seen | None = None
    after: tuple[Step, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Tally:
    """What was counted for an operation. `statuses` are those of calls by its own method, `cut` is the number
    of streams whose end was not waited for, `checks` are passed and failed by name."""

    calls: int = 0
    statuses: dict[int, int] = field(default_factory=dict)
    cut: int = 0
    checks: dict[str, list[int]] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        """Calls that were answered with a success."""
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def passed(self) -> int:
        """Checks that never failed."""
        return sum(not failed for _, failed in self.checks.values())


@dataclass(slots=True)
class Outcome:
    """All of a run. `unreachable` says why nothing was called, `broken` why it ended before its time."""

    tallies: dict[str, Tally] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    warnings: dict[str, list[str]] = field(default_factory=dict)
    sentences: dict[str, str] = field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0
    spent: bool = False
    interrupted: bool = False
    finished: bool = False
    unlinked: bool = False
    unreachable: str | None = None
    broken: str | None = None

    def take(self, line: Mapping[str, Any]) -> None:
        """Fold one line in."""
        kind = line["kind"]
        if kind in ("sent", "end"):
            self.requests = line["requests"]
        elif kind == "tally":
            self._count(line)
        elif kind == "finding":
            self.findings.append(_finding(line))
        elif kind == "error":
            self._error(line)
        elif kind == "checks":
            self.sentences = dict(line["sentences"])
        elif kind == "spent":
            self.spent = True
        elif kind == "unlinked":
            self.unlinked = True
        elif kind == "finished":
            self.finished = True
        elif kind == "warnings":
            self.warnings = {name: about for name, about in line["warnings"].items() if about}
        elif kind == "fatal":
            self.broken = line["what"]
        elif kind in UNREACHABLE:
            self.unreachable = UNREACHABLE[kind].format(**{**line, "urls": ", ".join(line.get("urls", ()))})

    def _count(self, line: Mapping[str, Any]) -> None:
        for name, calls in line["calls"].items():
            self._tally(name).calls += calls
        for name, cut in line["cut"].items():
            self._tally(name).cut += cut
        for name, statuses in line["statuses"].items():
            counted = self._tally(name).statuses
            for status, count in statuses.items():
                counted[int(status)] = counted.get(int(status), 0) + count
        for name, checks in line["checks"].items():
            counts = self._tally(name).checks
            for check, (passed, failed) in checks.items():
                before = counts.setdefault(check, [0, 0])
                before[0] += passed
                before[1] += failed

    def _tally(self, operation: str) -> Tally:
        return self.tallies.setdefault(operation, Tally())

    def _error(self, line: Mapping[str, Any]) -> None:
        check = NO_REPLY if line["silent"] else UNTESTABLE
        found = _finding({"check": check, "title": check, "message": line["what"], "reply": None, **line})
        if not any((one.operation, one.message) == (found.operation, found.message) for one in self.findings):
            self.findings.append(found)


UNREACHABLE = {
    "unreachable": "{url} cannot be reached: {what}.",
    "elsewhere": "{url} answers with a redirect to {location!r}. Give the address that it leads to.",
    "nothing": "nothing that the spec describes is there: {urls} all answer 404. Is this the base?",
}


def _finding(line: Mapping[str, Any]) -> Finding:
    reply = line["reply"]
    return Finding(
        operation=line["operation"],
        check=line["check"],
        phase=line["phase"] or "",
        title=line["title"],
        message=line["message"],
        steps=tuple(map(_step, line["steps"])),
        reply=None if reply is None else Seen(**reply),
        after=tuple(map(_step, line.get("after", ()))),
        about={name: line[name] for name in ABOUT if name in line},
    )


ABOUT = ("schema_path", "instance_path", "validation_message", "sentence", "said", "what")


def _step(step: Mapping[str, Any]) -> Step:
    body = step["body"]
    return Step(
        step["method"],
        step["url"],
        step["headers"],
        None if body is None else base64.b64decode(body),
        step["size"],
        step.get("status"),
    )


def by_operation(findings: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Findings of each operation, in the order they came."""
    found: dict[str, list[Finding]] = {}
    for finding in findings:
        found.setdefault(finding.operation, []).append(finding)
    return found
