"""Files that an answer can bring along: for each kind what its bytes are, how its name ends and its media type."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from emulator.world.media import picture_png, speech_mp3

EXTENSIONS: Mapping[str, str] = {"image": "png", "audio": "mp3", "document": "txt"}
"""Kind of a file → how its name ends."""
MEDIA_TYPES: dict[str, str] = {"image": "image/png", "audio": "audio/mpeg", "document": "text/plain"}
MAKERS: Mapping[str, Callable[[str], bytes]] = {"image": picture_png, "audio": speech_mp3, "document": str.encode}


def content_of(kind: str, text: str) -> bytes:
    """A file of that kind about a text."""
    return MAKERS[kind](text)
