"""Members of Dify's events that take some making: an agent's steps and spoken audio.

Source: FACTS.md 002 §2 "Streaming: framing". Who sends these events, and when, is the backends' own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from emulator.jsontext import compact
from emulator.world.media import mp3_frames, speech_mp3

AUDIO_FRAMES = 14
"""MP3 frames in one `tts_message`: half a second."""


class Thought(Protocol):
    """A step of an agent."""

    @property
    def id(self) -> str:
        """A UUID."""
        ...

    @property
    def position(self) -> int:
        """Its place among the steps of the answer, from 1."""
        ...

    @property
    def thought(self) -> str:
        """What the agent said in it."""
        ...

    @property
    def tool(self) -> str:
        """The name of the tool that it used, empty without one."""
        ...

    @property
    def tool_input(self) -> str:
        """What the tool was given, see `input_of`."""
        ...

    @property
    def observation(self) -> str:
        """What came of it, see `observed`."""
        ...

    @property
    def files(self) -> tuple[str, ...]:
        """The ids of the files that it made."""
        ...


def shown_thought(one: Thought, labels: Mapping[str, Any]) -> dict[str, Any]:
    """An agent's step as `agent_thought` tells it, with the labels of its tools by name."""
    return {
        "id": one.id,
        "position": one.position,
        "thought": one.thought,
        "observation": one.observation,
        "tool": one.tool,
        "tool_labels": labels,
        "tool_input": one.tool_input,
        "message_files": list(one.files),
    }


def label(tool: str) -> dict[str, str]:
    """What people are shown for a tool's name."""
    words = tool.replace("_", " ").title()
    return {"en_US": words, "zh_Hans": words}


def input_of(tool: str, arguments: Mapping[str, Any]) -> str:
    """What a tool was given, as the text that a step has for it."""
    return compact({tool: dict(arguments)}).decode()


def observed(tool: str, result: Any) -> str:
    """What a tool gave, as the text that a step has for it. A result that is no text stands in it as JSON text."""
    return compact({tool: result if isinstance(result, str) else compact(result).decode()}).decode()


def spoken(text: str) -> Iterator[str]:
    """The `audio` of each `tts_message` of a text: MP3 as Base64, in pieces that decode on their own."""
    frames = mp3_frames(speech_mp3(text))
    # A lone frame cannot be recognised as MP3, so the last piece takes it along.
    cuts = list(range(0, max(len(frames) - 1, 1), AUDIO_FRAMES))
    for start, end in zip(cuts, [*cuts[1:], len(frames)], strict=True):
        yield base64.b64encode(b"".join(frames[start:end])).decode()
