"""Dify's wire: JSON style, headers, error bodies and their texts.

Sources: FACTS.md 002 §1 (headers, encoding, error bodies); codes and texts are those of the document.
"""

from __future__ import annotations

import difflib
import re
from typing import Any

from emulator.backends import Ask
from emulator.call import Event, Headers, Reply, Violation
from emulator.errors import Refused
from emulator.jsontext import compact, compact_ascii
from emulator.streams.sse import encode as encode_frame

OWN_HEADERS: Headers = (("X-Version", "1.13.2"), ("X-Env", "PRODUCTION"))
JSON: Headers = (("Content-Type", "application/json"), *OWN_HEADERS)
BLOCKING: Headers = (("Content-Type", "application/json; charset=utf-8"), *OWN_HEADERS)
EVENTS: Headers = (("Content-Type", "text/event-stream; charset=utf-8"), *OWN_HEADERS)
AUTHENTICATE: Headers = (("WWW-Authenticate", 'Bearer realm="api"'),)

UNREADABLE = "The browser (or proxy) sent a request that this server could not understand."
WERKZEUG_500 = (
    "The server encountered an internal error and was unable to complete your request. Either the server is "
    "overloaded or there is an error in the application."
)
WERKZEUG_403 = (
    "You don't have the permission to access the requested resource. It is either read-protected or not readable by "
    "the server."
)
WERKZEUG_404 = (
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling and "
    "try again."
)
HTML_404 = f"<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>{WERKZEUG_404}</p>\n"

ERRORS: dict[str, tuple[int, str]] = {
    "unauthorized": (401, "Access token is invalid"),
    "forbidden": (403, "Forbidden."),
    "invalid_param": (400, "Invalid parameter."),
    "bad_request": (400, UNREADABLE),
    "bad_request_key_error": (400, UNREADABLE),
    "not_found": (404, WERKZEUG_404),
    "method_not_allowed": (405, "The method is not allowed for the requested URL."),
    "unsupported_media_type": (
        415,
        "Did not attempt to load JSON data because the request Content-Type was not 'application/json'.",
    ),
    "request_entity_too_large": (413, "The data value transmitted exceeds the capacity limit."),
    "app_unavailable": (400, "App unavailable, please check your app configurations."),
    "not_chat_app": (400, "Please check if your app mode matches the right API route."),
    "conversation_completed": (400, "The conversation has ended. Please start a new conversation."),
    "provider_not_initialize": (
        400,
        (
            "No valid model provider credentials found. Please go to Settings -> Model Provider to complete your "
            "provider credentials."
        ),
    ),
    "provider_quota_exceeded": (
        400,
        (
            "Your quota for Dify Hosted OpenAI has been exhausted. Please go to Settings -> Model Provider to "
            "complete your own provider credentials."
        ),
    ),
    "model_currently_not_support": (400, "Dify Hosted OpenAI trial currently not support the GPT-4 model."),
    "completion_request_error": (400, "Completion request failed."),
    "too_many_requests": (429, "Too many requests. Please try again later."),
    "rate_limit_error": (429, "Rate Limit Error"),
    "no_audio_uploaded": (400, "Please upload your audio."),
    "audio_too_large": (413, "Audio size exceeded."),
    "unsupported_audio_type": (415, "Audio type not allowed."),
    "provider_not_support_speech_to_text": (400, "Provider not support speech to text."),
    "no_file_uploaded": (400, "Please upload your file."),
    "too_many_files": (400, "Only one file is allowed."),
    "filename_not_exists_error": (400, "The specified filename does not exist."),
    "file_too_large": (413, "File size exceeded."),
    "unsupported_file_type": (415, "File type not allowed."),
    "file_access_denied": (403, "Access to the requested file is denied."),
    "file_not_found": (404, "The requested file was not found."),
    "end_user_not_found": (404, "End user not found."),
    "internal_server_error": (500, "Internal server error."),
    "unknown": (500, "Internal Server Error"),
}
"""Error code → HTTP status and text."""

MISSING: dict[str, str] = {
    "getSuggestedQuestions": "Message Not Exists.",
    "postChatMessageFeedback": "Message Not Exists.",
    "updateAnnotation": "Annotation not found.",
    "deleteAnnotation": "Annotation not found.",
}
"""What the 404 for a malformed id in the path says, where it is not about a conversation."""

