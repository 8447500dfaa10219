"""`chat-emulator scenarios`: which there are, what one does in words, and the frames that it would send.

Only reads and prints. What is shown of a stream is played without waiting, with the spec's own example as the call.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from emulator.call import Reply
from emulator.contract.document import Operation
from emulator.errors import Broken, Misused, nearest
from emulator.fault import LAST, Fault
from emulator.rehearsal import Frame, Rehearsal
from emulator.service import Service, bundled, scenario_folders, spec_files
from emulator.settings import Settings
from emulator.streams.reading import load
from emulator.streams.scenario import Branch, Choose, Line, Piece, Repeat, Scenario, Spoken, Unfolded
from emulator.streams.shelf import ANY, files_in
from emulator.streams.steps import (
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
    ToolCall,
    ToolResult,
    Wait,
)
from emulator.streams.values import Template
from emulator.streams.when import told

SCHEMA = "scenario.schema.json"
SHORT = 72
"""Characters of a text that are quoted in a sentence."""
MOST_SHOWN = 300
"""Chunks that are printed of one answer."""
BOLD, FAINT, CYAN = "1", "2", "36"


def show_schema(out: TextIO) -> None:
    """Print the JSON Schema of a scenario file, for editors."""
    out.write((bundled("scenarios") / SCHEMA).read_text("utf-8"))


def show_all(settings: Settings, backend: str | None, out: TextIO) -> None:
    """Print all scenarios, or those that one backend can be asked for. A broken file is shown with its mistake."""
    from tabulate import tabulate

    rows = [
        (file.stem, part, *_listed(file))
        for part in (ANY, *_services(settings, backend))
        for file in files_in(folder / part for folder in scenario_folders(settings)).values()
    ]
    table = tabulate(sorted(rows), headers=("scenario", "backend", "for", "what it does"), tablefmt="simple")
    for line in table.splitlines():
        print(_cut(line, out), file=out)
    print(f"\n{len(rows)} scenarios; chat-emulator scenarios NAME explains one", file=out)


def _listed(file: Path) -> tuple[str, str]:
    try:
        scenario = load(file)
    except Broken as error:
        return "", f"cannot be used: {error}"
    return scenario.operation or ("by itself" if scenario.automatic else ""), " ".join(scenario.description.split())


def show_one(settings: Settings, name: str, backend: str | None, out: TextIO) -> None:
    """Explain a scenario, and print what it would send in one backend: the one that is named, else the first that has
    it. Raises Misused for a name that is not there, Broken for a file that cannot be used."""
    services = _services(settings, backend)
    service = _service_with(services, name)
    scenario = service.scenarios.get(name)
    for line in _explained(scenario, service):
        print(line, file=out)
    rehearsal = Rehearsal(service, settings)
    operation = _operation(scenario, rehearsal)
    if operation is None:
        return
    print(f"\n{_paint('sends', BOLD, out)}  in {service.name}, for the example of {operation.id}", file=out)
    for line in _sent(scenario, rehearsal, operation):
        print(f"  {_cut(line, out, 2)}", file=out)


def _services(settings: Settings, backend: str | None) -> dict[str, Service]:
    files = spec_files(settings)
    if backend is not None and backend not in files:
        near = nearest(backend, files)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise Misused("Unknown backend", f"There is no backend {backend!r}.{hint}", files)
    return {name: Service(name, file, settings) for name, file in files.items() if backend in (None, name)}


def _service_with(services: Mapping[str, Service], name: str) -> Service:
    names: set[str] = set()
    having = []
    for service in services.values():
        own = service.scenarios.names()
        names |= set(own)
        if name in own:
            having.append(service)
    if not having:
        near = nearest(name, names)
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        raise Misused("Unknown scenario", f"There is no scenario {name[:80]!r}.{hint}", sorted(names))
    # One of a backend's own is shown there, not where a file of the same name serves every backend.
    return next((one for one in having if one.scenarios.file(name).parent.name == one.name), having[0])


def _operation(scenario: Scenario, rehearsal: Rehearsal) -> Operation | None:
    operations = rehearsal.service.document.operations
    if scenario.operation is not None:
        return operations.get(scenario.operation)
    return next(iter(rehearsal.answering()), None)


# ---- in words


def _explained(scenario: Scenario, service: Service) -> Iterator[str]:
    yield f"{scenario.name}  {scenario.file}"
    yield from (f"  {line}" for line in scenario.description.splitlines())
    yield ""
    asked = f"X-Emulator-Scenario: {scenario.name}, or /scenario {scenario.name} as chat text"
    yield f"played   when it is asked for: {asked}"
    if scenario.automatic:
        yield f"         by itself, when {_conditions(scenario)}"
    yield f"for      {scenario.operation or 'any operation' + (' that gives an answer' if scenario.speaks else '')}"
    if scenario.becomes:
        yield f"states   {_states(scenario.becomes)}"
    if scenario.faults:
        yield f"faults   {_faults(scenario.faults)}"
    if scenario.lines is None:
        yield "steps    those of the backend itself"
        return
    yield "steps"
    yield from _told_lines(scenario.lines, "  ")


def _conditions(scenario: Scenario) -> str:
    found = [told(scenario.when)] if scenario.when is not None else []
    found += [told({"state": scenario.requires})] if scenario.requires else []
    return " and ".join(found)


def _states(becomes: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} becomes {'a value worked out for each call' if isinstance(value, Template) else _short(value)}"
        for name, value in becomes.items()
    )


def _faults(faults: Any) -> str:
    if callable(faults):
        return "worked out for each call"
    return ", ".join(map(_fault, faults))


def _fault(fault: Fault) -> str:
    options = ", ".join(f"{name} {value}" for name, value in fault.options.items())
    at = "" if fault.event is None else f" at {'the last event' if fault.event == LAST else f'event {fault.event}'}"
    at += "" if fault.byte is None else f" after {fault.byte} bytes"
    return f"{fault.name}{at}{f' ({options})' if options else ''}"


def _told_lines(lines: tuple[Piece, ...], indent: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        match line:
            case Line():
                yield f"{indent}{number}. {_told_line(line)}"
            case Repeat():
                times = "as often as is worked out for each call" if line.times is None else f"{line.times} times"
                yield f"{indent}{number}. {times}:"
                yield from _told_lines(line.lines, indent + "   ")
            case Choose():
                yield f"{indent}{number}. the first of these that fits:"
                for branch in line.branches:
                    yield from _told_branch(branch, indent + "   ")


def _told_branch(branch: Branch, indent: str) -> Iterator[str]:
    yield f"{indent}{'otherwise' if branch.when is None else f'when {told(branch.when)}'}:"
    if branch.becomes:
        yield f"{indent}   {_states(branch.becomes)}"
    if branch.faults:
        yield f"{indent}   faults: {_faults(branch.faults)}"
    yield from _told_lines(branch.lines, indent + "   ")


def _told_line(line: Line) -> str:
    if line.make is not None:
        return f"{line.word}, with values that are worked out for each call"
    return " and ".join(_told_step(step) for step in line.spoken)


def _told_step(step: Spoken | Any) -> str:
    return STEPS[type(step)](step)


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:g} ms" if seconds < 1 else f"{seconds:g} s"


def _said(step: Say) -> str:
    first = f", the first after {_seconds(step.first)}" if step.first else ""
    uneven = f", give or take {_seconds(step.jitter)}" if step.jitter else ""
    pieces = "pieces" if step.size is None else f"pieces of {step.size}"
    return f"says {_short(step.text)} in {pieces}, one each {_seconds(step.every)}{uneven}{first}"


def _failed(step: Fail) -> str:
    status = "" if step.status is None else f", status {step.status}"
    message = "" if step.message is None else f", saying {_short(step.message)}"
    return f"fails with {step.code or 'the generic failure of a model'}{status}{message}"


def _replied(step: Respond) -> str:
    says: list[str] = []
    if step.has_body:
        says.append(f"body {_short(step.body)}")
    says += [f"{word} {value}" for word, value in (("example", step.example), ("code", step.code)) if value]
    says += [f"saying {_short(step.message)}"] if step.message else []
    says += [f"{name}: {value}" for name, value in step.headers.items()]
    return f"answers with the HTTP status {step.status}{': ' if says else ''}{', '.join(says)}"


STEPS: Mapping[type, Callable[[Any], str]] = {
    Say: _said,
    Wait: lambda step: f"waits {_seconds(step.seconds)}",
    Ping: lambda step: "sends a keep-alive",
    Send: lambda step: f"sends the event {_short(step.event)}",
    Bytes: lambda step: f"sends the bytes {_short(step.data)}",
    Fail: _failed,
    ToolCall: lambda step: f"calls the tool {step.name} with {_short(dict(step.arguments))}",
    ToolResult: lambda step: "gets what the tool gives" if step.result is None else f"gets {_short(step.result)}",
    File: lambda step: f"makes {'an' if step.type[0] in 'ai' else 'a'} {step.type}{_named(step.name)}",
    Replace: lambda step: f"replaces what was said by {_short(step.text)}",
    Audio: lambda step: f"speaks {'what was said' if step.text is None else _short(step.text)}",
    Respond: _replied,
    Fault: lambda step: f"breaks: {_fault(step)}",
    End: lambda step: f"ends{f' with {_short(dict(step.detail))}' if step.detail else ''}",
}
"""Step → what it does, in words."""


def _named(name: str | None) -> str:
    return "" if name is None else f" named {name}"


def _short(value: Any) -> str:
    text = repr(value) if isinstance(value, bytes) else json.dumps(_plain(value), ensure_ascii=False)
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"


def _plain(value: Any) -> Any:
    """A value with the text of each Template in it."""
    if isinstance(value, Template):
        return "{{ … }}"
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


# ---- what it sends


def _sent(scenario: Scenario, rehearsal: Rehearsal, operation: Operation) -> Iterator[str]:
    unfolded = scenario.unfold(rehearsal.scene(operation))
    if unfolded.reply is not None:
        yield from _whole(rehearsal.reply(operation, unfolded.reply, unfolded.after))
        return
    played = _played(rehearsal, operation, unfolded)
    if played is None:
        yield "nothing can be shown: none of the examples in the spec is accepted"
    elif isinstance(played.reply, Reply):
        yield from _whole(played.reply)
    else:
        yield f"{played.reply.status} {_header(played.reply.headers)}"
        yield from map(_frame, played.frames[:MOST_SHOWN])
        if len(played.frames) > MOST_SHOWN:
            yield f"… and {len(played.frames) - MOST_SHOWN} more chunks"


def _played(rehearsal: Rehearsal, operation: Operation, unfolded: Unfolded) -> Any:
    if unfolded.answers and operation.id not in rehearsal.service.backend.chat_text:
        return None
    return rehearsal.play(operation, unfolded.steps, unfolded.faults)


def _header(headers: Any) -> str:
    return next((value for name, value in headers if name.lower() == "content-type"), "")


def _whole(reply: Reply) -> Iterator[str]:
    yield f"{reply.after:8.3f} s  {reply.status}"
    for name, value in reply.headers:
        yield f"{'':12}{name}: {value}"
    yield f"{'':12}{shown(reply.body)}"


def _frame(frame: Frame) -> str:
    what = f"[{_fault(frame.sent)}]" if isinstance(frame.sent, Fault) else shown(frame.bytes)
    return f"{frame.at:8.3f} s  {what}"


def shown(data: bytes) -> str:
    r"""Bytes in one line: readable text as it is, line ends and whatever cannot be seen as `\n` and `\xff`, in quotes
    where blanks would be overlooked."""
    text = data.decode("utf-8", "backslashreplace")
    line = "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
    return f"'{line}'" if line != line.strip() else line


def _cut(line: str, out: TextIO, margin: int = 0) -> str:
    """A line that fits the terminal; as it is where nobody sees one."""
    width = shutil.get_terminal_size().columns - margin if out.isatty() else 0
    if not width or _width(line) <= width:
        return line
    kept, used = [], 0
    for one in line:
        used += _width(one)
        if used >= width:
            break
        kept.append(one)
    return "".join(kept) + "…"


def _width(text: str) -> int:
    from unicodedata import east_asian_width

    return len(text) if text.isascii() else sum(2 if east_asian_width(one) in "WF" else 1 for one in text)


def _paint(text: str, colour: str, out: TextIO = sys.stdout) -> str:
    if os.environ.get("NO_COLOR") or not out.isatty():
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"
