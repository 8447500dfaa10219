"""Write docs/faults.md from the table of faults: `python scripts/fault_docs.py`. A test holds the two together."""

from __future__ import annotations

from pathlib import Path

from emulator.fault import ADDRESS_SAYS, FAULTS, Kind, Option

FILE = Path(__file__).parent.parent / "docs" / "faults.md"
HEAD = """# Faults

What can go wrong on the wire. A fault damages what is sent, never what is stored or judged: the history has the whole
answer. Made from the table in `emulator/fault.py` by `scripts/fault_docs.py`.

A fault stands under `faults` of a [scenario](scenario-language.md), as a step `fault:` where it is to strike, or is
armed over the control API. Written are a name (`reset`), a name with its main value or options (`latency: 2s`,
`truncate: {event: 3}`), or a list of these; they compose. Each name alone does something that can be seen. What is
about the head of an answer (`content_type`, `content_length`, `slow_headers`, `refuse`) can be no step.

Where it strikes:

"""
BETWEEN = """
Order, when there are several: faults at events in the order of the list, line ends, faults at bytes, `coalesce`,
`slice`, then time. All chances and jitters derive from the seed, the operation and the number of the call: the same
calls see the same damage at every run. `stall: {for: …}` is real time; other durations are time of the stream
(`--speed` applies). In a whole reply the body is event 0. A fault that has nothing to act on says so in the journal
(`applied: false`), and one that is armed alone waits for a call that it can strike.

| fault | what it does | options |
|---|---|---|
"""


def main() -> None:
    """Write the file."""
    FILE.write_text(text(), "utf-8")


def text() -> str:
    """The whole page."""
    places = "".join(f"- `{name}`: {says}\n" for name, says in ADDRESS_SAYS.items())
    rows = "".join(f"| `{name}` | {kind.says} | {_options(kind)} |\n" for name, kind in FAULTS.items())
    return HEAD + places + BETWEEN + rows


def _options(kind: Kind) -> str:
    told = [_option(name, option, name == kind.main) for name, option in kind.options.items()]
    told += [f"`{name}`{' (main value)' if name == kind.main else ''}" for name in kind.addresses]
    return "<br>".join(told)


def _option(name: str, option: Option, main: bool) -> str:
    notes = ["main value"] if main else []
    notes += [f"one of {', '.join(option.words)}"] if option.words else []
    notes += [f"default {option.default:g}" if isinstance(option.default, float) else f"default {option.default}"] * (
        option.default is not None
    )
    shown = f" ({'; '.join(notes)})" if notes else ""
    return f"`{name}`: {option.says}{shown}"


if __name__ == "__main__":
    main()