NO_BLOCKING = "Agent Chat App does not support blocking mode"
NEEDS_USER = frozenset(
    {"sendChatMessage", "stopChatMessageGeneration", "getSuggestedQuestions", "postChatMessageFeedback"}
)
SENTENCES: dict[tuple[str, str], str] = {
    ("/query", "minLength"): "query is required",
    ("/conversation_id", "pattern"): "conversation_id must be a valid UUID",
    ("/files", "contains"): "Number of image files exceeds the maximum limit 3",
    ("/files", "maxContains"): "Number of image files exceeds the maximum limit 3",
    ("/files", "maxItems"): "Number of files exceeds the maximum limit 10",
}
"""Pointer and broken rule → the sentence that Dify has for it."""
ONE_NEEDED: dict[str, tuple[tuple[str, ...], str]] = {
    "renameConversation": (("auto_generate", "name"), "name is required when auto_generate is false"),
    "textToAudioChat": (("message_id", "text"), "Text is required"),
}
"""Operation → members of its body of which one must say something, and the sentence where none does."""
ID_NAMES = re.compile(r"/\w+_id")


def reply_json(value: Any, status: int = 200) -> Reply:
    """Ordinary JSON: compact, escaped beyond ASCII, one newline at the end."""
    return Reply(status, JSON, compact_ascii(value) + b"\n")


def encode(event: Event) -> bytes:
    """One frame of a stream: compact JSON in UTF-8; keep-alive has no data line."""
    return encode_frame(event, compact)


def refuse(ask: Ask, error: Refused, violations: tuple[Violation, ...]) -> Reply:
    """Any refusal in Dify's flat envelope."""
    match error.code:
        case "unknown_path":
            if ask.observed("html_not_found"):
                return Reply(404, (("Content-Type", "text/html; charset=utf-8"), *OWN_HEADERS), HTML_404.encode())
            return error_reply(ask, Refused("not_found"))
        case "method_not_allowed":
            reply = error_reply(ask, Refused("method_not_allowed"))
            return Reply(reply.status, (*reply.headers, ("Allow", error.message or "")), reply.body)
        case "too_large":
            return error_reply(ask, Refused(_too_large(ask)))
        case "undecodable":
            return error_reply(ask, Refused("bad_request"))
        case "crashed":
            return error_reply(ask, Refused("internal_server_error", error.message, error.status))
        case "invalid":
            return _invalid(ask, violations)
        case _:
            return error_reply(ask, error)


def error_reply(ask: Ask, error: Refused) -> Reply:
    """An error body: `code`, `message`, `status`."""
    status, text = ERRORS.get(error.code, (400, error.code))
    code, status = error.code, error.status or status
    message = text if error.message is None else error.message
    if code == "internal_server_error" and error.message is None and ask.observed("internal_error_text"):
        message = WERKZEUG_500
    elif code == "forbidden" and error.message is None and ask.observed("site_missing_text"):
        message = WERKZEUG_403
    elif code == "file_too_large" and ask.observed("too_large_text"):
        message += " {message}"
    elif code == "too_many_requests" and ask.observed("too_many_requests"):
        code, status = "invalid_param", 400
        message += f" The current maximum concurrent requests allowed for {ask.caller.id_in(ask)} is 10."
    elif code == "not_found" and error.message is not None and ask.observed("not_found_hint"):
        message += _hint(ask)
    headers = JSON + AUTHENTICATE if status == 401 else JSON
    return Reply(status, headers, compact_ascii({"code": code, "message": message, "status": status}) + b"\n")


def _too_large(ask: Ask) -> str:
    path = ask.call.path
    if path.endswith("/files/upload"):
        return "file_too_large"
    return "audio_too_large" if path.endswith("/audio-to-text") else "request_entity_too_large"


def _invalid(ask: Ask, violations: tuple[Violation, ...]) -> Reply:
    """Violations of the contract, in the order in which Dify looks at things: body, user, ids, the rest."""
    operation = ask.operation.id if ask.operation is not None else ""
    for one in violations:
        error = _unreadable(ask, operation, one)
        if error is not None:
            return error_reply(ask, error)
    for one in violations:
        if one.pointer == "/user" and operation in NEEDS_USER:
            return error_reply(ask, Refused("invalid_param", "Arg user must be provided."))
    for one in violations:
        if one.place == "path" and ID_NAMES.fullmatch(one.pointer):
            return _missing(ask, operation, one.pointer)
        if (one.pointer, one.rule) == ("/query", "minLength") and len(violations) == 1 and refuses_blocking(ask):
            return error_reply(ask, Refused("invalid_param", NO_BLOCKING))
        if one.pointer == "/action" and ask.observed("annotation_action"):
            return error_reply(ask, Refused("internal_server_error"))
        if one.pointer == "/file":
            code = _no_part(ask, operation)
            if code is not None:
                return error_reply(ask, Refused(code))
        if (one.pointer, one.rule) in SENTENCES:
            return error_reply(ask, Refused("invalid_param", SENTENCES[one.pointer, one.rule]))
    members, sentence = ONE_NEEDED.get(operation, ((), ""))
    if members and all(_says_nothing(ask.body.get(member)) for member in members):
        return error_reply(ask, Refused("invalid_param", sentence))
    return error_reply(ask, Refused("invalid_param", _sentence(operation, violations)))


