"""What is there from the start: for user `abc-123` and one more in every app several conversations with messages,
feedback, files and annotations, in English and Chinese. Times lie in the days before the session began."""

from __future__ import annotations

import random
from dataclasses import replace

from emulator.backends.dify.apps import APPS, App
from emulator.backends.dify.chat import cited, start_conversation
from emulator.backends.dify.people import end_user_of
from emulator.backends.dify.records import (
    Annotation,
    Conversation,
    EndUser,
    Feedback,
    Job,
    Message,
    MessageFile,
    Thought,
    Upload,
    Use,
    Variable,
    data_of,
)
from emulator.jsontext import compact
from emulator.world import prose
from emulator.world.media import picture_png
from emulator.world.session import World

HOUR = 3600.0
NEVER_SIMILAR = 1.1
"""A threshold that no query reaches: the example's job must not switch annotation reply on."""
DAY = 24 * HOUR
USERS = (("abc-123", ("en", "zh", "en", "zh", "en")), ("visitor-7", ("en", "zh")))
ANNOTATIONS = (
    ("What are your opening hours?", "We answer from 9 to 18 o'clock on working days, and on Saturdays until noon."),
    ("怎么联系人工客服？", "请回复“转人工”，工作时间内两分钟以内会有人接入。"),
    ("Can I change my booking?", "Yes, free of charge until 24 hours before it begins."),
)
VALUES = {
    "customer_name": "Mira",
    "order_count": 2,
    "discount": 0.1,
    "is_member": True,
    "address": {"city": "Hangzhou", "street": "Lake Road 8"},
    "wishes": ["gift wrap", "deliver after 18:00"],
}


EXAMPLE = "a1b2c3d4-5678-90ab-cdef-1234567890ab"
DOCUMENTED = ("45701982-8118-4bc5-8e9b-64562b4555f2", "9da23599-e713-473b-982c-4328d4f5c78a")
"""Conversation and message of the published examples: user abc-123's."""
TRIED = ("2f6e1d0c-8a4b-4c3d-9e5f-60718293a4b5", "3a7f2e1d-9b5c-4d4e-8f60-718293a4b5c6")
"""Conversation and message of our parameters' examples: another user's, so that deleting what abc-123's list shows
takes nothing from the other operations."""
TRIED_VARIABLE = "4b803f2e-ac6d-4e5f-9071-8293a4b5c6d7"
TO_DELETE = "6f1f3f0e-5d0a-4c53-9d8e-2b7a41c0de11"
ANNOTATION_TO_DELETE = "3d9c2b1a-7e64-4f0b-8a55-91c0ffee2d22"


def populate(world: World) -> None:
    """Fill a session's world."""
    _examples(world, APPS["app-emulator"])
    for app in APPS.values():
        _annotate(world, app)
        for name, languages in USERS:
            user = end_user_of(world, app, name)
            data_of(world).users.put(replace(user, created_at=world.clock.epoch - 30 * DAY))
            for number, language in enumerate(languages):
                _converse(world, app, user, number, len(languages), language)


def _examples(world: World, app: App) -> None:
    """The things that the spec's examples name by id, so that they can be tried as they stand."""
    data = data_of(world)
    at = world.clock.epoch - 8 * DAY
    owner, visitor = end_user_of(world, app, "abc-123"), end_user_of(world, app, "visitor-7")
    _example_conversation(world, app, owner, DOCUMENTED, "What are the specs of a folding bike?", at)
    _example_conversation(world, app, visitor, TRIED, "Which bike fits into a train?", at + HOUR, EXAMPLE)
    _example_conversation(world, app, owner, (TO_DELETE, None), "Old notes", at + 2 * HOUR)
    # A chat app has no variables of its own; this one is there so that the example of the update can be tried.
    data.variables.put(
        Variable(TRIED_VARIABLE, TRIED[0], "user_preference", "any", "dark_mode", "How the page looks", at, at)
    )
    for id in (EXAMPLE, ANNOTATION_TO_DELETE):
        data.annotations.put(Annotation(id, owner.app_id, "Do you rent bikes?", "Yes, by the hour or the day.", 2, at))
    data.jobs.put(Job(EXAMPLE, owner.app_id, "enable", NEVER_SIMILAR, world.clock.epoch - 60, lasting=True))


def _example_conversation(
    world: World,
    app: App,
    user: EndUser,
    ids: tuple[str, str | None],
    query: str,
    at: float,
    upload_id: str | None = None,
) -> None:
    data = data_of(world)
    conversation_id, message_id = ids
    inputs = {"city": "San Francisco"}
    data.conversations.put(Conversation(conversation_id, user.app_id, user.id, query, inputs, app.opening, at, at + 60))
    if message_id is None:
        return
    files: tuple[MessageFile, ...] = ()
    if upload_id is not None:
        files = (_picture(world, app, user, message_id, upload_id, query, at),)
    data.messages.put(
        Message(
            id=message_id,
            conversation_id=conversation_id,
            app_id=user.app_id,
            user_id=user.id,
            inputs=inputs,
            query=query,
            created_at=at,
            answer=prose.answer_to(query, world.seed.rng("example", message_id)),
            files=files,
            resources=tuple(cited(world, app, query)),
        )
    )


