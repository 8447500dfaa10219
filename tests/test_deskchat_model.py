"""Deskchat's store against a small model: whatever is done in whichever order, lists, counts, groups, search and
statistics tell the same story. No socket: calls go straight into the pipeline."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import urlencode

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from emulator.app import create_app
from emulator.call import Call, Event, Reply
from emulator.pipeline import answer

APP = create_app(backends=("deskchat",), speed=0, check_replies=True)
NAMES = count()


@dataclass
class Talk:
    """What the model knows of a conversation: its group, and the texts of its messages by uuid."""

    group: int
    texts: dict[str, str] = field(default_factory=dict)


class Machine(RuleBasedStateMachine):
    """The rules a person could play."""

    def __init__(self) -> None:
        super().__init__()
        self.session = f"model{next(NAMES)}"
        self.talks: dict[str, Talk] = {}
        self.groups = {1}

    def send(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """Make a call; returns its data, or the events of a stream."""
        service = APP.services["deskchat"]
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"content-type": "application/json"}
        call = Call(method, f"/chat{path}", urlencode(query).encode(), headers, data, self.session)
        answered = answer(service, APP.sessions, APP.settings, call)
        assert answered.entry is not None and answered.entry.breaches == []
        if not isinstance(answered.reply, Reply):
            return [one.data for one in answered.reply.performance.play() if isinstance(one, Event)]
        assert answered.reply.status == 200, answered.reply.body
        return json.loads(answered.reply.body)["data"]

    def pick(self, n: int) -> str | None:
        """One of the conversations there are."""
        return list(self.talks)[n % len(self.talks)] if self.talks else None

    @initialize()
    def begin(self) -> None:
        for group in self.send("GET", "/groups"):
            self.groups.add(group["id"])
        for one in self.send("GET", "/conversations/list", pageSize=100)["list"]:
            self.talks[one["uuid"]] = Talk(one["group_id"], self.stored(one["uuid"]))

    def stored(self, uuid: str) -> dict[str, str]:
        listed = self.send("GET", f"/conversations/{uuid}/messages", pageSize=100)["list"]
        return {one["uuid"]: one["content"] for one in listed}

    @rule(n=st.integers(0, 9))
    def create(self, n: int) -> None:
        group = sorted(self.groups)[n % len(self.groups)]
        self.talks[self.send("POST", "/conversations", {"group_id": group})["uuid"]] = Talk(group)

    @rule(n=st.integers(0, 99), text=st.text(max_size=5))
    def say(self, n: int, text: str) -> None:
        if uuid := self.pick(n):
            sent = self.send("POST", "/messages", {"chat_id": uuid, "content": text})
            self.talks[uuid].texts[sent["message_id"]] = text

    @rule(n=st.integers(0, 99))
    def stream(self, n: int) -> None:
        if uuid := self.pick(n):
            events = self.send("POST", "/messages/stream", {"chat_id": uuid, "content": "hi there"})
            self.talks[uuid].texts[events[0]["message_id"]] = "hi there"
            self.talks[uuid].texts[events[1]["message_id"]] = events[-1]["content"]

    @rule(n=st.integers(0, 99), m=st.integers(0, 9), text=st.text(max_size=5))
    def edit(self, n: int, m: int, text: str) -> None:
        uuid = self.pick(n)
        if uuid and (texts := self.talks[uuid].texts):
            message = list(texts)[m % len(texts)]
            self.send("PUT", f"/messages/{message}", {"content": text})
            texts[message] = text

    @rule(n=st.integers(0, 99), m=st.integers(0, 9))
    def delete_message(self, n: int, m: int) -> None:
        uuid = self.pick(n)
        if uuid and (texts := self.talks[uuid].texts):
            message = list(texts)[m % len(texts)]
            self.send("DELETE", f"/messages/{message}")
            del texts[message]

    @rule(n=st.integers(0, 99), m=st.integers(0, 9))
    def regenerate(self, n: int, m: int) -> None:
        uuid = self.pick(n)
        if uuid and (texts := self.talks[uuid].texts):
            message = list(texts)[m % len(texts)]
            told = self.send("POST", "/messages/regenerate", {"chat_id": uuid, "message_id": message})
            texts[told["message_id"]] = told["new_content"]

    @rule(n=st.integers(0, 99))
    def clear(self, n: int) -> None:
        if uuid := self.pick(n):
            self.send("DELETE", f"/conversations/{uuid}/messages")
            self.talks[uuid].texts.clear()

    @rule(n=st.integers(0, 99), many=st.booleans())
    def delete(self, n: int, many: bool) -> None:
        if uuid := self.pick(n):
            if many:
                self.send("DELETE", "/conversations/batch", {"ids": [uuid, "nothing"]})
            else:
                self.send("DELETE", f"/conversations/{uuid}")
            del self.talks[uuid]

    @rule(n=st.integers(0, 99), m=st.integers(0, 9), many=st.booleans())
    def move(self, n: int, m: int, many: bool) -> None:
        if uuid := self.pick(n):
            group = sorted(self.groups)[m % len(self.groups)]
            if many:
                self.send("PUT", "/conversations/batch/move", {"chat_ids": [uuid, uuid], "target_group_id": group})
            else:
                self.send("PUT", f"/conversations/{uuid}/move", {"group_id": group})
            self.talks[uuid].group = group

    @rule()
    def create_group(self) -> None:
        self.groups.add(self.send("POST", "/groups", {"name": "g"})["id"])

    @rule(m=st.integers(0, 9), with_talks=st.booleans())
    def delete_group(self, m: int, with_talks: bool) -> None:
        others = sorted(self.groups - {1})
        if others:
            group = others[m % len(others)]
            self.send("DELETE", f"/groups/{group}", delete_chats=str(with_talks).lower())
            self.groups.remove(group)
            inside = [uuid for uuid, talk in self.talks.items() if talk.group == group]
            for uuid in inside:
                if with_talks:
                    del self.talks[uuid]
                else:
                    self.talks[uuid].group = 1

    @invariant()
    def lists_agree(self) -> None:
        page = self.send("GET", "/conversations/list", pageSize=100)
        assert page["total"] == len(self.talks)
        assert {one["uuid"]: (one["group_id"], one["message_count"]) for one in page["list"]} == {
            uuid: (talk.group, len(talk.texts)) for uuid, talk in self.talks.items()
        }
        assert [one["updated_at"] for one in page["list"]] == sorted(
            (one["updated_at"] for one in page["list"]), reverse=True
        )

    @invariant()
    def groups_agree(self) -> None:
        groups = self.send("GET", "/groups")
        assert {one["id"] for one in groups} == self.groups
        for one in groups:
            inside = {uuid for uuid, talk in self.talks.items() if talk.group == one["id"]}
            assert {talk["uuid"] for talk in one["conversations"]} == inside

    @invariant()
    def statistics_agree(self) -> None:
        counts = self.send("GET", "/statistics", time_range="year")
        assert counts["total_conversations"] == len(self.talks)
        texts = [text for talk in self.talks.values() for text in talk.texts.values()]
        assert counts["total_messages"] == len(texts)
        assert counts["total_characters"] == sum(map(len, texts))

    def teardown(self) -> None:
        for uuid, talk in self.talks.items():
            # A dictionary keeps the place of a key whose value changes, as a message keeps its own.
            assert list(self.stored(uuid).items()) == list(talk.texts.items())[:100]
        APP.sessions.reset(self.session)


TestMachine = Machine.TestCase
TestMachine.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
