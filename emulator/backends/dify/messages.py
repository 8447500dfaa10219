"""Feedback on messages, and the app's list of it. Source: FACTS.md 002 §7."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from emulator.backends import Ask
from emulator.backends.dify.people import end_user
from emulator.backends.dify.records import EndUser, Feedback, Message, data_of
from emulator.backends.dify.wire import reply_json
from emulator.call import Reply
from emulator.errors import Refused
from emulator.world.clock import iso
from emulator.world.paging import by_number


def find_message(ask: Ask, user: EndUser, id: str) -> Message:
    """The user's own message. Raises Refused `not_found`."""
    found = data_of(ask.world).messages.get(id.lower())
    if found is None or found.user_id != user.id or found.app_id != user.app_id:
        raise Refused("not_found", "Message Not Exists.")
    return found


def give_feedback(ask: Ask) -> Reply:
    """`postChatMessageFeedback`: one a message from the user's side; null takes it back."""
    user = end_user(ask, ask.body["user"])
    message = find_message(ask, user, ask.path["message_id"])
    world, data = ask.world, data_of(ask.world)
    rating, content = ask.body.get("rating"), ask.body.get("content")
    old = next((one for one in data.feedback.where("message", message.id) if one.from_user is not None), None)
    now = world.clock.now()
    if rating is None:
        if old is None:
            raise Refused("invalid_param", "rating cannot be None when feedback not exists")
        data.feedback.drop(old.id)
    elif old is not None:
        data.feedback.put(replace(old, rating=rating, content=content, updated_at=now))
    else:
        data.feedback.put(
            Feedback(
                id=world.seed.uuid("feedback"),
                app_id=message.app_id,
                conversation_id=message.conversation_id,
                message_id=message.id,
                rating=rating,
                content=content,
                from_user=user.id,
                from_account=None,
                created_at=now,
                updated_at=now,
            )
        )
    return reply_json({"result": "success"})


def list_feedback(ask: Ask) -> Reply:
    """`getChatAppFeedbacks`: newest first, no paging members."""
    found = data_of(ask.world).feedback.where("app", ask.caller.id_in(ask))
    found.sort(key=lambda one: one.created_at, reverse=True)
    zone = "" if ask.observed("feedback_times") else "Z"
    page = by_number(found, ask.query["page"], ask.query["limit"])
    return reply_json({"data": [_shown(one, zone) for one in page]})


def _shown(feedback: Feedback, zone: str) -> dict[str, Any]:
    return {
        "id": feedback.id,
        "app_id": feedback.app_id,
        "conversation_id": feedback.conversation_id,
        "message_id": feedback.message_id,
        "rating": feedback.rating,
        "content": feedback.content,
        "from_source": "user" if feedback.from_user is not None else "admin",
        "from_end_user_id": feedback.from_user,
        "from_account_id": feedback.from_account,
        "created_at": iso(feedback.created_at, zone),
        "updated_at": iso(feedback.updated_at, zone),
    }
