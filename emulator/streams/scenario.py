"""Scenario files: text → steps, and which one a call gets.

Owns the language (which words a step has, what their values may be) and the set of scenarios of a server. A file in
`any/` serves every backend that streams; one in a backend's own folder serves that backend and wins over one of the
same name in `any/`. Own folders add to the bundled ones, the same name replaces.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from emulator.errors import Broken, Misused, nearest
from emulator.fault import Fault
from emulator.source import Pointer, Source, read
from emulator.streams.steps import (
    PACE,
    VERBS,
    Audio,
    Bytes,
    End,
    Fail,
    File,
    Ping,
    Replace,
    Respond,
    Say,
    Send,
    Step,
    ToolCall,
    ToolResult,
    Wait,
)
from emulator.world.seed import Seed

ANY = "any"
COMMAND = re.compile(r"\s*/scenario(?:\s+(\S+)|\s*$)")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOST_STEPS = 10_000
LONGEST_WAIT = 3_600.0


@dataclass(frozen=True, slots=True)
class Scene:
    """What a scenario can know of the call that it may be chosen for.

    `nth` counts the accepted calls of this operation in this session, `turn` the questions of the conversation, both
    with this one. `plays` tells how often each scenario was played before. `seed` is the backend's in this session.
    """

    operation: str
    method: str
    url: str
    headers: Mapping[str, str]
    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Any
    nth: int
    turn: int
    plays: Mapping[str, int]
    states: Mapping[str, Any]
    session: str
    seed: Seed
    now: float


@dataclass(frozen=True, slots=True)
class Unfolded:
    """What a scenario comes to for one call. `steps` is None where the behaviour's own are played; `reply` is sent
    instead of any answer, after `after` seconds; `becomes` are states to set when it is played."""

    steps: tuple[Step, ...] | None = None
    reply: Respond | None = None
    after: float = 0.0
    faults: tuple[Fault, ...] = ()
    becomes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def answers(self) -> bool:
        """Whether only an operation that gives an answer step by step can play it."""
        return self.steps is not None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One script of what an answer can be made to do."""

    name: str
    description: str
    steps: tuple[Step, ...]
    operation: str | None = None
    when: Mapping[str, Any] | None = None
    file: str = ""

    def unfold(self, scene: Scene) -> Unfolded:
        """What it comes to for one call. Raises Broken for a value that does not fit where it stands."""
        return Unfolded(self.steps)


class Scenarios:
    """All scenarios that a backend can be asked for. Folders are listed at once, files read when first needed.

    `playable` are the operations that can play one, None when that does not matter.
    """

    def __init__(self, backend: str, folders: Iterable[Path], playable: Collection[str] | None = None) -> None:
        self._playable = playable
        listed = list(folders)
        self._parts = [folder / part for part in (ANY, backend) for folder in listed]
        self._read: dict[str, tuple[float, Scenario]] = {}
        self._files = self._list()

    def _list(self) -> dict[str, Path]:
        return {
            file.stem: file
            for part in self._parts
            for file in sorted(part.glob("*.yaml"))
            # Editors and file systems leave hidden ones beside them.
            if file.is_file() and not file.name.startswith(".")
        }

    def names(self) -> list[str]:
        """All names, in order."""
        return sorted(self._files)

    def get(self, name: str) -> Scenario:
        """The scenario with this name. Raises Misused with the names there are, Broken for a file that cannot be
        used."""
        found = self._read.get(name)
        if found is not None:
            return found[1]
        file = self._files.get(name)
        if file is None:
            near = nearest(name, self._files)
            hint = f" Did you mean {' or '.join(near)}?" if near else ""
            raise Misused("Unknown scenario", f"There is no scenario {name[:80]!r}.{hint}", self.names())
        return self._load(name, file)

    def _load(self, name: str, file: Path) -> Scenario:
        at = _changed(file)
        scenario = load(file, self._playable)
        self._read[name] = (at, scenario)
        return scenario

    def refresh(self) -> list[Broken]:
        """Look at the folders again and read what has changed. A file that is broken now keeps its last good form;
        returns what is wrong."""
        broken: list[Broken] = []
        files = self._list()
        for name, file in files.items():
            known = self._read.get(name)
            if known is not None and known[1].file == str(file) and known[0] == _changed(file):
                continue
            try:
                self._load(name, file)
            except Broken as error:
                broken.append(error)
            except OSError:
                continue
        for name in [name for name in self._read if name not in files]:
            del self._read[name]
        self._files = files
        return broken

    def all(self) -> list[Scenario]:
        """Every scenario, read."""
        return [self.get(name) for name in self.names()]

    def automatic(self, operation: str) -> tuple[Scenario, ...]:
        """The scenarios that say of themselves which calls they are for, and may mean this operation's."""
        found: list[Scenario] = []
        for name in self.names():
            try:
                scenario = self.get(name)
            except Broken:
                # Told at start, by `check`, by whoever reloads, and to who asks for it by name.
                continue
            if scenario.when is not None and scenario.operation in (None, operation):
                found.append(scenario)
        return tuple(found)

    def matching(self, scene: Scene) -> tuple[Scenario | None, list[str]]:
        """The first scenario by name that says of itself that it is for this call, and why those before were not."""
        missed: list[str] = []
        for scenario in self.automatic(scene.operation):
            if _matches(scenario.when or {}, scene.headers, scene.body):
                return scenario, missed
        return None, missed


