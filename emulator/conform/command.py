"""`chat-emulator conform`, from what was typed to the exit code."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from emulator.conform import files, report
from emulator.conform.address import Address, address
from emulator.conform.curl import Secrets
from emulator.conform.outcome import Outcome
from emulator.conform.plan import PHASES, Plan, at_most, chosen, listing
from emulator.conform.running import Ended, perform
from emulator.conform.sentences import plain
from emulator.contract.document import Document, open_document
from emulator.contract.promises.shapes import mistakes
from emulator.errors import Misused, nearest
from emulator.service import spec_files
from emulator.settings import Settings

FINE, FOUND, USAGE, INTERRUPTED, TERMINATED = 0, 1, 2, 130, 143
RULES = "schemathesis.toml"
EXTRA = "conform needs the extra chat-emulator[contract] (schemathesis): pip install 'CLONE_OR_WHEEL[contract]'"
TIMEOUTS = 0.01, 3600.0
FRAMING = frozenset({"connection", "content-length", "host", "transfer-encoding", "expect"})
"""Headers that each request has to say itself."""
TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True)
class Asked:
    """What was typed."""

    backend: str
    url: str | None
    headers: Sequence[str] = ()
    seed: int = 0
    examples: int = 50
    phases: str = ",".join(PHASES)
    junit: Path | None = None
    page: Path | None = None
    specs: Path | None = None
    read_only: bool = False
    budget: int | None = None
    yes: bool = False
    only: Sequence[str] = ()
    list: bool = False
    timeout: float = 30.0


def conform(asked: Asked) -> int:
    """Hold a backend against its spec; returns the exit code. Raises Misused and Broken before anything is called."""
    document, rules = _document(asked)
    if asked.list and asked.url is None:
        where = Address(f"…{document.base}", document.base, loopback=True)
    elif asked.url is None:
        raise Misused("Missing URL", "conform wants --url, the base of the backend.")
    else:
        where = address(asked.url, document)
    plan = _plan(asked, document, rules, where)
    if asked.list:
        print(listing(plan))
        return FINE
    if importlib.util.find_spec("schemathesis") is None:
        raise Misused("Missing extra", EXTRA)
    reports = [file for file in (asked.junit, asked.page) if file is not None]
    if len({file.resolve() for file in reports}) != len(reports):
        raise Misused("Repeated report", f"--junit and --report both name {asked.page}.")
    for file in reports:
        _writable(file)
    print(listing(plan), file=sys.stderr)
    _mention_credentials(plan)
    if not _agreed(plan, asked.yes):
        return USAGE
    progress = report.Progress(plan)
    try:
        outcome = perform(plan, progress)
    except Ended:
        return TERMINATED
    finally:
        progress.done()
    return _tell(asked, plan, outcome)


def _document(asked: Asked) -> tuple[Document, Path]:
    """The spec, and the rules that schemathesis reads it by."""
    specs = spec_files(Settings(specs=asked.specs))
    if asked.backend not in specs:
        near = nearest(asked.backend, specs)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise Misused("Unknown backend", f"There is no backend {asked.backend!r}.{hint}", specs)
    file = specs[asked.backend]
    own = asked.specs is not None and file.parent == asked.specs
    rules = Path(__file__).parent.parent / "contract" / RULES
    if asked.specs is not None and own and (asked.specs / RULES).is_file():
        rules = asked.specs / RULES
    document = open_document(file, own)
    wrong = list(mistakes(document.raw))
    if wrong:
        raise Misused("Mistaken promises", f"{file} promises what cannot be understood:\n" + "\n".join(map(str, wrong)))
    return document, rules


def _plan(asked: Asked, document: Document, rules: Path, where: Address) -> Plan:
    phases = tuple(part.strip() for part in asked.phases.split(","))
    for phase in phases:
        if phase not in PHASES:
            raise Misused("Unknown phase", f"There is no phase {phase!r}.", PHASES)
    operations = chosen(document, asked.only, asked.read_only)
    for name, value in (("--examples", asked.examples), ("--budget", asked.budget)):
        if value is not None and value < 1:
            raise Misused("Too few", f"{name} wants 1 or more, got {value}.")
    least, most = TIMEOUTS
    if not least <= asked.timeout <= most:
        raise Misused("Malformed timeout", f"--timeout wants {least:g} to {most:g} seconds, got {asked.timeout:g}.")
    return Plan(
        document=document,
        address=where,
        operations=operations,
        headers=_headers(asked.headers),
        rules=rules,
        seed=asked.seed,
        examples=asked.examples,
        # As schemathesis runs them, each once.
        phases=tuple(phase for phase in PHASES if phase in phases),
        read_only=asked.read_only,
        most=asked.budget or at_most(len(operations), asked.examples),
        timeout=asked.timeout,
    )


def _headers(items: Sequence[str]) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for item in items:
        name, colon, value = item.partition(":")
        value = value.strip()
        # What was meant may be a secret, so it is not repeated.
        if not colon or not TOKEN.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise Misused("Malformed header", "Expected --header 'Name: value', printable and in ASCII.")
        if name.lower() in FRAMING:
            raise Misused("Unusable header", f"--header cannot give {name}: each request says its own.")
        if name.lower() in (one.lower() for one in headers):
            raise Misused("Repeated header", f"--header gives {name} twice.")
        headers[name] = value
    return headers


def _writable(file: Path) -> None:
    """Find out before the run, which may be long."""
    there = file.exists()
    try:
        file.open("ab").close()
    except OSError as error:
        raise Misused("Unwritable report", f"{file} cannot be written: {error.strerror}.") from error
    if not there:
        file.unlink()


def _mention_credentials(plan: Plan) -> None:
    schemes = (plan.document.raw.get("components") or {}).get("securitySchemes") or {}
    bearer = any(isinstance(one, dict) and one.get("type") == "http" for one in schemes.values())
    if bearer and "authorization" not in (name.lower() for name in plan.headers):
        print(
            "\nThe spec asks for a credential: without --header 'Authorization: …' little can be tried.",
            file=sys.stderr,
        )


def _agreed(plan: Plan, yes: bool) -> bool:
    """Whether the calls may be made: on one's own machine, when said before, or when somebody says so now."""
    if plan.address.loopback or yes:
        return True
    if not sys.stdin.isatty():
        what = f"{plan.address.url} is not this machine: say --yes to make these calls."
        print(f"error: {what}", file=sys.stderr)
        return False
    print(f"\nMake these calls to {plan.address.url}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() in ("y", "yes"):
        return True
    print("Nothing was called.", file=sys.stderr)
    return False


def _tell(asked: Asked, plan: Plan, outcome: Outcome) -> int:
    """Write the reports, then print: who reads the terminal may go away."""
    secrets = Secrets(plan.headers)
    trouble = report.trouble(plan, outcome)
    unwritten = [
        unsaid
        for file, text in ((asked.junit, files.junit), (asked.page, files.page))
        if file is not None and (unsaid := _write(file, text(plan, outcome, secrets)))
    ]
    try:
        _print(plan, outcome, secrets)
    except OSError as error:
        with contextlib.suppress(OSError):
            # What is left in the buffer would be written, and fail, once more at the end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):
            unwritten.append(f"the findings cannot be printed: {error.strerror}")
    for one in [*trouble, *unwritten]:
        print(f"error: {plain(secrets.hide(one))}", file=sys.stderr)
    if outcome.interrupted:
        return INTERRUPTED
    return FOUND if outcome.findings or trouble or unwritten else FINE


def _print(plan: Plan, outcome: Outcome, secrets: Secrets) -> None:
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a server says may hold what this terminal cannot show.
        sys.stdout.reconfigure(errors="backslashreplace")
    if outcome.unreachable is None:
        for block in report.findings(plan, outcome, secrets):
            print(f"\n{block}")
        print(f"\n{report.table(plan, outcome)}\n")
        for note in report.notes(plan, outcome):
            print(secrets.hide(note))
        print(report.summary(plan, outcome))
    sys.stdout.flush()


def _write(file: Path, text: str) -> str:
    """Write a report; returns why it could not be written."""
    try:
        file.write_text(text, "utf-8")
    except OSError as error:
        return f"{file} cannot be written: {error.strerror}"
    return ""
