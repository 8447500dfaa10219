"""What a person reads in the terminal: how far a run is, and what came of it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, TextIO

from tabulate import tabulate

from emulator.conform.curl import Secrets, curl
from emulator.conform.outcome import Finding, Outcome, Tally, by_operation
from emulator.conform.plan import Plan, asks_credential, label
from emulator.conform.sentences import plain, said, shown
from emulator.contract.document import Operation

LINES = frozenset({"before", "curl", "after"})
"""What is for the shell."""
PROMISES = "x-promises"
"""Of an operation in a spec: checks that a reply has to pass beside those of schemas."""
HINTS = {
    "missing_auth": "never got past authentication",
    "missing_test_data": "nearly always 404: the ids in the spec's examples are not there",
    "low_valid_rate": "hardly ever accepted a call that the spec allows",
    "validation_mismatch": "nearly always refused as malformed",
    "method_not_allowed": "answered 405 to their own method",
}


class Progress:
    """How far a run is: on a terminal one line that changes, else a line for each operation and phase."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._stream: TextIO = sys.stderr
        self._changing = self._stream.isatty()
        self._where = ""

    def __call__(self, outcome: Outcome, line: Mapping[str, Any]) -> None:
        """Take a line of the run."""
        before = self._where
        if line["kind"] == "scenario":
            operation = "" if line["phase"] == "stateful" or not line["operation"] else f" · {line['operation']}"
            self._where = line["phase"] + operation
        if self._changing:
            found = f" · {len(outcome.findings)} findings" if outcome.findings else ""
            text = f"{outcome.requests} of at most {self._plan.most} requests{found} · {self._where}"
            columns = shutil.get_terminal_size().columns - 1
            self._stream.write(f"\r\x1b[K{text[:columns]}")
        elif self._where != before:
            self._stream.write(f"{self._where}\n")
        self._stream.flush()

    def done(self) -> None:
        """Leave the line."""
        if self._changing:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


def rows(plan: Plan, outcome: Outcome) -> list[tuple[Operation, Tally, list[Finding]]]:
    """Each operation of the run, as the spec orders them."""
    found = by_operation(outcome.findings)
    return [(one, outcome.tallies.get(label(one), Tally()), found.get(label(one), [])) for one in plan.operations]


def elsewhere(plan: Plan, outcome: Outcome) -> list[Finding]:
    """Findings that belong to none of the operations."""
    names = {label(one) for one in plan.operations}
    return [one for one in outcome.findings if one.operation not in names]


def table(plan: Plan, outcome: Outcome) -> str:
    """Per operation: calls, those accepted, checks passed, findings."""
    lines = [
        (one.id, label(one), tally.calls, tally.accepted, f"{tally.passed}/{len(tally.checks)}", len(found) or "")
        for one, tally, found in rows(plan, outcome)
    ]
    heads = ("operation", "call", "calls", "2xx", "checks passed", "findings")
    return tabulate(
        lines, headers=heads, tablefmt="simple", disable_numparse=True, colalign=("left",) * 2 + ("right",) * 4
    )


def explained(plan: Plan, outcome: Outcome, finding: Finding, secrets: Secrets) -> list[tuple[str, str]]:
    """What there is to say of a finding, named."""
    finding = _hidden(finding, secrets)
    about = said(plan.document, finding, outcome.sentences)
    spec = f"{about.place}: {about.sentence}" if about.sentence else about.place
    found = [("expected", about.expected), ("got", about.got), ("spec", spec)]
    if finding.reply is not None and finding.reply.body:
        found.append(("reply", shown(finding.reply.body, secrets.hide)))
    # A secret in a request has its variable already; the rest may have come back from the server.
    found = [(name, plain(secrets.hide(text))) for name, text in found if text]
    found += [("before", curl(step, secrets)) for step in finding.steps[:-1]]
    found += [("curl", curl(step, secrets)) for step in finding.steps[-1:]]
    for step in finding.after:
        found += [("after", curl(step, secrets)), ("answered", str(step.status))]
    return found


def _hidden(finding: Finding, secrets: Secrets) -> Finding:
    """A finding without secrets in what is quoted. Before that is shortened: half a secret is one as well."""

    def hide(value: Any) -> Any:
        if isinstance(value, list):
            return [hide(one) for one in value]
        return secrets.hide(value) if isinstance(value, str) else value

    reply = finding.reply
    return replace(
        finding,
        title=hide(finding.title),
        message=hide(finding.message),
        about={name: hide(value) for name, value in finding.about.items()},
        reply=None if reply is None else replace(reply, type=hide(reply.type), body=hide(reply.body)),
    )


