"""Conversations: list, history, rename, delete, and their variables. Source: FACTS.md 002 §8."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from emulator.backends import Ask
from emulator.backends.dify.files import shown_in_history
from emulator.backends.dify.people import end_user
from emulator.backends.dify.records import Conversation, EndUser, Message, Thought, Variable, data_of
from emulator.backends.dify.turn import labels
from emulator.backends.dify.wire import JSON, reply_json
from emulator.call import Reply
from emulator.errors import Refused
from emulator.jsontext import compact
from emulator.world import prose
from emulator.world.paging import beyond

NO_PARENT = "00000000-0000-0000-0000-000000000000"
VARIABLE_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}")
BANNED_IN_NAMES = ("--", "xp_", "sp_")


def find_conversation(ask: Ask, user: EndUser, id: str, missing: str = "Conversation Not Exists.") -> Conversation:
    """The user's own conversation. Raises Refused `not_found`."""
    found = data_of(ask.world).conversations.get(id.lower())
    if found is None or found.user_id != user.id or found.app_id != user.app_id:
        raise Refused("not_found", missing)
    return found


def shown(ask: Ask, conversation: Conversation) -> dict[str, Any]:
    """A conversation as lists show it, under the name it has by now."""
    titled = conversation.title is not None and ask.world.clock.now() >= conversation.named_at
    return {
        "id": conversation.id,
        "name": conversation.title if titled else conversation.name,
        "inputs": conversation.inputs,
        "status": "normal",
        "introduction": conversation.introduction,
        "created_at": int(conversation.created_at),
        "updated_at": int(conversation.updated_at),
    }


def list_conversations(ask: Ask) -> Reply:
    """`getConversationsList`."""
    user = end_user(ask, ask.query.get("user"))
    limit, sort_by = ask.query["limit"], ask.query["sort_by"]
    descending = sort_by.startswith("-")
    by_created = sort_by.endswith("created_at")

    def rank(one: Conversation) -> float:
        return one.created_at if by_created else one.updated_at

    found = data_of(ask.world).conversations.where("owner", (user.app_id, user.id))
    found.sort(key=rank, reverse=descending)
    last_id = (ask.query.get("last_id") or "").strip()
    if last_id:
        last = find_conversation(ask, user, last_id, "Last Conversation Not Exists.")
        found = beyond(found, last, rank, descending)
    page = [shown(ask, one) for one in found[:limit]]
    return reply_json({"limit": limit, "has_more": len(found) > limit, "data": page})


def history(ask: Ask) -> Reply:
    """`getConversationHistory`: pages go back in time, each is oldest first."""
    user = end_user(ask, ask.query.get("user"))
    limit = ask.query["limit"]
    conversation_id = ask.query["conversation_id"].strip()
    if not conversation_id:
        return reply_json({"limit": limit, "has_more": False, "data": []})
    conversation = find_conversation(ask, user, conversation_id)
    found = data_of(ask.world).messages.where("conversation", conversation.id)
    first_id = (ask.query.get("first_id") or "").strip().lower()
    if first_id:
        at = next((i for i, one in enumerate(found) if one.id == first_id), None)
        if at is None:
            raise Refused("not_found", "First Message Not Exists.")
        found = found[:at]
    page = [shown_message(ask, one) for one in found[-limit:]]
    return reply_json({"limit": limit, "has_more": len(found) > limit, "data": page})


def shown_message(ask: Ask, message: Message) -> dict[str, Any]:
    """A message as the history shows it."""
    own = [one for one in data_of(ask.world).feedback.where("message", message.id) if one.from_user is not None]
    at = int(message.created_at)
    seed = ask.world.seed
    return {
        "id": message.id,
        "conversation_id": message.conversation_id,
        "parent_message_id": NO_PARENT if ask.observed("parent_message") else None,
        "inputs": message.inputs,
        "query": message.query,
        "answer": message.answer,
        "feedback": {"rating": own[0].rating} if own else None,
        "retriever_resources": [
            {
                "id": seed.fixed_uuid("resource", f"{message.id} {one['position']}"),
                "message_id": message.id,
                **one,
                "created_at": at,
            }
            for one in message.resources
        ],
        "created_at": at,
        "agent_thoughts": [_shown_thought(message, one) for one in message.thoughts],
        "message_files": [shown_in_history(ask, one) for one in message.files],
        "status": message.status,
        "error": message.error,
        "extra_contents": [],
    }


def _shown_thought(message: Message, thought: Thought) -> dict[str, Any]:
    return {
        "id": thought.id,
        "chain_id": None,
        "message_id": message.id,
        "position": thought.position,
        "thought": thought.thought,
        "tool": thought.tool,
        "tool_labels": labels(thought.tool),
        "tool_input": thought.tool_input,
        "created_at": int(thought.created_at),
        "observation": thought.observation,
        "files": list(thought.files),
    }