def _annotate(world: World, app: App) -> None:
    annotations = data_of(world).annotations
    for number, (question, answer) in enumerate(ANNOTATIONS):
        at = world.clock.epoch - (20 - number) * DAY
        id = world.seed.fixed_uuid("annotation", f"{app.key} {number}")
        annotations.put(Annotation(id, app.id_of(world), question, answer, (5 - number) % 4, at))


def _converse(world: World, app: App, user: EndUser, number: int, of: int, language: str) -> None:
    """One conversation of two to four turns."""
    data = data_of(world)
    rng = world.seed.rng("history", f"{app.key} {user.name} {number}")
    begun = world.clock.epoch - (of - number) * DAY - rng.randint(0, 20) * HOUR - rng.randint(0, 3599)
    fake = world.seed.faker("city", f"{app.key} {user.name} {number}", "zh_CN" if language == "zh" else "en_US")
    inputs = {control.variable: fake.city() if control.variable == "city" else control.default for control in app.form}
    first = prose.question(rng, language)
    conversation = start_conversation(world, app, user, first, inputs, begun, auto_name=True)
    at, query = begun, first
    for turn in range(rng.randint(2, 4)):
        message = _exchange(world, app, conversation, query, at, rng, with_picture=number == 0 and turn == 1)
        if turn == 1:
            _rate(world, message, at + 60, rng)
        query = rng.choice(prose.follow_ups(query, message.answer, rng))
        at += rng.randint(40, 900)
    data.conversations.put(replace(data.conversations.get(conversation.id) or conversation, updated_at=at))
    for variable in data.variables.where("conversation", conversation.id):
        data.variables.put(_filled(variable, at))


def _filled(variable: Variable, at: float) -> Variable:
    return replace(variable, value=VALUES.get(variable.name, variable.value), updated_at=at)


def _exchange(
    world: World, app: App, conversation: Conversation, query: str, at: float, rng: random.Random, with_picture: bool
) -> Message:
    data = data_of(world)
    id = world.seed.uuid("message")
    user = data.users.get(conversation.user_id)
    assert user is not None
    files = (_picture(world, app, user, id, world.seed.uuid("upload"), query, at),) if with_picture else ()
    return data.messages.put(
        Message(
            id=id,
            conversation_id=conversation.id,
            app_id=conversation.app_id,
            user_id=conversation.user_id,
            inputs=conversation.inputs,
            query=query,
            created_at=at,
            answer=prose.answer_to(query, rng),
            files=files,
            thoughts=(_thought(world, query, at),) if app.mode == "agent-chat" else (),
            resources=tuple(cited(world, app, query)),
        )
    )


def _thought(world: World, query: str, at: float) -> Thought:
    return Thought(
        id=world.seed.uuid("thought"),
        position=1,
        thought="",
        tool="web_search",
        tool_input=compact({"web_search": {"query": query, "limit": 3}}).decode(),
        observation=compact({"web_search": '{"results":[]}'}).decode(),
        files=(),
        created_at=at,
    )


def _picture(
    world: World, app: App, user: EndUser, message_id: str, upload_id: str, text: str, at: float
) -> MessageFile:
    """A picture that the user uploaded for a message."""
    data = data_of(world)
    upload = data.uploads.put(
        Upload(
            id=upload_id,
            user_id=user.id,
            user_name=user.name,
            name="photo.png",
            extension="png",
            mime_type="image/png",
            data=picture_png(text, 96, 96),
            created_at=at - 5,
        )
    )
    data.uses.put(Use(f"{upload.id} {message_id}", upload.id, app.id_of(world)))
    return MessageFile(
        id=world.seed.uuid("message-file"),
        type="image",
        filename=upload.name,
        mime_type=upload.mime_type,
        size=len(upload.data),
        transfer_method="local_file",
        belongs_to="user",
        upload_id=upload.id,
    )


def _rate(world: World, message: Message, at: float, rng: random.Random) -> None:
    like = rng.random() < 0.7
    by_admin = rng.random() < 0.25
    chinese = prose.language_of(message.query) == "zh"
    liked, disliked = (
        ("很有帮助，谢谢。", "不够具体。") if chinese else ("That helped, thank you.", "Too vague for me.")
    )
    data_of(world).feedback.put(
        Feedback(
            id=world.seed.uuid("feedback"),
            app_id=message.app_id,
            conversation_id=message.conversation_id,
            message_id=message.id,
            rating="like" if like else "dislike",
            content=liked if like else disliked,
            from_user=None if by_admin else message.user_id,
            from_account=world.seed.fixed_uuid("account") if by_admin else None,
            created_at=at,
            updated_at=at,
        )
    )
