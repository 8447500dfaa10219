"""plainchat's dialect: text as it comes, with nothing around it, and a marker at its end.

Source: FACTS.md 001, POST /api/chat, and the reader that seed 001 shows. Each event is one chunk. That reader
knows markers by how a chunk begins, so they come apart. It skips chunks of nothing but blanks, so blanks come with the
piece after them. There are no words for keep-alives, tools, audio or for replacing what was said; a picture is not
heard of in the answer, but stands in the history.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from emulator.backends.plainchat.records import Attached, File, Message, data_of
from emulator.backends.plainchat.wire import MARKERS, MESSAGE_ID, REASON
from emulator.call import Event
from emulator.jsontext import compact
from emulator.streams import steps
from emulator.world.media import picture_png
from emulator.world.session import World

SPEAKS = frozenset({"say", "wait", "event", "bytes", "error", "file", "fault", "end"})

BLANK = re.compile(r"[\s\ufeff]*")
"""What JavaScript's `trim` leaves nothing of."""
MODEL_FAILED = "The model did not answer."
REASONS: Mapping[str, str] = {
    "conversation_not_exists": "Conversation Not Exists.",
    "file_not_found": "The requested file was not found.",
    "provider_quota_exceeded": "The model's quota has been used up.",
    "rate_limit_error": "Rate Limit Error",
}
"""Code of a failure → what is said of it. There are no codes on this wire."""


class PlainTurn:
    """One answer. `message` is what it is kept in, None for one that was refused before anything began."""

    def __init__(self, world: World, message: Message | None) -> None:
        self._world = world
        self._data = data_of(world)
        self._message = message
        self._said: list[bytes] = []
        self._held: list[str] = []
        self._over = message is None

    def begin(self) -> Iterator[Event]:
        """Nothing comes before the first piece."""
        yield from ()

    def say(self, delta: str, seconds: float) -> Iterator[Event]:
        """A piece of the answer; blanks are held until more comes."""
        self._note(delta.encode())
        self._held.append(delta)
        if not BLANK.fullmatch(delta):
            yield from self._release()

    def ping(self) -> Iterator[Event]:
        """Cannot be said: any byte would be text."""
        yield from ()

    def event(self, payload: Any) -> Iterator[Event]:
        """A chunk as it stands: text, exact bytes, or any other value as JSON. It is a part of the answer, unless it
        begins as a marker does; bytes may end inside a character that later ones complete."""
        if not isinstance(payload, bytes):
            payload = payload.encode() if isinstance(payload, str) else compact(payload)
        marker = payload.startswith(MARKERS)
        if not marker:
            self._note(payload)
        yield from self._release()
        yield Event(raw=payload, apart=marker)

    def tool_call(self, step: steps.ToolCall) -> Iterator[Event]:
        """Cannot be said."""
        yield from ()

    def tool_result(self, step: steps.ToolResult) -> Iterator[Event]:
        """Cannot be said."""
        yield from ()

    def file(self, step: steps.File) -> Iterator[Event]:
        """A picture that was made: the text says nothing of it, the history has it. There are no other kinds."""
        if step.type == "image" and self._message is not None and not self._over:
            id = self._world.seed.uuid("file")
            data = picture_png(step.text or step.name or self._message.query)
            name = step.name or f"{id}.png"
            self._data.files.put(File(id, self._message.username, name, "image/png", data))
            self._message = replace(self._message, files=(*self._message.files, Attached(id, "assistant")))
        yield from ()

    def replace(self, step: steps.Replace) -> Iterator[Event]:
        """Cannot be said."""
        yield from ()

    def audio(self, step: steps.Audio) -> Iterator[Event]:
        """Cannot be said."""
        yield from ()

    def error(self, step: steps.Fail) -> Iterator[Event]:
        """The answer fails: a marker with the reason in one line. The history has the question, and no answer."""
        reason = step.message or REASONS.get(step.code or "", step.code) or MODEL_FAILED
        self._over = True
        yield from self._release()
        yield Event(data=REASON.format(" ".join(reason.split()) or MODEL_FAILED), apart=True)

    def end(self, step: steps.End, seconds: float) -> Iterator[Event]:
        """The proper end: the answer is kept, and a marker tells its id. `marker: false` in `detail` loses it."""
        if self._over or self._message is None:
            return
        self._keep(self._message)
        yield from self._release()
        if step.detail.get("marker", True):
            yield Event(data=MESSAGE_ID.format(self._message.id), apart=True)

    def stop(self, seconds: float) -> Iterator[Event]:
        """Stopped, since its session ends: it ends properly with the part that was said."""
        yield from self.end(steps.End(), seconds)

    def leave(self) -> None:
        """The client has gone: as in the system behind it, the history shows no answer."""

    def close(self) -> Iterator[Event]:
        """Nothing comes after the last chunk."""
        yield from ()

    def _note(self, piece: bytes) -> None:
        if not self._over:
            self._said.append(piece)

    def _release(self) -> Iterator[Event]:
        text = "".join(self._held)
        self._held.clear()
        if text:
            yield Event(data=text)

    def _keep(self, message: Message) -> None:
        self._over = True
        answer = b"".join(self._said).decode("utf-8", "replace").strip()
        # Deleted meanwhile: what is gone stays gone.
        if self._data.messages.get(message.id) is not None:
            self._data.messages.put(replace(message, answer=answer))