def _changed(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def asked_for(text: str) -> str | None:
    """The name in a chat text that begins with `/scenario NAME` ("" when the name is missing), else None."""
    found = COMMAND.match(text)
    return None if found is None else found.group(1) or ""


def load(file: Path, playable: Collection[str] | None = None, speaks: Collection[str] | None = None) -> Scenario:
    """Read one scenario file. Raises Broken with the line of what is wrong and the nearest valid word; an `operation`
    must be one of `playable`, and each step one of the words that the dialect `speaks`."""
    reader = _Reader(read(file))
    scenario = reader.scenario(file.stem)
    if scenario.operation is not None and playable is not None and scenario.operation not in playable:
        raise reader.source.broken(("operation",), reader.unknown("operation", scenario.operation, playable))
    for number, step in enumerate(scenario.steps):
        verb = VERBS[type(step)]
        if speaks is not None and verb not in speaks:
            can = ", ".join(word for word in STEPS if word in speaks)
            raise reader.source.broken(("steps", number), f"this backend cannot say {verb!r}; it says {can}")
    return scenario


def scenario_from(
    data: Any,
    name: str,
    playable: Collection[str] | None,
    speaks: Collection[str] | None,
    fail: Callable[[Pointer, str], Exception],
) -> Scenario:
    """Placeholder. The scenario that `data` says in the language of the files. Raises what `fail` makes."""

    class _Failing(Source):
        def broken(self, pointer: Iterable[str | int], what: str) -> Any:
            return fail(tuple(pointer), what)

    return _Reader(_Failing("", data, {})).scenario(name)


MEMBERS = ("description", "operation", "when", "steps")
Parser = Callable[["_Reader", Pointer, Any, Mapping[str, Any]], Step]


class _Reader:
    """One file's data to one Scenario."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def scenario(self, name: str) -> Scenario:
        data = self.source.data
        if not NAME.fullmatch(name):
            raise self.source.broken((), f"the file's name {name!r} is no scenario name")
        if not isinstance(data, dict):
            raise self.source.broken((), "expected a mapping with description and steps")
        self.only((), data, MEMBERS)
        steps = data.get("steps")
        if not isinstance(steps, list) or not 0 < len(steps) <= MOST_STEPS:
            raise self.source.broken(("steps",), f"expected a list of 1 to {MOST_STEPS} steps")
        return Scenario(
            name=name,
            description=self.text(("description",), data.get("description", "")),
            steps=tuple(self.step(("steps", i), step) for i, step in enumerate(steps)),
            operation=self.optional_text(("operation",), data.get("operation")),
            when=self.when(data.get("when")),
            file=self.source.file,
        )

    def step(self, pointer: Pointer, data: Any) -> Step:
        if isinstance(data, str):
            data = {data: None}
        if not isinstance(data, dict) or not data:
            raise self.source.broken(pointer, "expected a step such as `say: …`, `wait: 1s` or `ping`")
        verb = next((key for key in data if key in STEPS), None)
        if verb is None:
            word = next(iter(data))
            raise self.source.broken((*pointer, word), self.unknown("step", word, STEPS))
        parse, extra = STEPS[verb]
        self.only(pointer, data, (verb, *extra))
        return parse(self, (*pointer, verb), data[verb], data)

    def when(self, data: Any) -> Mapping[str, Any] | None:
        if data is None:
            return None
        if not isinstance(data, dict):
            raise self.source.broken(("when",), "expected a mapping with body or header")
        self.only(("when",), data, ("body", "header"))
        for place, members in data.items():
            if not isinstance(members, dict):
                raise self.source.broken(("when", place), "expected a mapping of names to what they must be")
            for name, test in members.items():
                if isinstance(test, dict):
                    self.tests(("when", place, name), test)
        return data

    def tests(self, pointer: Pointer, tests: Mapping[str, Any]) -> None:
        self.only(pointer, tests, tuple(TESTS))
        if "matches" in tests:
            self.pattern((*pointer, "matches"), self.text((*pointer, "matches"), tests["matches"]))
        if not isinstance(tests.get("exists", True), bool):
            raise self.source.broken((*pointer, "exists"), "expected true or false")

    def pattern(self, pointer: Pointer, text: str) -> None:
        try:
            re.compile(text)
        except re.error as error:
            raise self.source.broken(pointer, f"no regular expression: {error}") from error

    def only(self, pointer: Pointer, data: Mapping[str, Any], known: Iterable[str]) -> None:
        for word in data:
            if word not in known:
                raise self.source.broken((*pointer, word), self.unknown("word", word, known))

    @staticmethod
    def unknown(kind: str, word: str, known: Iterable[str]) -> str:
        near = nearest(word, known)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown {kind} {word!r}; {hint}expected one of {', '.join(known)}"

    def text(self, pointer: Pointer, value: Any) -> str:
        if isinstance(value, bool | int | float):
            value = str(value)
        if not isinstance(value, str):
            raise self.source.broken(pointer, f"expected text, got {_kind(value)}")
        return value

    def optional_text(self, pointer: Pointer, value: Any) -> str | None:
        return None if value is None else self.text(pointer, value)

    def mapping(self, pointer: Pointer, value: Any) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.source.broken(pointer, f"expected a mapping, got {_kind(value)}")
        return value

    def seconds(self, pointer: Pointer, value: Any) -> float:
        if isinstance(value, str) and (found := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m)", value.strip())):
            seconds = float(found.group(1)) * {"ms": 0.001, "s": 1.0, "m": 60.0}[found.group(2)]
        elif isinstance(value, int | float) and not isinstance(value, bool):
            seconds = value
        else:
            raise self.source.broken(pointer, f"expected a duration such as 40ms, 1.5s or 2m, got {value!r}")
        # An integer can be too large for a float, so it is compared first.
        if not 0 <= seconds <= LONGEST_WAIT:
            raise self.source.broken(pointer, f"expected a duration from 0 to {LONGEST_WAIT:.0f}s, got {value!r}")
        return float(seconds)

    def whole(self, pointer: Pointer, value: Any, low: int, high: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.source.broken(pointer, f"expected a whole number from {low} to {high}, got {value!r}")
        return value

    def every(self, pointer: Pointer, step: Mapping[str, Any], default: float) -> float:
        return self.seconds((*pointer[:-1], "every"), step["every"]) if "every" in step else default


def _say(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    size = step.get("size")
    if size is not None:
        size = reader.whole((*pointer[:-1], "size"), size, 1, 100_000)
    return Say(reader.text(pointer, value), reader.every(pointer, step, PACE), size)


def _wait(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    return Wait(reader.seconds(pointer, value))


def _ping(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    if value is not None:
        raise reader.source.broken(pointer, "ping takes no value")
    return Ping()


def _event(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    violates = step.get("violates", False)
    if not isinstance(violates, bool):
        raise reader.source.broken((*pointer[:-1], "violates"), "expected true or false")
    if value is None:
        raise reader.source.broken(pointer, "expected an event")
    return Send(value, violates)


def _bytes(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    if isinstance(value, dict):
        reader.only(pointer, value, ("base64",))
        try:
            return Bytes(b64decode(reader.text((*pointer, "base64"), value.get("base64")), validate=True))
        except ValueError as error:
            raise reader.source.broken((*pointer, "base64"), f"no base64: {error}") from error
    return Bytes(reader.text(pointer, value).encode())


def _error(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    if isinstance(value, str):
        return Fail(code=value)
    error = reader.mapping(pointer, value)
    reader.only(pointer, error, ("status", "code", "message"))
    status = error.get("status")
    return Fail(
        code=reader.optional_text((*pointer, "code"), error.get("code")),
        status=None if status is None else reader.whole((*pointer, "status"), status, 400, 599),
        message=reader.optional_text((*pointer, "message"), error.get("message")),
    )


def _tool_call(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    call = reader.mapping(pointer, value)
    reader.only(pointer, call, ("name", "arguments", "id"))
    return ToolCall(
        name=reader.text((*pointer, "name"), call.get("name")),
        arguments=reader.mapping((*pointer, "arguments"), call.get("arguments")),
        id=reader.optional_text((*pointer, "id"), call.get("id")),
    )


def _tool_result(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    if isinstance(value, dict) and "result" in value:
        reader.only(pointer, value, ("name", "id", "result"))
        return ToolResult(
            result=value["result"],
            name=reader.optional_text((*pointer, "name"), value.get("name")),
            id=reader.optional_text((*pointer, "id"), value.get("id")),
        )
    return ToolResult(value)


def _file(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    file = reader.mapping(pointer, value)
    reader.only(pointer, file, ("type", "name", "text"))
    kind = reader.text((*pointer, "type"), file.get("type", "image"))
    if kind not in ("image", "audio", "document"):
        raise reader.source.broken((*pointer, "type"), reader.unknown("type", kind, ("image", "audio", "document")))
    return File(
        type=kind,
        name=reader.optional_text((*pointer, "name"), file.get("name")),
        text=reader.text((*pointer, "text"), file.get("text", "")),
    )


def _replace(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    if isinstance(value, dict):
        reader.only(pointer, value, ("text", "reason"))
        return Replace(
            text=reader.text((*pointer, "text"), value.get("text")),
            reason=reader.text((*pointer, "reason"), value.get("reason", "")),
        )
    return Replace(reader.text(pointer, value))


def _audio(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    return Audio(reader.optional_text(pointer, value), reader.every(pointer, step, 0.05))


def _fault(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    if value != "disconnect":
        raise reader.source.broken(pointer, reader.unknown("fault", str(value), ("disconnect",)))
    return Fault("reset")


def _end(reader: _Reader, pointer: Pointer, value: Any, step: Mapping[str, Any]) -> Step:
    return End(reader.mapping(pointer, value))


STEPS: Mapping[str, tuple[Parser, tuple[str, ...]]] = {
    "say": (_say, ("every", "size")),
    "event": (_event, ("violates",)),
    "bytes": (_bytes, ()),
    "ping": (_ping, ()),
    "wait": (_wait, ()),
    "error": (_error, ()),
    "tool_call": (_tool_call, ()),
    "tool_result": (_tool_result, ()),
    "file": (_file, ()),
    "replace": (_replace, ()),
    "audio": (_audio, ("every",)),
    "fault": (_fault, ()),
    "end": (_end, ()),
}
"""Word of a step → how its value is read, and which words may stand beside it."""

TESTS: Mapping[str, Callable[[Any, Any], bool]] = {
    "equals": lambda value, wanted: bool(value == wanted),
    "contains": lambda value, wanted: isinstance(value, str | list) and wanted in value,
    "matches": lambda value, wanted: isinstance(value, str) and re.search(wanted, value) is not None,
    "exists": lambda value, wanted: (value is not None) == wanted,
}


def _matches(when: Mapping[str, Any], headers: Mapping[str, str], body: Any) -> bool:
    for name, wanted in when.get("header", {}).items():
        if not _passes(headers.get(name.lower()), wanted):
            return False
    for name, wanted in when.get("body", {}).items():
        if not _passes(body.get(name) if isinstance(body, dict) else None, wanted):
            return False
    return True


def _passes(value: Any, wanted: Any) -> bool:
    if not isinstance(wanted, dict):
        return bool(value == wanted)
    return all(_test(word, value, operand) for word, operand in wanted.items())


def _test(word: str, value: Any, operand: Any) -> bool:
    try:
        return TESTS[word](value, operand)
    except TypeError:
        return False


def _kind(value: Any) -> str:
    return {type(None): "nothing", dict: "a mapping", list: "a list"}.get(type(value), repr(value))
