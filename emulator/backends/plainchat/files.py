"""Uploads, and the addresses at which files can be fetched. Source: FACTS.md 001, POST /api/file/upload."""

from __future__ import annotations

from urllib.parse import quote

from emulator.backends import Ask
from emulator.backends.plainchat.records import File, data_of
from emulator.backends.plainchat.wire import reply_json
from emulator.call import Headers, Reply
from emulator.errors import Refused
from emulator.wire.fastapi import Detailed

PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp"})
"""Types that are safe to show in a page."""
OTHER = "application/octet-stream"


def upload(ask: Ask) -> Reply:
    """`uploadFiles`: one id for each part called `files`, in their order. A part without a file name is no file."""
    parts = [part for part in ask.parts if part.name == "files"]
    wrong = [_no_file(number, part.data) for number, part in enumerate(parts) if part.filename is None]
    if wrong:
        raise Detailed(wrong)
    username = next(part.data.decode("utf-8", "replace") for part in ask.parts if part.name == "username")
    world = ask.world
    files = [
        File(world.seed.uuid("file"), username, part.filename or "", part.content_type or OTHER, part.data)
        for part in parts
    ]
    return reply_json({"file_ids": [data_of(world).files.put(file).id for file in files]})


def fetch(ask: Ask) -> Reply:
    """`GET /files/{file_id}`: a file's bytes. What is no picture is handed out for saving, never shown."""
    file = data_of(ask.world).files.get(ask.path["file_id"])
    if file is None:
        raise Refused("file_not_found")
    kind = file.mime_type.partition(";")[0].strip().lower()
    headers: Headers = (("Content-Type", kind),)
    if kind not in PICTURES:
        name = quote(file.name, safe="", errors="replace")
        headers = (("Content-Type", OTHER), ("Content-Disposition", f"attachment; filename*=UTF-8''{name}"))
    return Reply(200, (*headers, ("X-Content-Type-Options", "nosniff")), file.data)


def address(ask: Ask, id: str) -> str:
    """Where a file can be fetched, for anybody."""
    return f"{ask.call.origin}{ask.call.mount}/files/{id}"


def _no_file(number: int, data: bytes) -> dict[str, object]:
    return {
        "type": "value_error",
        "loc": ["body", "files", number],
        "msg": "Value error, Expected UploadFile, received: <class 'str'>",
        "input": data.decode("utf-8", "replace"),
        "ctx": {"error": {}},
    }
