"""What can go wrong on the wire, as data. A fault damages what is sent, never what is stored or judged.

Owns the names of faults, what each takes, and where in an answer it strikes. Applying them is in `damage.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from emulator.durations import LONGEST, duration, shown
from emulator.errors import nearest

LAST = -1
"""The event that ends an answer, as an address."""

CUTS = frozenset({"reset", "truncate", "stall", "refuse"})
"""Faults after which the client gets nothing more."""

MOST_FAULTS = 20
"""Faults that one list may have."""
MOST_ADDRESS = 1_000_000_000
MOST_OFFSETS = 1_000

Pointer = tuple[str | int, ...]
Fail = Callable[[Pointer, str], Exception]
"""Makes the error to raise of where in the value something is wrong, and what."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. It strikes at `event` (counted from 0; `LAST` is the terminal one) or after `byte` bytes of the body;
    without either where its kind says. As a step of an answer it strikes where it stands. `options` are those that
    were given."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    event: int | None = None
    byte: int | None = None

    def option(self, name: str) -> Any:
        """The value of an option: what was given, else its default."""
        return self.options.get(name, FAULTS[self.name].options[name].default)

    @property
    def cuts(self) -> bool:
        """Whether the client gets nothing more after it."""
        return self.name in CUTS and not (self.name == "stall" and self.options.get("for") is not None)


