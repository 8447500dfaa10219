"""toolchat's wire: JSON style, envelope, headers, error bodies and their texts.

Sources: FACTS.md 004 (envelope), the texts that FACTS.md leaves open are those of `specs/toolchat.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.backends import Ask
from emulator.backends.toolchat.tools import TOOLS, mismatches
from emulator.backends.toolchat.tools.tool import Tool
from emulator.call import Event, Headers, Reply, Violation
from emulator.contract.door import Unreadable, read_query
from emulator.errors import Refused
from emulator.jsontext import compact
from emulator.streams.sse import encode as encode_frame
from emulator.wire import fastapi, fastapi_body
from emulator.wire.fastapi import Detailed

JSON: Headers = (("Content-Type", "application/json"),)
EVENTS: Headers = (("Content-Type", "text/event-stream; charset=utf-8"), ("Cache-Control", "no-cache"))
CHALLENGE: Headers = (("WWW-Authenticate", "Bearer"),)

ERRORS: Mapping[str, tuple[int, str, str | None]] = {
    "token_missing": (401, "未提供认证令牌", None),
    "token_invalid": (401, "无效的认证令牌", None),
    "token_expired": (401, "认证令牌已过期", None),
    "token_revoked": (401, "认证令牌已失效", None),
    "wrong_credentials": (401, "用户名或密码错误", None),
    "username_taken": (409, "用户名已存在", None),
    "email_taken": (409, "邮箱已被注册", None),
    "conversation_not_found": (404, "会话不存在", None),
    "message_not_found": (404, "消息不存在", None),
    "tool_not_found": (404, "工具不存在", None),
    "tool_mismatch": (409, "参数与工具不匹配", None),
    "detailed": (422, "请求参数错误", None),
    "bad_request": (400, "请求格式错误", fastapi_body.UNREADABLE),
    "undecodable": (400, "请求格式错误", fastapi_body.UNREADABLE),
    "unknown_path": (404, "接口不存在", "Not Found"),
    "method_not_allowed": (405, "请求方法不允许", "Method Not Allowed"),
    "too_large": (413, "请求体过大", "Request Entity Too Large"),
    "crashed": (500, "服务器内部错误", "Internal Server Error"),
    "model_failed": (500, "服务器内部错误", "模型服务暂时不可用"),
}
"""Error code → HTTP status, `message`, and `detail` where that is another text."""

FAILURES: Mapping[str, tuple[int, str]] = {
    "model_unavailable": (500, "模型服务暂时不可用"),
    "model_timeout": (500, "模型响应超时"),
    "context_too_long": (400, "对话内容超出模型上下文长度"),
    "content_filtered": (400, "内容未通过安全审核"),
    "rate_limited": (429, "请求过于频繁，请稍后再试"),
}
"""How the model can fail: the code that a scenario gives → HTTP status of a call that does not stream, and text."""
GENERIC_FAILURE = "model_unavailable"

MISSING: Mapping[str, str] = {
    "deleteMessage": "message_not_found",
    "getTool": "tool_not_found",
    "executeTool": "tool_not_found",
}
"""What a path that names nothing gets, where it is not about a conversation."""
ABSENT: Any = object()


def success(data: Any = ABSENT, message: str | None = None) -> Reply:
    """The envelope of a success: `message` and `data` where there is something to say."""
    body: dict[str, Any] = {"success": True}
    if message is not None:
        body["message"] = message
    if data is not ABSENT:
        body["data"] = data
    return Reply(200, JSON, compact(body))


def encode(event: Event) -> bytes:
    """One frame of a stream: the kind in its own line, and compact JSON in UTF-8."""
    return encode_frame(event, compact)


def refuse(ask: Ask, error: Refused, violations: tuple[Violation, ...]) -> Reply:
    """Any refusal in the envelope."""
    match error.code:
        case "moved":
            return Reply(307, (("Location", error.message or ""),))
        case "method_not_allowed":
            return error_reply(ask, Refused(error.code), headers=(("Allow", error.message or ""),))
        case "invalid":
            return error_reply(ask, _invalid(ask, violations))
        case _:
            return error_reply(ask, error)


def error_reply(ask: Ask, error: Refused, headers: Headers = ()) -> Reply:
    """An error body: `success` false, `message` for people, `detail`."""
    status, message, detail = ERRORS.get(error.code, ERRORS["crashed"])
    status = error.status or status
    if error.code in ("username_taken", "email_taken") and ask.observed("taken_status"):
        status = 400
    shown: Any = detail or message
    if isinstance(error, Detailed):
        shown = error.detail
    elif error.message is not None:
        shown = error.message
        message = message if status == 500 else shown
    if status == 401:
        headers = (*headers, *CHALLENGE)
    body = {"success": False, "message": message, "detail": shown}
    if ask.observed("error_envelope"):
        body = {"detail": shown}
    return Reply(status, (*JSON, *headers), compact(body))


def mismatch(tool: Tool, arguments: Any) -> list[dict[str, Any]]:
    """How arguments break the schema of their tool, in FastAPI's words; empty when they fit."""
    found = mismatches(tool, arguments)
    detail = fastapi.detail([one for one in found if one.rule != "additionalProperties"], arguments)
    if isinstance(arguments, Mapping):
        detail += [_extra(name, one) for name, one in arguments.items() if name not in tool.properties]
    return detail


def _extra(name: str, value: Any) -> dict[str, Any]:
    return {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": value}


def _invalid(ask: Ask, violations: tuple[Violation, ...]) -> Refused:
    """What a call that breaks the contract is refused with."""
    assert ask.operation is not None
    if any(violation.place == "path" for violation in violations):
        return Refused(MISSING.get(ask.operation.id, "conversation_not_found"))
    try:
        query = {name: values[0] for name, values in read_query(ask.call.query).items()}
    except Unreadable:
        return Refused("bad_request")
    first = violations[0]
    if first.rule == "json":
        broken = fastapi_body.broken(ask.call.body)
        return Refused("bad_request") if broken is None else Detailed([broken])
    if first.rule == "media_type":
        return Detailed([fastapi_body.no_object(ask.call.body.decode("utf-8", "replace"))])
    detail = fastapi.detail(violations, ask.body, query)
    tool = TOOLS.get(ask.path.get("name", ""))
    if tool is not None:
        # A body that fits no tool does not fit this one: how, is what helps its author.
        detail = mismatch(tool, ask.body) or detail
    return Detailed(detail)
