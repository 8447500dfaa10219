"""Deskchat's wire: JSON style, headers, the envelope of a success, the error bodies and their texts.

Sources: FACTS.md 003 (envelope, errors, frames) and "fastapi" (framework defaults): JSON replies are compact UTF-8,
frames of a stream have blanks after `,` and `:` and escape everything beyond ASCII.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from emulator.backends import Ask
from emulator.call import Event, Headers, Reply, Violation
from emulator.contract.door import Unreadable, read_query
from emulator.errors import Refused
from emulator.jsontext import compact, spaced_ascii
from emulator.streams.sse import encode as encode_frame
from emulator.wire import fastapi_body
from emulator.wire.fastapi import METHOD_NOT_ALLOWED, NOT_FOUND, detail

JSON: Headers = (("Content-Type", "application/json"),)

ERRORS: dict[str, tuple[int, str]] = {
    "unknown_path": (404, str(NOT_FOUND["detail"])),
    "method_not_allowed": (405, str(METHOD_NOT_ALLOWED["detail"])),
    "too_large": (413, "Request Entity Too Large"),
    "undecodable": (400, fastapi_body.UNREADABLE),
    "crashed": (500, "操作失败: internal error"),
    "conversation_not_found": (404, "对话不存在"),
    "message_not_found": (404, "消息不存在"),
    "group_not_found": (404, "分组不存在"),
    "api_key_not_found": (404, "API密钥不存在或已禁用"),
    "prompt_not_found": (404, "提示词不存在"),
    "default_group": (400, "不能删除默认分组"),
    "message_of_other_conversation": (400, "消息不属于该对话"),
    "regeneration_failed": (500, "消息重新生成失败: "),
}
"""Error code → HTTP status and text. The codes are ours, the wire has texts only."""

MISSING: dict[str, str] = {
    "/chat_id": "conversation_not_found",
    "/message_id": "message_not_found",
    "/group_id": "group_not_found",
}
"""What an id in a path that nothing can have is answered with. Ids are plain text to the framework, so it never
complains of their form."""

JSON_ERROR = re.compile(r" at line [0-9]+ column [0-9]+\Z")
"""How the door's word for broken JSON ends; its other refusals are about JSON that could not be stored."""


def success(message: str, data: Any = None, code: int = 200) -> Reply:
    """The envelope. Its `code` may differ from the status, which is always 200."""
    return Reply(200, JSON, compact({"code": code, "message": message, "data": data}))


def error_reply(error: Refused) -> Reply:
    """An error body: `detail` and nothing else."""
    status, text = ERRORS.get(error.code, (400, error.code))
    return _error(error.status or status, text if error.message is None else error.message)


def _error(status: int, said: Any) -> Reply:
    return Reply(status, JSON, compact({"detail": said}))


def encode(event: Event) -> bytes:
    """One frame of a stream."""
    return encode_frame(event, spaced_ascii)


def refuse(ask: Ask, error: Refused, violations: tuple[Violation, ...]) -> Reply:
    """Any refusal in deskchat's envelope."""
    match error.code:
        case "method_not_allowed":
            reply = error_reply(Refused("method_not_allowed"))
            return replace(reply, headers=(*reply.headers, ("Allow", error.message or "")))
        case "invalid":
            return _invalid(ask, violations)
        case _:
            return error_reply(error)


def _invalid(ask: Ask, violations: tuple[Violation, ...]) -> Reply:
    """Violations of the contract in the framework's order: what it cannot read, what breaks a schema, ids."""
    for one in violations:
        if one.rule in ("decode", "multipart", "json") and not (one.rule == "json" and _syntax(ask, one)):
            return error_reply(Refused("undecodable"))
    for one in violations:
        if one.rule == "json":
            return _error(422, [_syntax(ask, one)])
    wrong = [one for one in violations if not _is_id(one)]
    if wrong:
        said = detail((_as_framework(ask, one) for one in wrong), _given(ask, wrong), _query(ask.call.query))
        return _error(422, said)
    return error_reply(Refused(_missing(violations)))


def _is_id(violation: Violation) -> bool:
    """Whether it is about an id in the path that is well-formed enough for the framework."""
    if violation.place != "path":
        return False
    return violation.pointer != "/group_id" or violation.rule == "minimum"


def _missing(violations: Iterable[Violation]) -> str:
    first = next(iter(violations))
    # The one group whose number is known beforehand: that it stays is a rule of the contract.
    if first.pointer == "/group_id" and first.got == "1":
        return "default_group"
    return MISSING.get(first.pointer, "unknown_path")


def _as_framework(ask: Ask, violation: Violation) -> Violation:
    """The violation as FastAPI would see it, where the judge sees something else."""
    if violation.place != "body" or violation.pointer:
        return violation
    if violation.rule == "media_type" and _takes_files(ask):
        return replace(violation, rule="required", pointer="/file")
    if not ask.call.body or (violation.rule == "type" and violation.got == "null"):
        return replace(violation, rule="required")
    if violation.rule == "type":
        # A model that gets no object says so in other words than a member does.
        return replace(violation, rule="media_type")
    return violation


def _given(ask: Ask, violations: Iterable[Violation]) -> Any:
    """The body as the framework quotes it: forms never, other types of content as text."""
    if _takes_files(ask):
        return None
    if any(one.rule == "media_type" for one in violations):
        return ask.call.body.decode("utf-8", "replace") or None
    return ask.body


def _takes_files(ask: Ask) -> bool:
    body = ask.operation.request_body if ask.operation is not None else None
    return any(name.startswith("multipart/") for name in (body or {}).get("content", {}))


def _syntax(ask: Ask, violation: Violation) -> dict[str, Any] | None:
    """The framework's item for broken JSON; None when the body is JSON that cannot be used, or no text."""
    return fastapi_body.malformed(ask.call.body) if JSON_ERROR.search(violation.got) else None


def _query(raw: bytes) -> dict[str, Any]:
    try:
        return {name: values[-1] for name, values in read_query(raw).items()}
    except Unreadable:
        return {}
