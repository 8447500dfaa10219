"""RuoYi's wire: bare bodies, the envelope, headers, error bodies and their texts.

Sources: FACTS.md 000 (envelope, errors, auth), "fastapi" (JSON style, 404 and 405, the 422 list); the texts that
FACTS.md leaves open are those of `specs/ruoyi.yaml`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from emulator.backends import Ask
from emulator.call import Event, Headers, Reply, Violation
from emulator.contract.door import Unreadable, read_query
from emulator.errors import Refused
from emulator.jsontext import compact
from emulator.streams.sse import encode as encode_frame
from emulator.wire import fastapi, fastapi_body
from emulator.wire.fastapi import Detailed

JSON: Headers = (("Content-Type", "application/json"),)
EVENTS: Headers = (("Content-Type", "text/event-stream; charset=utf-8"),)

ERRORS: Mapping[str, tuple[int, str]] = {
    "not_authenticated": (401, "Not authenticated"),
    "chat_not_found": (404, "聊天会话不存在"),
    "foreign_chat": (403, "无权访问此聊天会话"),
    "app_not_found": (404, "应用不存在"),
    "conversation_not_found": (404, "Conversation Not Exists."),
    "file_not_found": (404, "File Not Exists."),
    "answer_failed": (500, "AI回复失败"),
    "provider_not_found": (404, "AI提供商不存在"),
    "provider_kind": (400, "提供商类型不是DeepSeek"),
    "provider_failed": (500, "DeepSeek API错误"),
    "undecodable": (400, fastapi_body.UNREADABLE),
    "too_large": (413, "Request Entity Too Large"),
    "crashed": (500, "Internal Server Error"),
}
"""Error code → HTTP status and text of `{"code", "msg"}`. The codes are ours, the wire has texts only."""

TOKEN_ERRORS: Mapping[str, str] = {
    "token_expired": "用户token已失效，请重新登录",
    "token_invalid": "用户token不合法",
}
"""What is wrong with a token: worded in RuoYi's envelope."""
LOGIN_ERRORS: Mapping[str, str] = {"no_such_user": "用户不存在", "wrong_password": "密码错误"}
"""Why a login fails: HTTP 200 with this code in RuoYi's envelope."""
LOGIN_CODE = 601

UPSTREAM: Mapping[str, str] = {"reasoner_endpoint_api_ai_deepseek_reasoner_post": "DeepSeek Reasoner API错误"}
"""What a refusal by DeepSeek begins with, where it is not `DeepSeek API错误`."""
UPSTREAM_DEFAULT = "DeepSeek API错误"
PLACES = ("path", "query", "header", "body")
"""Where the framework looks first."""
LIMITS: Mapping[str, str] = {"minimum": "ge", "maximum": "le", "minLength": "min_length", "minItems": "min_length"}
"""Rule → what the framework calls its number in `ctx`."""


def bare(value: Any) -> Reply:
    """A body that is just the value: the Dify operations declare their models."""
    return Reply(200, JSON, compact(value))


def enveloped(ask: Ask, data: Any) -> Reply:
    """RuoYi's envelope of a success, around `data`."""
    body = {"code": 200, "msg": "操作成功", "data": data, "success": True, "time": stamp(ask.session.clock.now())}
    return Reply(200, JSON, compact(body))


def stamp(seconds: float) -> str:
    """The envelope's time: ISO without a zone, with microseconds."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def encode(event: Event) -> bytes:
    """One frame of a stream: compact JSON in UTF-8, with no other lines than `data`."""
    return encode_frame(event, compact)


def upstream(operation: str, text: str) -> str:
    """What RuoYi says when DeepSeek refused."""
    return f"{UPSTREAM.get(operation, UPSTREAM_DEFAULT)}: {text}"


def refuse(ask: Ask, error: Refused, violations: tuple[Violation, ...]) -> Reply:
    """Any refusal: `code` and `msg`, the envelope for tokens and logins, the framework's own words for the rest."""
    match error.code:
        case "unknown_path":
            return Reply(404, JSON, compact(dict(fastapi.NOT_FOUND)))
        case "method_not_allowed":
            allow = ("Allow", error.message or "")
            return Reply(405, (*JSON, allow), compact(dict(fastapi.METHOD_NOT_ALLOWED)))
        case "invalid":
            return error_reply(ask, _invalid(ask, violations))
        case _:
            return error_reply(ask, error)