def _says_nothing(value: Any) -> bool:
    return not value or (isinstance(value, str) and not value.strip())


def _unreadable(ask: Ask, operation: str, violation: Violation) -> Refused | None:
    """What a body that cannot be read as an object is refused with; None for any other violation."""
    if violation.rule == "media_type":
        return Refused(_no_part(ask, operation) or "unsupported_media_type")
    if violation.rule in ("json", "multipart"):
        return Refused("bad_request")
    if (violation.place, violation.pointer, violation.rule) == ("body", "", "type"):
        if ask.observed("body_no_object"):
            return Refused("unknown")
        return Refused("invalid_param", _sentence(operation, (violation,)))
    return None


def refuses_blocking(ask: Ask) -> bool:
    """Whether the app is an agent that is asked for an answer in one piece."""
    return bool(ask.caller.mode == "agent-chat" and ask.body.get("response_mode") != "streaming")


def _no_part(ask: Ask, operation: str) -> str | None:
    if operation == "uploadChatFile":
        return "no_file_uploaded"
    if operation == "audioToText":
        return "bad_request_key_error" if ask.observed("audio_missing") else "no_audio_uploaded"
    return None


def _missing(ask: Ask, operation: str, pointer: str) -> Reply:
    """A malformed id: nothing can have it."""
    if ask.observed("html_not_found"):
        return Reply(404, (("Content-Type", "text/html; charset=utf-8"), *OWN_HEADERS), HTML_404.encode())
    match pointer:
        case "/file_id":
            return error_reply(ask, Refused("file_not_found"))
        case "/end_user_id":
            return error_reply(ask, Refused("end_user_not_found"))
        case "/job_id":
            return error_reply(ask, Refused("invalid_param", "The job does not exist."))
        case "/variable_id":
            return error_reply(ask, Refused("not_found", "Conversation Variable Not Exists."))
        case _:
            return error_reply(ask, Refused("not_found", MISSING.get(operation, "Conversation Not Exists.")))


def _sentence(operation: str, violations: tuple[Violation, ...]) -> str:
    """What is wrong, by place, in the shape of the framework's own text."""
    count = f"{len(violations)} validation error{'s' * (len(violations) != 1)} for {operation}"
    lines = [f"{_place(one)}\n  expected {one.expected}, got {one.got} [type={one.rule}]" for one in violations]
    return "\n".join([count, *lines])


def _place(violation: Violation) -> str:
    return violation.pointer.strip("/").replace("/", ".") or violation.place


RULES = (
    "/v1/",
    "/v1/chat-messages",
    "/v1/chat-messages/<string:task_id>/stop",
    "/v1/messages",
    "/v1/messages/<uuid:message_id>/feedbacks",
    "/v1/messages/<uuid:message_id>/suggested",
    "/v1/app/feedbacks",
    "/v1/conversations",
    "/v1/conversations/<uuid:c_id>",
    "/v1/conversations/<uuid:c_id>/name",
    "/v1/conversations/<uuid:c_id>/variables",
    "/v1/conversations/<uuid:c_id>/variables/<uuid:variable_id>",
    "/v1/files/upload",
    "/v1/files/<uuid:file_id>/preview",
    "/v1/end-users/<uuid:end_user_id>",
    "/v1/audio-to-text",
    "/v1/text-to-audio",
    "/v1/info",
    "/v1/parameters",
    "/v1/meta",
    "/v1/site",
    "/v1/apps/annotations",
    "/v1/apps/annotations/<uuid:annotation_id>",
    "/v1/apps/annotation-reply/<string:action>",
    "/v1/apps/annotation-reply/<string:action>/status/<uuid:job_id>",
    "/v1/completion-messages",
    "/v1/workflows/run",
)
"""URL rules of the running system: its framework suggests those whose text is close to a path that got a 404."""


def _hint(ask: Ask) -> str:
    rules = {re.sub(r"<.*?>", "", rule): rule for rule in RULES}
    close = difflib.get_close_matches(ask.call.path, list(rules))
    if not close:
        return ""
    return (
        f" You have requested this URI [{ask.call.path}] but did you mean {' or '.join(rules[one] for one in close)} ?"
    )