def rename(ask: Ask) -> Reply:
    """`renameConversation`: by hand it counts as an update, by model it does not."""
    user = end_user(ask, ask.body.get("user"))
    data = data_of(ask.world)
    name = ask.body.get("name")
    if ask.body.get("auto_generate"):
        conversation = find_conversation(ask, user, ask.path["conversation_id"])
        messages = data.messages.where("conversation", conversation.id)
        text = messages[0].query if messages else conversation.name
        title = prose.title_of(text, ask.world.seed.rng("title", conversation.id))
        renamed = replace(conversation, name=title, title=None)
    else:
        if not isinstance(name, str) or not name.strip():
            raise Refused(
                "invalid_param",
                "1 validation error for renameConversation\nname is required when auto_generate is false",
            )
        conversation = find_conversation(ask, user, ask.path["conversation_id"])
        renamed = replace(conversation, name=name, title=None, updated_at=ask.world.clock.now())
    return reply_json(shown(ask, data.conversations.put(renamed)))


def delete(ask: Ask) -> Reply:
    """`deleteConversation`: it is gone, with everything in it."""
    body = ask.body or {}
    if ask.observed("delete_needs_body") and not ask.call.headers.get("content-type", "").startswith(
        "application/json"
    ):
        raise Refused("unsupported_media_type")
    user = end_user(ask, body.get("user"))
    conversation = find_conversation(ask, user, ask.path["conversation_id"])
    data = data_of(ask.world)
    for message in data.messages.where("conversation", conversation.id):
        for feedback in data.feedback.where("message", message.id):
            data.feedback.drop(feedback.id)
        for file in message.files:
            if file.upload_id is not None:
                data.uses.drop(f"{file.upload_id} {message.id}")
            elif file.source is None:
                data.tool_files.drop(file.id)
        data.messages.drop(message.id)
    for variable in data.variables.where("conversation", conversation.id):
        data.variables.drop(variable.id)
    data.conversations.drop(conversation.id)
    return Reply(204, JSON)


def list_variables(ask: Ask) -> Reply:
    """`getConversationVariables`."""
    user = end_user(ask, ask.query.get("user"))
    limit = ask.query["limit"]
    name = ask.query.get("variable_name")
    if name is not None and not _is_variable_name(name):
        raise Refused("invalid_param", "variable_name\n  expected 1 to 255 letters, digits, '-', '_' or '.'")
    conversation = find_conversation(ask, user, ask.path["conversation_id"])
    found = data_of(ask.world).variables.where("conversation", conversation.id)
    last_id = (ask.query.get("last_id") or "").strip().lower()
    if last_id:
        at = next((i for i, one in enumerate(found) if one.id == last_id), None)
        if at is None:
            raise Refused("invalid_param", "")
        found = found[at + 1 :]
    if name is not None:
        found = [one for one in found if name.lower() in one.name.lower()]
    page = [shown_variable(one) for one in found[:limit]]
    return reply_json({"limit": limit, "has_more": len(found) > limit, "data": page})


def _is_variable_name(name: str) -> bool:
    return VARIABLE_NAME.fullmatch(name) is not None and not any(banned in name for banned in BANNED_IN_NAMES)


def shown_variable(variable: Variable) -> dict[str, Any]:
    """A variable as lists show it: the value is always text."""
    value = variable.value
    return {
        "id": variable.id,
        "name": variable.name,
        "value_type": SHOWN_TYPES.get(variable.type, variable.type),
        "value": value if isinstance(value, str) else compact(value).decode(),
        "description": variable.description,
        "created_at": int(variable.created_at),
        "updated_at": int(variable.updated_at),
    }


SHOWN_TYPES = {"integer": "number", "float": "number", "any": "string"}
KINDS: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "secret": (str,),
    "number": (int, float),
    "integer": (int,),
    "float": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "file": (dict,),
    "any": (str, int, float, bool, dict, list, type(None)),
}


def fits(value: Any, kind: str) -> bool:
    """Whether a JSON value has the type that a flow declares."""
    if kind.startswith("array["):
        return isinstance(value, list) and all(fits(one, kind[6:-1]) for one in value)
    if isinstance(value, bool) and kind not in ("boolean", "any"):
        return False
    return isinstance(value, KINDS[kind])


def type_name(value: Any) -> str:
    """What kind of JSON value it is, as Dify names it."""
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", dict: "object", list: "array[any]"}
    return names.get(type(value), "none")


def update_variable(ask: Ask) -> Reply:
    """`updateChatConversationVariable`."""
    user = end_user(ask, ask.body.get("user"))
    conversation = find_conversation(ask, user, ask.path["conversation_id"])
    data = data_of(ask.world)
    variable = data.variables.get(ask.path["variable_id"].lower())
    if variable is None or variable.conversation_id != conversation.id:
        raise Refused("not_found", "Conversation Variable Not Exists.")
    value = ask.body["value"]
    if not fits(value, variable.type):
        expected, got = variable.type, type_name(value)
        if ask.observed("variable_mismatch_text"):
            text = f"Type mismatch: variable '{variable.name}' expects {expected}, but got {got} type"
        else:
            text = f"Value type mismatch: expected {expected}, got {got}."
        raise Refused("bad_request", text)
    changed = data.variables.put(replace(variable, value=value, updated_at=ask.world.clock.now()))
    return reply_json(shown_variable(changed))
