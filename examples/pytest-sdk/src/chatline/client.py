"""The client. Tries again what has not begun: too many calls, a service that is away, a connection that does not open.
An answer that has begun is never asked for twice, since the service may have kept it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import httpx

from chatline.errors import Broken, Failed, Refused, TooMany
from chatline.events import read_events

AGAIN = frozenset({429, 502, 503, 504})
"""Statuses after which a call may be made again."""
MOST_WAIT = 60.0
"""Seconds that the client waits at most, whatever `Retry-After` says."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. `usage` is what the service counted, with its words for it."""

    text: str
    conversation: str
    message: str
    usage: dict[str, Any]


class Chat:
    """One user of one app. `sleep` is called with the seconds between two attempts."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        user: str,
        *,
        attempts: int = 3,
        timeout: float = 30.0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        headers = {"Authorization": f"Bearer {api_key}"}
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout)
        self._user = user
        self._attempts = attempts
        self._sleep = sleep

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def ask(self, query: str, conversation: str = "") -> Answer:
        """The whole answer, once it is there."""
        pieces: list[str] = []
        answer: Answer | None = None
        for one in self.stream(query, conversation):
            if isinstance(one, Answer):
                answer = one
            else:
                pieces.append(one)
        assert answer is not None
        return answer

    def stream(self, query: str, conversation: str = "") -> Generator[str | Answer, None, None]:
        """The pieces of the answer as they come, and at the end all of it as an Answer.

        Raises Refused, TooMany, Failed and Broken. Leaving the loop closes the connection.
        """
        body = {
            "inputs": {},
            "query": query,
            "user": self._user,
            "response_mode": "streaming",
            "conversation_id": conversation,
        }
        text = ""
        with self._opened(body) as reply:
            try:
                for event in read_events(reply.iter_raw()):
                    match event.get("event"):
                        case "message" | "agent_message":
                            text += event["answer"]
                            yield event["answer"]
                        case "message_replace":
                            text = event["answer"]
                        case "error":
                            raise Failed(event["code"], event["message"], text)
                        case "message_end":
                            usage = event.get("metadata", {}).get("usage", {})
                            yield Answer(text, event["conversation_id"], event["message_id"], usage)
                            return
            except httpx.TransportError as error:
                raise Broken(f"the connection broke: {type(error).__name__}", text) from error
            except (ValueError, KeyError) as error:
                raise Broken(f"the answer cannot be read: {error}", text) from error
        raise Broken("the answer has no end", text)

    def conversations(self) -> list[dict[str, Any]]:
        """All conversations of this user, the latest first."""
        found: list[dict[str, Any]] = []
        more = True
        while more:
            query: dict[str, str | int] = {"user": self._user, "limit": 2}
            if found:
                query["last_id"] = found[-1]["id"]
            reply = self._http.get("/conversations", params=query)
            if reply.status_code != 200:
                raise _refusal(reply)
            found += reply.json()["data"]
            more = reply.json()["has_more"]
        return found

    @contextmanager
    def _opened(self, body: dict[str, Any]) -> Iterator[httpx.Response]:
        """The reply of the first attempt that is let in."""
        for attempt in range(1, self._attempts + 1):
            last = attempt == self._attempts
            try:
                with self._http.stream("POST", "/chat-messages", json=body) as reply:
                    if reply.status_code == 200:
                        yield reply
                        return
                    reply.read()
            except (httpx.ConnectError, httpx.RemoteProtocolError, httpx.ReadError) as error:
                # Broken and Failed pass: they are raised inside, and are no errors of httpx.
                if last:
                    raise TooMany(0, "unreachable", str(error)) from error
                self._sleep(2.0 ** (attempt - 1))
                continue
            if reply.status_code not in AGAIN:
                raise _refusal(reply)
            if last:
                raise _refusal(reply, TooMany)
            self._sleep(_pause(reply, attempt))


def _pause(reply: httpx.Response, attempt: int) -> float:
    """Seconds until the next attempt: what the service asks for, else twice as long each time."""
    asked = reply.headers.get("Retry-After", "")
    return min(float(asked) if asked.isdigit() else 2.0 ** (attempt - 1), MOST_WAIT)


def _refusal(reply: httpx.Response, kind: type[Refused] = Refused) -> Refused:
    try:
        body = reply.json()
        return kind(reply.status_code, body["code"], body["message"])
    except (ValueError, KeyError, TypeError):
        # What stands in front of the service answers in its own words.
        return kind(reply.status_code, "unknown", reply.text[:200])