def error_reply(ask: Ask, error: Refused) -> Reply:
    """The body of one refusal."""
    if isinstance(error, Detailed):
        return Reply(422, JSON, compact({"detail": list(error.detail)}))
    if error.code in TOKEN_ERRORS:
        return _failure(ask, 200 if ask.observed("bad_token_status") else 401, 401, TOKEN_ERRORS[error.code], "")
    if error.code in LOGIN_ERRORS:
        return _failure(ask, 200, LOGIN_CODE, LOGIN_ERRORS[error.code], "")
    status, text = ERRORS[error.code]
    status, text = error.status or status, error.message or text
    if error.code == "crashed" and ask.observed("crash_status"):
        return _failure(ask, 200, status, text)
    return Reply(status, JSON, compact({"code": status, "msg": text}))


def _failure(ask: Ask, status: int, code: int, text: str, data: Any = None) -> Reply:
    """RuoYi's envelope of a failure; what is null is left out."""
    body: dict[str, Any] = {"code": code, "msg": text}
    if data is not None:
        body["data"] = data
    body |= {"success": False, "time": stamp(ask.session.clock.now())}
    return Reply(status, JSON, compact(body))


def _invalid(ask: Ask, violations: tuple[Violation, ...]) -> Refused:
    """What a call that breaks the contract is refused with, in the order in which the framework looks at things."""
    if any(one.rule == "decode" for one in violations):
        return Refused("undecodable")
    if any(one.rule == "json" for one in violations):
        item = fastapi_body.malformed(ask.call.body)
        return Refused("undecodable") if item is None else Detailed([item])
    wrong = [one for one in violations if not _is_kind(one) and not _is_model(one)]
    if wrong:
        query = _query(ask.call.query)
        return Detailed([_item(ask, one, query) for one in _in_order(ask, wrong)])
    assert ask.operation is not None
    if any(_is_kind(one) for one in violations):
        return Refused("provider_kind")
    if ask.query.get("provider_id") != 1:
        return Refused("provider_not_found")
    return Refused("provider_failed", upstream(ask.operation.id, "Model Not Exist"), 400)


def _in_order(ask: Ask, violations: Sequence[Violation]) -> Sequence[Violation]:
    """Violations as the framework lists them: by place, in a body by the order in which its members are declared."""
    assert ask.operation is not None
    content = (ask.operation.request_body or {}).get("content", {})
    schema = ask.document.resolve(content.get("application/json", {}).get("schema", {}))
    members = list(schema.get("properties", {}))

    def rank(one: Violation) -> tuple[int, int]:
        member = one.pointer.partition("/")[2].partition("/")[0]
        return PLACES.index(one.place), members.index(member) if member in members else len(members)

    return sorted(violations, key=rank)


def _is_kind(violation: Violation) -> bool:
    """Whether it is about a provider that exists and is no DeepSeek."""
    return violation.place == "query" and violation.pointer == "/provider_id" and violation.rule == "not"


def _is_model(violation: Violation) -> bool:
    """Whether it is about a model that DeepSeek does not have; RuoYi passes any on."""
    return violation.place == "body" and violation.pointer == "/model" and violation.rule == "enum"


def _item(ask: Ask, violation: Violation, query: Mapping[str, Any]) -> Mapping[str, Any]:
    """One entry of the framework's list."""
    if violation.place == "body" and not violation.pointer:
        body = ask.call.body.decode("utf-8", "replace") if violation.rule == "media_type" else ask.body
        return fastapi_body.no_object(body)
    [item] = fastapi.detail((violation,), ask.body, query)
    if violation.rule == "format" and violation.expected.endswith("int64"):
        item["type"] = "int_parsing_size"
        item["msg"] = "Unable to parse input string as an integer, exceeded maximum size"
    elif violation.rule in LIMITS:
        item["ctx"] = {LIMITS[violation.rule]: json.loads(violation.expected.split()[2])}
    return item


def _query(raw: bytes) -> Mapping[str, Any]:
    try:
        return {name: values[-1] for name, values in read_query(raw).items()}
    except Unreadable:
        return {}
