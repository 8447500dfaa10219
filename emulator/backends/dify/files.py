"""Files: upload, preview, the signed addresses of files, and what a message does with its files.

Sources: FACTS.md 002 §2 (files of a query) and §5.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from emulator.backends import Ask
from emulator.backends.dify.apps import App
from emulator.backends.dify.people import end_user, tenant_id
from emulator.backends.dify.records import EndUser, MessageFile, Upload, data_of
from emulator.backends.dify.wire import OWN_HEADERS, reply_json
from emulator.call import Part, Reply
from emulator.errors import Refused

MB = 1024 * 1024
IMAGES = frozenset({"jpg", "jpeg", "png", "webp", "gif", "svg"})
VIDEOS = frozenset({"mp4", "mov", "mpeg", "webm"})
SOUNDS = frozenset({"mp3", "m4a", "wav", "amr", "mpga"})
LONGEST_NAME = 200
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
FILE_TYPES = ("image", "document", "audio", "video", "custom")


def limit_mb(extension: str) -> int:
    """Megabytes that an upload with this extension may have."""
    if extension in IMAGES:
        return 10
    if extension in VIDEOS:
        return 100
    return 50 if extension in SOUNDS else 15


def type_of(extension: str) -> str:
    """`image`, `video`, `audio` or `document`."""
    for kind, extensions in (("image", IMAGES), ("video", VIDEOS), ("audio", SOUNDS)):
        if extension in extensions:
            return kind
    return "document"


def extension_of(name: str) -> str:
    """What follows the last dot, in lower case; "" when there is none."""
    return name.rpartition(".")[2].lower() if "." in name else ""


def file_part(ask: Ask, missing: str) -> Part:
    """The one file part called `file`. Raises Refused with `missing`, or `too_many_files`."""
    files = [part for part in ask.parts if part.filename is not None]
    wanted = [part for part in files if part.name == "file"]
    if not wanted:
        raise Refused(missing)
    if len({part.name for part in files}) > 1:
        raise Refused("too_many_files")
    return wanted[0]


def user_field(ask: Ask) -> str | None:
    """The form's `user`."""
    return next((part.data.decode("utf-8", "replace") for part in ask.parts if part.name == "user"), None)


def upload(ask: Ask) -> Reply:
    """`uploadChatFile`."""
    part = file_part(ask, "no_file_uploaded")
    if not part.content_type:
        raise Refused("unsupported_file_type")
    name = part.filename or ""
    if not name:
        raise Refused("filename_not_exists_error")
    if "/" in name or "\\" in name:
        raise Refused("invalid_param", "Filename contains invalid characters")
    extension = extension_of(name)
    if len(part.data) > limit_mb(extension) * MB:
        raise Refused("file_too_large")
    user = end_user(ask, user_field(ask))
    if len(name) > LONGEST_NAME:
        stem = name[: LONGEST_NAME - len(extension) - 1]
        name = f"{stem}.{extension}" if 0 < len(extension) < LONGEST_NAME // 2 else name[:LONGEST_NAME]
    world = ask.world
    kept = data_of(world).uploads.put(
        Upload(
            id=world.seed.uuid("upload"),
            user_id=user.id,
            user_name=user.name,
            name=name,
            extension=extension,
            mime_type=part.content_type,
            data=part.data,
            created_at=world.clock.now(),
        )
    )
    return reply_json(_shown(ask, kept), 201)


def _shown(ask: Ask, kept: Upload) -> dict[str, Any]:
    observed = ask.observed("upload_addresses")
    key = f"upload_files/{tenant_id(ask.world)}/{kept.id}{'.' + kept.extension if kept.extension else ''}"
    return {
        "id": kept.id,
        "name": kept.name,
        "size": len(kept.data),
        "extension": kept.extension,
        "mime_type": kept.mime_type,
        "created_by": kept.user_id,
        "created_at": int(kept.created_at),
        "preview_url": None,
        "source_url": signed(ask, f"/files/{kept.id}/file-preview", kept.id) if observed else None,
        "original_url": None,
        "user_id": None if observed else kept.user_id,
        "tenant_id": tenant_id(ask.world),
        "conversation_id": None,
        "file_key": None if observed else key,
    }


def preview(ask: Ask) -> Reply:
    """`previewChatFile`: the bytes of a file that some message of this app uses."""
    id = ask.path["file_id"].lower()
    data = data_of(ask.world)
    kept = data.uploads.get(id)
    uses = data.uses.where("upload", id)
    if kept is None or not uses:
        raise Refused("file_not_found", "File not found in message context" if kept is not None else None)
    user = ask.query.get("user")
    if user and user != kept.user_name and not ask.observed("attached_upload"):
        raise Refused("file_not_found")
    app_id = ask.caller.id_in(ask)
    if all(use.app_id != app_id for use in uses):
        raise Refused("file_access_denied")
    return file_reply(kept.name, kept.mime_type, kept.data, bool(ask.query.get("as_attachment")))