OptionKind = Literal["duration", "whole", "share", "word", "text", "offsets"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option of a fault. A `whole` number is in `low` to `high`, a `share` in 0 to 1, a `word` one of `words`, a
    `text` a header's value, `offsets` a rising list of positions in bytes."""

    kind: OptionKind
    says: str
    default: Any = None
    low: int = 0
    high: int = 0
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of fault: what it `says` it does; its `options`; `main`, the option (or address) that a bare value
    means; the addresses it takes; the options of which one at most may be given (`one_of`); and whether it is about
    the head of an answer, so that it can be no step of one."""

    says: str
    options: Mapping[str, Option] = field(default_factory=dict)
    main: str | None = None
    addresses: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    head: bool = False


CHANCE = Option("share", "Strikes each event with this chance, drawn from the seed.")
EVERY = Option("duration", "Pause between two pieces.", 0.0)
POSITION = ("event", "byte")

FAULTS: Mapping[str, Kind] = {
    "latency": Kind(
        "Comes later: the whole answer with its head, or all from the given place on.",
        {
            "for": Option("duration", "How much later.", 1.0),
            "jitter": Option("duration", "Up to so much more or less, drawn from the seed.", 0.0),
        },
        main="for",
        addresses=POSITION,
    ),
    "bandwidth": Kind(
        "A slow line: the body comes in small pieces, so many bytes a second.",
        {"rate": Option("whole", "Bytes a second.", 1024, 1, 1_000_000_000)},
        main="rate",
        addresses=("event",),
    ),
    "slice": Kind(
        "Cuts the body into small chunks, one byte each where nothing else is said.",
        {
            "bytes": Option("whole", "Bytes of a chunk.", 1, 1, 1_000_000),
            "at": Option("offsets", "Cuts only at these offsets of the body."),
            "inside": Option(
                "word",
                "Cuts only inside: a character of several bytes, the `data:` of a field, a CR LF.",
                words=("character", "field", "line_end"),
            ),
            "every": EVERY,
        },
        main="bytes",
        addresses=("event",),
        one_of=("bytes", "at", "inside"),
    ),
    "coalesce": Kind(
        "Several events come in one chunk; the earlier ones wait for the last.",
        {"events": Option("whole", "Events of a chunk.", 3, 2, 1_000)},
        main="events",
        addresses=("event",),
    ),
    "line_end": Kind(
        "Other line ends than LF.",
        {"style": Option("word", "CR LF, or CR alone.", "crlf", words=("crlf", "cr"))},
        main="style",
        addresses=("event",),
    ),
    "stall": Kind(
        "Nothing more comes and the connection stays open: for ever, or for some real seconds at any speed. Without a "
        "place after the first event, in a plain reply after half of it.",
        {"for": Option("duration", "Real seconds after which the answer goes on; without it never.")},
        main="for",
        addresses=POSITION,
    ),
    "truncate": Kind(
        "Ends before its time, and properly for HTTP. Without a place before the terminal event, in a plain reply "
        "after half of it.",
        main="event",
        addresses=POSITION,
    ),
    "reset": Kind(
        "The connection is reset. Without a place after the first event, in a plain reply after half of it.",
        main="event",
        addresses=POSITION,
    ),
    "malformed": Kind(
        "The JSON of an event, or of a plain reply, is broken; text becomes invalid UTF-8. Without a place the second "
        "event.",
        {"chance": CHANCE},
        main="event",
        addresses=("event",),
    ),
    "duplicate": Kind(
        "An event comes again. Without a place the second one.",
        {"times": Option("whole", "How often again.", 1, 1, 100), "chance": CHANCE},
        main="event",
        addresses=("event",),
    ),
    "reorder": Kind(
        "An event comes after its successor. Without a place the second one.",
        {"chance": CHANCE},
        main="event",
        addresses=("event",),
    ),
    "drop": Kind(
        "An event does not come. Without a place the second one.",
        {"chance": CHANCE},
        main="event",
        addresses=("event",),
    ),
    "ping_storm": Kind(
        "Keep-alives of the backend's own kind, many at once, before an event. Without a place the second one.",
        {"count": Option("whole", "How many.", 50, 1, 10_000)},
        main="count",
        addresses=("event",),
    ),
    "content_type": Kind(
        "Another content type in the head; the body is what it was.",
        {"type": Option("text", "The content type.", "text/html")},
        main="type",
        head=True,
    ),
    "content_length": Kind(
        "The head promises another length than comes, and the connection is closed behind the body. A stream is held "
        "back until it is whole, because its length has to be known.",
        {"by": Option("whole", "Bytes promised beyond those sent, or left out of the promise.", 1, -(10**9), 10**9)},
        main="by",
        head=True,
    ),
    "slow_headers": Kind(
        "The head comes line by line, and the connection is closed behind the body.",
        {"every": Option("duration", "Pause before each line.", 0.5)},
        main="every",
        head=True,
    ),
    "refuse": Kind(
        "The connection is reset before any byte of an answer.",
        {"for": Option("duration", "As long as it is armed, every call that it is for.")},
        main="for",
        head=True,
    ),
}
"""What can go wrong, by name."""

ALIASES = {"disconnect": "reset"}
ADDRESS_SAYS = {
    "event": "The event to strike at, counted from 0; `last` is the terminal one. What changes how the body is sent "
    "does so from there on.",
    "byte": "The number of bytes of the body to strike after.",
}


def parse(value: Any, fail: Fail) -> tuple[Fault, ...]:
    """The faults that a value from a file or from JSON means: a name, a mapping of names to options (or to the main
    one's value), `{name: NAME, …options}`, or a list of any of these.

    Raises what `fail(pointer, what)` makes of the first mistake; `pointer` leads from the value to it.
    """
    given = list(enumerate(value)) if isinstance(value, list) else [(None, value)]
    found: list[Fault] = []
    for index, one in given:
        found += _some(() if index is None else (index,), one, fail)
        if len(found) > MOST_FAULTS:
            raise fail((), f"expected {MOST_FAULTS} faults at most")
    if not found:
        raise fail((), "expected at least one fault")
    return tuple(found)


def _some(pointer: Pointer, value: Any, fail: Fail) -> Iterable[Fault]:
    if isinstance(value, str):
        return (Fault(_known(pointer, value, fail)),)
    if not isinstance(value, Mapping) or not value:
        raise fail(pointer, f"expected a fault such as `reset` or `latency: 2s`, got {shown(value)}")
    for word in ("name", "kind"):
        if word in value:
            name = _known((*pointer, word), value[word], fail)
            return (_fault(pointer, name, {key: one for key, one in value.items() if key != word}, fail),)
    return [
        _fault((*pointer, word), _known((*pointer, word), word, fail), options, fail) for word, options in value.items()
    ]


def _known(pointer: Pointer, name: Any, fail: Fail) -> str:
    found = ALIASES.get(name, name) if isinstance(name, str) else name
    if not isinstance(found, str) or found not in FAULTS:
        raise fail(pointer, _unknown("fault", name, FAULTS))
    return found


def _unknown(what: str, word: Any, known: Collection[str]) -> str:
    near = nearest(word, known, 1) if isinstance(word, str) and len(word) < 100 else []
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"unknown {what} {shown(word)}; {hint}expected one of {', '.join(known)}"


def _fault(pointer: Pointer, name: str, value: Any, fail: Fail) -> Fault:
    kind = FAULTS[name]
    if value is None or value is True:
        return Fault(name)
    words = (*kind.options, *kind.addresses)
    if not isinstance(value, Mapping):
        if kind.main is None or isinstance(value, list):
            raise fail(pointer, f"expected {' and '.join(words) or 'nothing'} in a mapping, got {shown(value)}")
        return _made(name, {kind.main: _read(pointer, kind, kind.main, value, fail)})
    for word in value:
        if word not in words:
            what = f"option of {name}"
            raise fail((*pointer, word), _unknown(what, word, words) if words else f"{name} takes no options")
    for alike in (kind.one_of, kind.addresses):
        if len([word for word in alike if word in value]) > 1:
            raise fail(pointer, f"expected one of {', '.join(alike)} at most")
    return _made(name, {word: _read((*pointer, word), kind, word, one, fail) for word, one in value.items()})


def _made(name: str, values: Mapping[str, Any]) -> Fault:
    options = {word: one for word, one in values.items() if word not in POSITION}
    return Fault(name, options, values.get("event"), values.get("byte"))


def _read(pointer: Pointer, kind: Kind, word: str, value: Any, fail: Fail) -> Any:
    try:
        if word == "event" and word in kind.addresses:
            return LAST if value == "last" else _whole(value, 0, MOST_ADDRESS, " or last")
        if word == "byte" and word in kind.addresses:
            return _whole(value, 0, MOST_ADDRESS)
        return _READERS[kind.options[word].kind](value, kind.options[word])
    except ValueError as error:
        raise fail(pointer, str(error)) from None


def _whole(value: Any, low: int, high: int, beside: str = "") -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError(f"expected a whole number from {low} to {high}{beside}, got {shown(value)}")
    return value


def _read_whole(value: Any, option: Option) -> int:
    return _whole(value, option.low, option.high)


def _read_share(value: Any, option: Option) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
        raise ValueError(f"expected a number from 0 to 1, got {shown(value)}")
    return float(value)


def _read_word(value: Any, option: Option) -> str:
    if not isinstance(value, str) or value not in option.words:
        raise ValueError(_unknown("word", value, option.words))
    return value


def _read_text(value: Any, option: Option) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 200 or not (value.isascii() and value.isprintable()):
        raise ValueError(f"expected 1 to 200 characters of printable ASCII, got {shown(value)}")
    return value


def _read_offsets(value: Any, option: Option) -> tuple[int, ...]:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_OFFSETS:
        raise ValueError(f"expected a list of 1 to {MOST_OFFSETS} offsets, got {shown(value)}")
    return tuple(sorted({_whole(one, 1, MOST_ADDRESS) for one in value}))


def _read_duration(value: Any, option: Option) -> float:
    return duration(value)


_READERS: Mapping[str, Callable[[Any, Option], Any]] = {
    "duration": _read_duration,
    "whole": _read_whole,
    "share": _read_share,
    "word": _read_word,
    "text": _read_text,
    "offsets": _read_offsets,
}


# ---- what a value may be, for editors and for the control API


def schema() -> dict[str, Any]:
    """The JSON Schema of what `parse` takes. It refuses nothing that `parse` takes."""
    names = [*FAULTS, *ALIASES]
    kinds = {name: _schema_of(FAULTS[ALIASES.get(name, name)]) for name in names}
    one = {
        "anyOf": [
            {"enum": names, "description": "A fault with its defaults."},
            {
                "type": "object",
                "minProperties": 1,
                "properties": kinds,
                "additionalProperties": False,
                "description": "Faults by name.",
            },
            {
                "type": "object",
                "properties": {"name": {"enum": names}, "kind": {"enum": names}},
                "anyOf": [{"required": ["name"]}, {"required": ["kind"]}],
                "description": "A fault with its options beside its name.",
            },
        ]
    }
    return {"anyOf": [one, {"type": "array", "minItems": 1, "maxItems": MOST_FAULTS, "items": one}]}


def _schema_of(kind: Kind) -> dict[str, Any]:
    words = {word: _option_schema(option) for word, option in kind.options.items()}
    words |= {word: _address_schema(word) for word in kind.addresses}
    forms: list[Any] = [{"type": "object", "properties": words, "additionalProperties": False}, {"enum": [None, True]}]
    if kind.main is not None:
        forms.append(words[kind.main])
    return {"description": kind.says, "anyOf": forms}


def _address_schema(word: str) -> dict[str, Any]:
    number = {"type": "integer", "minimum": 0, "maximum": MOST_ADDRESS}
    forms = [number, {"const": "last"}] if word == "event" else [number]
    return {"description": ADDRESS_SAYS[word], "anyOf": forms}


def _option_schema(option: Option) -> dict[str, Any]:
    forms: Mapping[str, dict[str, Any]] = {
        "duration": {
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": LONGEST},
                {"type": "string", "pattern": r"^\s*[0-9]+(\.[0-9]+)? ?(ms|s|m|h|d)\s*$"},
            ]
        },
        "whole": {"type": "integer", "minimum": option.low, "maximum": option.high},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "word": {"enum": list(option.words)},
        "text": {"type": "string", "minLength": 1, "maxLength": 200},
        "offsets": {
            "type": "array",
            "minItems": 1,
            "maxItems": MOST_OFFSETS,
            "items": {"type": "integer", "minimum": 1, "maximum": MOST_ADDRESS},
        },
    }
    default = {} if option.default is None else {"default": option.default}
    return {"description": option.says, **default, **forms[option.kind]}