def title(plan: Plan, finding: Finding) -> str:
    """A finding in one line."""
    ids = {label(one): one.id for one in plan.operations}
    id = ids.get(finding.operation)
    return plain(f"{id + ' · ' if id else ''}{finding.operation} · {finding.check}")


def findings(plan: Plan, outcome: Outcome, secrets: Secrets) -> Iterator[str]:
    """Each finding as a block of lines, numbered."""
    ordered = [finding for _, _, found in rows(plan, outcome) for finding in found] + elsewhere(plan, outcome)
    for number, finding in enumerate(ordered, 1):
        lines = [f"{number}. {title(plan, finding)}"]
        for name, text in explained(plan, outcome, finding, secrets):
            first, *more = text.splitlines() or [""]
            lines.append(f"   {name:<8}  {first}")
            # A line for the shell must stay one that can be copied.
            lines += more if name in LINES else [f"{'':13}{line}" for line in more]
        yield "\n".join(lines)


def trouble(plan: Plan, outcome: Outcome) -> list[str]:
    """Why a run without findings does not say that all is well."""
    if outcome.interrupted:
        return []
    if outcome.unreachable or outcome.broken:
        return [one for one in (outcome.unreachable, outcome.broken) if one]
    found = []
    tallies = [(one, tally) for one, tally, _ in rows(plan, outcome)]
    silent = len(_never_called(plan, outcome))
    # The others make no calls of their own for each operation: there may be no examples, or no links.
    if silent and not outcome.spent and {"coverage", "fuzzing"} & set(plan.phases):
        found.append(f"{silent} of {len(tallies)} operations were never called")
    statuses: dict[int, int] = {}
    for _, tally in tallies:
        for status, count in tally.statuses.items():
            statuses[status] = statuses.get(status, 0) + count
    refused = set(outcome.warnings.get("missing_auth", ()))
    locked = [label(one) for one, tally in tallies if tally.calls and asks_credential(plan.document, one)]
    if not any(tally.accepted for _, tally in tallies):
        replies = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items())) or "none"
        ask = ""
        if set(statuses) == {404}:
            ask = f" Is {plan.address.url} the base?"
        elif {401, 403} & set(statuses):
            ask = " Is the credential right?"
        found.append(f"no call was accepted, so hardly anything was tested (replies: {replies}).{ask}")
    elif locked and refused.issuperset(locked):
        found.append("no operation that asks for a credential accepted it. Is it right?")
    return found


def _never_called(plan: Plan, outcome: Outcome) -> list[str]:
    """Operations of which nothing is known. A call without a whole reply is not counted, it is a finding."""
    return [one.id for one, tally, found in rows(plan, outcome) if not tally.calls and not found]


def notes(plan: Plan, outcome: Outcome) -> list[str]:
    """What is no finding and should be known."""
    found = []
    if outcome.interrupted:
        found.append("Stopped before the end; this is what was found so far.")
    if outcome.spent:
        found.append(f"Stopped at {outcome.requests} requests, which is the budget; not everything was tried.")
    if outcome.unlinked:
        found.append("The stateful phase did nothing: no links of the spec join the operations that were chosen.")
    unjudged = [
        f"{one.id} ({', '.join(left)})"
        for one, tally, _ in rows(plan, outcome)
        if tally.calls and (left := [name for name in one.raw.get(PROMISES, {}) if name not in tally.checks])
    ]
    if unjudged:
        found.append(f"Promised and never judged: {', '.join(unjudged)}.")
    for one, tally, _ in rows(plan, outcome):
        if tally.cut:
            streams = f"{tally.cut} stream{'s' * (tally.cut != 1)}"
            found.append(
                f"{streams} of {one.id} did not end in time (--timeout); no promise about streams was judged there."
            )
    silent = _never_called(plan, outcome)
    if silent:
        found.append(f"Never called: {', '.join(silent)}.")
    for kind, about in outcome.warnings.items():
        if kind in HINTS:
            found.append(f"Hardly tested ({HINTS[kind]}): {', '.join(map(str, about))}.")
    return found


def summary(plan: Plan, outcome: Outcome) -> str:
    """The last line."""
    count, operations = len(outcome.findings), len(plan.operations)
    return (
        f"{outcome.requests} requests to {operations} operation{'s' * (operations != 1)} in {outcome.seconds:.0f} s, "
        f"{count or 'no'} finding{'s' * (count != 1)}"
    )
