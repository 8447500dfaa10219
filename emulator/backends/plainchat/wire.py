"""plainchat's wire: JSON style, headers, chunks of text, and the three shapes of its refusals.

`{"error": text}` comes from the chat side, `{"detail": text}` from the user side, `{"detail": […]}` from FastAPI.
Sources: FACTS.md 001; which refusal comes first is that of `specs/plainchat.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from emulator.backends import Ask
from emulator.call import Event, Headers, Reply, Violation
from emulator.errors import Refused
from emulator.jsontext import compact
from emulator.wire import fastapi
from emulator.wire.fastapi import Detailed
from emulator.wire.fastapi_body import missing

JSON: Headers = (("Content-Type", "application/json"),)
TEXT: Headers = (("Content-Type", "text/plain; charset=utf-8"),)

MALFORMED = "请求数据格式错误"
INTERNAL = "服务器内部错误"
ERRORS: Mapping[str, tuple[int, str, str]] = {
    "unknown_path": (404, "error", "接口不存在"),
    "method_not_allowed": (405, "detail", str(fastapi.METHOD_NOT_ALLOWED["detail"])),
    "too_large": (413, "error", "请求内容过大"),
    "undecodable": (400, "error", MALFORMED),
    "malformed": (400, "error", MALFORMED),
    "not_json": (400, "error", MALFORMED),
    "crashed": (500, "error", INTERNAL),
    "message_required": (400, "error", "消息内容不能为空"),
    "message_not_found": (404, "error", "消息不存在"),
    "conversation_not_found": (404, "error", "对话不存在"),
    "file_not_found": (404, "error", "文件不存在"),
    "user_exists": (400, "detail", "用户已存在"),
    "credentials_missing": (400, "detail", "未提供用户名和密码"),
    "wrong_password": (401, "detail", "密码错误"),
    "user_not_found": (404, "detail", "用户不存在"),
}
"""Error code → HTTP status, the body's only member, its text."""

UNEXPECTED: Mapping[tuple[str, str], str] = {
    ("getNextSuggestions", "message_not_found"): "suggest_failure",
    ("getConversationHistory", "conversation_not_found"): "history_failure",
    ("sendChatMessage", "not_json"): "chat_not_json",
}
"""Operation and error code → the difference by which the running system answers 500 instead."""

REASON = "[ERROR] AI服务异常: {}"
MESSAGE_ID = "[MESSAGE_ID:{}]"
MARKERS = (b"[ERROR]", b"[MESSAGE_ID:")
"""What a chunk begins with that is no part of an answer."""


def reply_json(value: Any, status: int = 200, headers: Headers = ()) -> Reply:
    """JSON as Starlette writes it: compact, in UTF-8."""
    return Reply(status, (*JSON, *headers), compact(value))


def encode(event: Event) -> bytes:
    """One chunk of an answer: its text and nothing around it."""
    return event.raw if event.raw is not None else str(event.data).encode()


def refuse(ask: Ask, error: Refused, violations: tuple[Violation, ...]) -> Reply:
    """Any refusal in the shape of its side."""
    if error.code == "invalid" and ask.operation is not None:
        error = INVALID.get(ask.operation.id, _query)(ask, violations)
    if isinstance(error, Detailed):
        return reply_json({"detail": error.detail}, 422)
    operation = ask.operation.id if ask.operation is not None else ""
    unexpected = UNEXPECTED.get((operation, error.code))
    if unexpected is not None and ask.observed(unexpected):
        error = Refused("crashed")
    status, member, text = ERRORS.get(error.code, ERRORS["crashed"])
    status = error.status or status
    if error.code == "crashed" and error.message is not None:
        text = error.message
    allow: Headers = (("Allow", error.message or ""),) if error.code == "method_not_allowed" else ()
    return reply_json({member: text}, status, allow)


def _unreadable(violations: Sequence[Violation]) -> bool:
    """Whether the call could not be read at all."""
    return any(one.rule in ("json", "multipart", "decode", "judge") or one.place == "path" for one in violations)


def _by_member(violations: Sequence[Violation]) -> dict[str, Violation]:
    """Each member that does not fit, with the first thing that is wrong with it."""
    found: dict[str, Violation] = {}
    for one in violations:
        found.setdefault(one.pointer.partition("/")[2].partition("/")[0], one)
    return found


def _left_out(violation: Violation) -> bool:
    return violation.rule in ("required", "minLength", "minItems")


def _chat(ask: Ask, violations: tuple[Violation, ...]) -> Refused:
    """A question: its form, then its text, then who asks."""
    if any(one.rule == "json" for one in violations):
        return Refused("not_json")
    members = _by_member(violations)
    message, username = members.pop("message", None), members.pop("username", None)
    if members or _unreadable(violations) or (message is not None and message.rule == "type"):
        return Refused("malformed")
    if message is not None or username is None:
        return Refused("message_required")
    return Detailed(fastapi.detail((username,), ask.body))


def _form(*fields: str) -> Callable[[Ask, tuple[Violation, ...]], Refused]:
    """A form with these fields. A body that is no form has none of them; a field that is empty counts as missing."""

    def refused(ask: Ask, violations: tuple[Violation, ...]) -> Refused:
        if violations[0].rule == "media_type":
            return Detailed([missing(field) for field in fields])
        members = _by_member(violations)
        absent = [missing(field) for field in fields if field in members and _left_out(members[field])]
        return Detailed(absent) if absent and not _unreadable(violations) else Refused("malformed")

    return refused


def _login(ask: Ask, violations: tuple[Violation, ...]) -> Refused:
    """Name and password; null is as good as nothing."""
    members = _by_member(violations)
    given = ask.body if isinstance(ask.body, dict) else {}
    absent = [name for name, one in members.items() if _left_out(one) or (name in given and given[name] is None)]
    if _unreadable(violations) or len(absent) < len(members):
        return Refused("malformed")
    return Refused("credentials_missing")


def _query(ask: Ask, violations: tuple[Violation, ...]) -> Refused:
    """An operation whose only parameter beside its path says who asks."""
    if _unreadable(violations):
        return Refused("malformed")
    return Detailed(fastapi.detail(violations))


INVALID: Mapping[str, Callable[[Ask, tuple[Violation, ...]], Refused]] = {
    "sendChatMessage": _chat,
    "uploadFiles": _form("files", "username"),
    "registerUser": _form("username", "password"),
    "loginUser": _login,
}
"""Operation → what a call of it that breaks the contract is refused with."""
