"""How an answer can fail, and what each failure is called on the wire.

Sources: FACTS.md 000 (prefixes and statuses), DeepSeek's public API (its error texts).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from emulator.streams.steps import Fail, Ping, Step, Wait

PROVIDER: Mapping[str, tuple[int, str]] = {
    "invalid_format": (400, "Invalid Format"),
    "authentication_fails": (401, "Authentication Fails"),
    "insufficient_balance": (402, "Insufficient Balance"),
    "rate_limit_reached": (429, "Rate Limit Reached"),
    "server_error": (500, "Server Error"),
    "server_overloaded": (503, "Server Overloaded"),
}
"""DeepSeek refuses or breaks: code → its HTTP status and text."""

UNREACHABLE: Mapping[str, str] = {
    "upstream_timeout": "The read operation timed out",
    "upstream_unreachable": "All connection attempts failed",
}
"""Nobody answers behind RuoYi: code → the text of its HTTP client."""

APP_FAILURE = "completion_request_error"
"""What Dify calls any failure of the model behind an app."""
APP_STATUS = 400
APP_TEXT = "The model did not answer."
GENERIC = "server_error"


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure in full. `unreachable` says that no upstream answered at all."""

    code: str
    status: int
    text: str
    unreachable: bool = False


def provider_failure(step: Fail) -> Failure:
    """What a failing step comes to when DeepSeek was called."""
    code = step.code or GENERIC
    if code in UNREACHABLE:
        return Failure(code, 500, step.message or UNREACHABLE[code], True)
    status, text = PROVIDER.get(code, (500, code if step.code else PROVIDER[GENERIC][1]))
    return Failure(code, step.status or status, step.message or text)


def app_failure(step: Fail) -> Failure:
    """What a failing step comes to when a Dify app was called: Dify has one code for all that a provider does."""
    if step.code is None or step.code in PROVIDER or step.code in UNREACHABLE:
        _, provider_text = PROVIDER.get(step.code or "", (0, UNREACHABLE.get(step.code or "", APP_TEXT)))
        return Failure(APP_FAILURE, APP_STATUS, step.message or provider_text, step.code in UNREACHABLE)
    text = APP_TEXT if step.code == APP_FAILURE else step.code
    return Failure(step.code, step.status or APP_STATUS, step.message or text)


def never_opens(steps: Iterable[Step]) -> bool:
    """Whether an answer fails before a stream of it could begin: nothing is said, and nobody is reached."""
    for step in steps:
        if isinstance(step, Fail):
            return step.code in UNREACHABLE
        if not isinstance(step, Wait | Ping):
            return False
    return False
