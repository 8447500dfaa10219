"""Files that a tool of an app made: kept by id, handed out at an address below the mount."""

from __future__ import annotations

from collections.abc import Mapping

from emulator.backends import Ask
from emulator.backends.ruoyi.records import ToolFile, data_of
from emulator.call import Reply
from emulator.errors import Refused
from emulator.wire import made_files
from emulator.world.session import DEFAULT, World

MEDIA_TYPES: Mapping[str, str] = made_files.MEDIA_TYPES | {"document": "text/plain; charset=utf-8"}
"""Kind of a file → its media type, which is its Content-Type as well."""


def keep_file(world: World, name: str | None, kind: str, data: bytes) -> ToolFile:
    """A new file."""
    id = world.seed.uuid("tool-file")
    name = name or f"{id}.{made_files.EXTENSIONS[kind]}"
    return data_of(world).files.put(ToolFile(id, name, MEDIA_TYPES[kind], data))


def address(ask: Ask, file: ToolFile, kind: str) -> str:
    """Where a file can be fetched, without a token and from the session it belongs to."""
    mount = ask.call.mount
    if ask.session.name != DEFAULT and not mount.startswith("/_s/"):
        mount = f"/_s/{ask.session.name}{mount}"
    return f"{ask.call.origin}{mount}/files/tools/{file.id}.{made_files.EXTENSIONS[kind]}"


def get_file(ask: Ask) -> Reply:
    """`GET /files/tools/{name}`: the id in the name says which."""
    file = data_of(ask.world).files.get(ask.path["name"].partition(".")[0])
    if file is None:
        raise Refused("file_not_found")
    return Reply(200, (("Content-Type", file.mime_type),), file.data)
