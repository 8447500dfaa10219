"""Export to a file, import of such a file. Source: FACTS.md 003, In the seed but absent.

The replies of an export are files, without an envelope.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from emulator.backends import Ask
from emulator.backends.deskchat import formats
from emulator.backends.deskchat.conversations import DEFAULT_TITLE, start_conversation
from emulator.backends.deskchat.lookup import active_messages, add_message, default_group, find_conversation, find_group
from emulator.backends.deskchat.wire import success
from emulator.call import Reply
from emulator.errors import Refused

FILES: Mapping[str, tuple[str, str]] = {
    "json": ("json", "application/json"),
    "markdown": ("md", "text/markdown; charset=utf-8"),
    "txt": ("txt", "text/plain; charset=utf-8"),
}
"""Format → the file's extension and content type."""


def export_conversation(ask: Ask) -> Reply:
    """`exportConversation`."""
    written = _written(ask, ask.body["chat_id"])
    return _file(ask, f"conversation_{written[0].id}", [written], many=False)


def export_conversations(ask: Ask) -> Reply:
    """`exportConversations`: in the order of the ids, each once; an id that names nothing refuses the whole."""
    # Once: a thousand times the same id would make a file that no store can hold.
    written = [_written(ask, uuid) for uuid in dict.fromkeys(one.lower() for one in ask.body["chat_ids"])]
    return _file(ask, "conversations", written, many=True)


def _written(ask: Ask, uuid: str) -> formats.Written:
    conversation = find_conversation(ask, uuid)
    with_system = ask.body["include_system_messages"]
    messages = active_messages(ask.world, conversation.id)
    return conversation, [one for one in messages if with_system or one.role != "system"]


def _file(ask: Ask, name: str, written: Sequence[formats.Written], many: bool) -> Reply:
    extension, content_type = FILES[ask.body["format"]]
    headers = (
        ("Content-Type", content_type),
        ("Content-Disposition", f'attachment; filename="{name}.{extension}"'),
        # For pages that save the file under its name.
        ("Access-Control-Expose-Headers", "Content-Disposition"),
    )
    return Reply(200, headers, formats.write(ask.body["format"], written, many))


def import_conversations(ask: Ask) -> Reply:
    """`importConversations`: all of a file or nothing; a file that no export wrote is told by the envelope's code."""
    world = ask.world
    number = ask.query.get("group_id")
    group = default_group(world) if number is None else find_group(world, number)
    limits = ask.settings.limits
    data = next(part.data for part in ask.parts if part.name == "file")
    if len(data) > limits.text_body_bytes:
        raise Refused("too_large")
    try:
        # No more than half of what fits: an import may push out old records, but not what it has just made.
        talks = formats.read(data, limits.records // 2)
    except formats.TooMany as error:
        raise Refused("too_large") from error
    except formats.Unusable:
        return success("导入文件格式错误", {"imported": 0, "uuids": []}, code=400)
    uuids = [_take_in(ask, talk, group.id) for talk in talks]
    return success(f"成功导入 {len(uuids)} 个对话", {"imported": len(uuids), "uuids": uuids})


def _take_in(ask: Ask, talk: formats.Talk, group_id: int) -> str:
    """Make a conversation of a file anew."""
    world = ask.world
    created = start_conversation(
        world,
        title=DEFAULT_TITLE if talk.title is None else talk.title,
        description=talk.description,
        group_id=group_id,
        config=talk.config,
        created_at=talk.created_at,
        updated_at=talk.updated_at,
    )
    for line in talk.lines:
        add_message(world, created.id, line.role, line.content, line.message_type, line.metadata, line.created_at)
    return created.id
