"""What the Dify backend keeps: frozen records, and the collections of one session."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.world.session import World
from emulator.world.store import Collection, Store

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class EndUser:
    """A person as one app knows them. `name` is the `user` of the calls."""

    id: str
    app_id: str
    name: str
    anonymous: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation. From `named_at` on it goes by `title` instead of `name`, as a background job would do it."""

    id: str
    app_id: str
    user_id: str
    name: str
    inputs: Json
    introduction: str
    created_at: float
    updated_at: float
    title: str | None = None
    named_at: float = 0.0


@dataclass(frozen=True, slots=True)
class MessageFile:
    """A file of a message. `source` is the address a client gave, None for uploads and for files of tools."""

    id: str
    type: str
    filename: str
    mime_type: str | None
    size: int | None
    transfer_method: str
    belongs_to: str
    upload_id: str | None = None
    source: str | None = None


@dataclass(frozen=True, slots=True)
class Thought:
    """One step of an agent."""

    id: str
    position: int
    thought: str
    tool: str
    tool_input: str
    observation: str
    files: tuple[str, ...]
    created_at: float


@dataclass(frozen=True, slots=True)
class Message:
    """A query and its answer."""

    id: str
    conversation_id: str
    app_id: str
    user_id: str
    inputs: Json
    query: str
    created_at: float
    answer: str = ""
    status: str = "normal"
    error: str | None = None
    files: tuple[MessageFile, ...] = ()
    thoughts: tuple[Thought, ...] = ()
    resources: tuple[Json, ...] = ()


@dataclass(frozen=True, slots=True)
class Feedback:
    """A rating; `from_user` is an end user, None when an administrator gave it."""

    id: str
    app_id: str
    conversation_id: str
    message_id: str
    rating: str
    content: str | None
    from_user: str | None
    from_account: str | None
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file with its bytes."""

    id: str
    user_id: str
    user_name: str
    name: str
    extension: str
    mime_type: str
    data: bytes
    created_at: float


@dataclass(frozen=True, slots=True)
class ToolFile:
    """A file that a tool made."""

    id: str
    name: str
    mime_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Use:
    """An upload is used by a message of an app."""

    id: str
    upload_id: str
    app_id: str


@dataclass(frozen=True, slots=True)
class Variable:
    """A conversation variable. `type` is the value type as the flow declares it (`integer` is shown as `number`)."""

    id: str
    conversation_id: str
    name: str
    type: str
    value: Any
    description: str
    created_at: float
    updated_at: float


@dataclass(frozen=True, slots=True)
class Annotation:
    """A question with a prepared answer."""

    id: str
    app_id: str
    question: str
    answer: str
    hit_count: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Job:
    """A job that switches annotation reply. It waits, then is done; its result is kept for a while."""

    id: str
    app_id: str
    action: str
    threshold: float
    created_at: float
    lasting: bool = False
    """Whether its result is kept for ever: that of the document's example, which can be tried at any time."""


@dataclass(frozen=True)
class Data:
    """The collections of one session."""

    users: Collection[EndUser]
    conversations: Collection[Conversation]
    messages: Collection[Message]
    feedback: Collection[Feedback]
    uploads: Collection[Upload]
    tool_files: Collection[ToolFile]
    uses: Collection[Use]
    variables: Collection[Variable]
    annotations: Collection[Annotation]
    jobs: Collection[Job]


def data_of(world: World) -> Data:
    """The collections of a session's world."""
    if world.data is None:
        world.data = _declare(world.store)
    data: Data = world.data
    return data


def _declare(store: Store) -> Data:
    collection = store.collection
    return Data(
        users=collection("users", EndUser),
        conversations=collection("conversations", Conversation, owner=lambda one: (one.app_id, one.user_id)),
        messages=collection("messages", Message, conversation=lambda one: one.conversation_id),
        feedback=collection("feedback", Feedback, message=lambda one: one.message_id, app=lambda one: one.app_id),
        uploads=collection("uploads", Upload),
        tool_files=collection("tool_files", ToolFile),
        uses=collection("uses", Use, upload=lambda one: one.upload_id),
        variables=collection("variables", Variable, conversation=lambda one: one.conversation_id),
        annotations=collection("annotations", Annotation, app=lambda one: one.app_id),
        jobs=collection("jobs", Job, app=lambda one: one.app_id),
    )
