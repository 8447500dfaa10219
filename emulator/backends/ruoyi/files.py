"""Files that a tool of an app made: kept by id, handed out at an address below the mount."""

from __future__ import annotations

from collections.abc import Mapping

from emulator.backends import Ask
from emulator.backends.ruoyi.records import ToolFile, data_of
from emulator.call import Reply
from emulator.errors import Refused
from emulator.world.media import picture_png, speech_mp3
from emulator.world.session import DEFAULT, World

FILE_KINDS: Mapping[str, tuple[str, str]] = {
    "image": ("png", "image/png"),
    "audio": ("mp3", "audio/mpeg"),
    "document": ("txt", "text/plain; charset=utf-8"),
}
"""Kind of a file → its extension and media type."""


def content_of(kind: str, text: str) -> bytes:
    """A file of that kind about a text."""
    if kind == "image":
        return picture_png(text)
    return speech_mp3(text) if kind == "audio" else text.encode()


def keep_file(world: World, name: str | None, kind: str, data: bytes) -> ToolFile:
    """A new file."""
    extension, mime_type = FILE_KINDS[kind]
    id = world.seed.uuid("tool-file")
    return data_of(world).files.put(ToolFile(id, name or f"{id}.{extension}", mime_type, data))


def address(ask: Ask, file: ToolFile, kind: str) -> str:
    """Where a file can be fetched, without a token and from the session it belongs to."""
    mount = ask.call.mount
    if ask.session.name != DEFAULT and not mount.startswith("/_s/"):
        mount = f"/_s/{ask.session.name}{mount}"
    return f"{ask.call.origin}{mount}/files/tools/{file.id}.{FILE_KINDS[kind][0]}"


def get_file(ask: Ask) -> Reply:
    """`GET /files/tools/{name}`: the id in the name says which."""
    file = data_of(ask.world).files.get(ask.path["name"].partition(".")[0])
    if file is None:
        raise Refused("file_not_found")
    return Reply(200, (("Content-Type", file.mime_type),), file.data)