def file_reply(name: str, mime_type: str, data: bytes, attachment: bool) -> Reply:
    """A file's bytes. HTML is never shown in place."""
    # A header cannot carry what the client made up beyond printable ASCII.
    sent_type = re.sub(r"[^\x20-\x7e]", "", mime_type) or "application/octet-stream"
    kind = sent_type.partition(";")[0].strip().lower()
    html = kind in ("text/html", "application/xhtml+xml") or extension_of(name) in ("html", "htm")
    headers = [("Cache-Control", "public, max-age=3600"), *OWN_HEADERS]
    if kind.startswith(("audio/", "video/")):
        headers.append(("Accept-Ranges", "bytes"))
    if attachment or html:
        sent_type = "application/octet-stream"
        headers.append(
            ("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name, safe='', errors='replace')}")
        )
    if html:
        headers.append(("X-Content-Type-Options", "nosniff"))
    return Reply(200, (("Content-Type", sent_type), *headers), data)


def signed(ask: Ask, path: str, id: str) -> str:
    """An absolute address below the mount that works without a key."""
    seed = ask.world.seed
    nonce = seed.fixed("nonce", id).hex()
    sign = seed.fixed("sign", id, 32).hex()
    return f"{ask.call.origin}{ask.call.mount}{path}?timestamp={int(ask.world.clock.epoch)}&nonce={nonce}&sign={sign}"


def signed_file(ask: Ask) -> Reply:
    """`GET /files/{id}/file-preview` and `GET /files/tools/{name}`: files by a signed address, not in the document."""
    data = data_of(ask.world)
    id = (ask.path.get("file_id") or ask.path["name"].partition(".")[0]).lower()
    sign = ask.world.seed.fixed("sign", id, 32).hex()
    if f"sign={sign}" not in ask.call.query.decode("latin-1").split("&"):
        raise Refused("forbidden", "Invalid request.")
    kept = data.uploads.get(id)
    if kept is not None:
        return file_reply(kept.name, kept.mime_type, kept.data, attachment=False)
    made = data.tool_files.get(id)
    if made is None:
        raise Refused("file_not_found")
    return file_reply(made.name, made.mime_type, made.data, attachment=False)


def attach(ask: Ask, user: EndUser, entries: Sequence[Any] | None) -> list[MessageFile]:
    """The files of a query as the message will have them. Entries that say too little are skipped; raises Refused
    for those that cannot be used."""
    app: App = ask.caller
    if not app.images:
        return []
    found = [one for entry in entries or () if (one := _attached(ask, user, entry)) is not None]
    images = sum(one.type == "image" for one in found)
    if images > app.images:
        raise Refused("invalid_param", f"Number of image files exceeds the maximum limit {app.images}")
    if len(found) > 10:
        raise Refused("invalid_param", "Number of files exceeds the maximum limit 10")
    return found


def _attached(ask: Ask, user: EndUser, entry: Mapping[str, Any]) -> MessageFile | None:
    method = entry.get("transfer_method")
    if not method:
        return None
    if method not in ("remote_url", "local_file"):
        raise Refused("invalid_param", f"No matching enum found for value '{method}'")
    kind = entry.get("type") or "image"
    if kind not in FILE_TYPES:
        raise Refused("invalid_param", f"No matching enum found for value '{kind}'")
    id = ask.world.seed.uuid("message-file")
    if method == "remote_url":
        url = entry.get("url")
        if not url:
            return None
        name = url.partition("?")[0].partition("#")[0].rstrip("/").rpartition("/")[2] or "file"
        mime_type = f"image/{extension_of(name) or 'png'}" if kind == "image" else "application/octet-stream"
        return MessageFile(id, kind, name, mime_type, None, method, "user", source=url)
    upload_id = entry.get("upload_file_id") or ""
    kept = data_of(ask.world).uploads.get(upload_id.lower())
    if not ask.observed("attached_upload"):
        if kept is None or kept.user_name != user.name:
            raise Refused("file_not_found")
    elif kept is None:
        if not upload_id:
            raise Refused("invalid_param", "Invalid upload file id")
        if not UUID.fullmatch(upload_id):
            raise Refused("invalid_param", "Invalid upload file id format")
        raise Refused("invalid_param", "Invalid upload file")
    actual = type_of(kept.extension)
    if kind not in ("custom", actual):
        raise Refused("invalid_param", f"File validation failed for file: {kept.name}")
    return MessageFile(id, kind, kept.name, kept.mime_type, len(kept.data), method, "user", upload_id=kept.id)


def shown_in_history(ask: Ask, file: MessageFile) -> dict[str, Any]:
    """A file of a message as the history shows it."""
    return {
        "id": file.id,
        "filename": file.filename,
        "type": file.type,
        "url": address(ask, file),
        "mime_type": file.mime_type,
        "size": file.size,
        "transfer_method": file.transfer_method,
        "belongs_to": file.belongs_to,
        "upload_file_id": file.upload_id,
    }


def shown_at_end(ask: Ask, file: MessageFile) -> dict[str, Any]:
    """A file of a message as `message_end` lists it."""
    extension = extension_of(file.filename)
    return {
        "related_id": file.id,
        "extension": f".{extension}" if extension else "",
        "filename": file.filename,
        "size": file.size if file.size is not None else 0,
        "mime_type": file.mime_type,
        "transfer_method": file.transfer_method,
        "type": file.type,
        "url": address(ask, file),
        "upload_file_id": file.upload_id,
        "remote_url": file.source or "",
    }


def address(ask: Ask, file: MessageFile) -> str:
    """Where a file of a message can be fetched."""
    if file.source is not None:
        return file.source
    if file.upload_id is not None:
        return signed(ask, f"/files/{file.upload_id}/file-preview", file.upload_id)
    extension = extension_of(file.filename)
    return signed(ask, f"/files/tools/{file.id}{'.' + extension if extension else ''}", file.id)
