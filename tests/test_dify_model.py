"""Whatever users do to conversations, in whatever order, the Dify backend keeps what a small model keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from conftest import KEYS
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule
from test_dify_operations import SERVICE, UNKNOWN

from emulator.call import Call, Reply
from emulator.pipeline import answer
from emulator.settings import Settings
from emulator.world.session import Sessions

ACTORS = [(app, user) for app in ("chat", "flow") for user in ("mira", "noor")]
ORDERS = ("created_at", "-created_at", "updated_at", "-updated_at")
SETTINGS = Settings(backends=("dify",), speed=0, check_replies=True)

RATINGS = st.sampled_from(["like", "dislike", None])

Actor = tuple[str, str]
Said = tuple[int, Any]


@dataclass
class Turn:
    """A message as the model keeps it. `rated` is when its rating was given first."""

    id: str
    query: str
    answer: str
    rating: str | None = None
    content: str | None = None
    rated: int = 0


@dataclass
class Talk:
    """A conversation as the model keeps it; times are numbers of calls."""

    id: str
    owner: Actor
    name: str
    created: int
    updated: int
    turns: list[Turn] = field(default_factory=list)


class Conversations(RuleBasedStateMachine):
    """Two users of two apps in one session."""

    talks = Bundle("talks")

    def __init__(self) -> None:
        super().__init__()
        self.sessions = Sessions(SETTINGS)
        self.calls = count(1)
        self.now = 0
        self.kept: dict[str, Talk] = {}
        self.seeded: dict[str, list[str]] = {}

    # ---- Calls, inside the process ----

    def call(self, actor: Actor, method: str, path: str, body: Any = None, **query: Any) -> Said:
        """One call; status and JSON. Every call takes at least a second of the session's clock."""
        app, user = actor
        headers = {"authorization": f"Bearer {KEYS[app]}", "content-type": "application/json"}
        pairs = {} if body is not None else {"user": user, **query}
        content = json.dumps({"user": user, **body}).encode() if body is not None else b""
        encoded = "&".join(f"{name}={value}" for name, value in pairs.items()).encode()
        call = Call(method, f"/v1{path}", encoded, headers, content, "model")
        self.now = next(self.calls)
        answered = answer(SERVICE, self.sessions, SETTINGS, call)
        assert answered.entry is not None and answered.entry.breaches == []
        assert isinstance(answered.reply, Reply)
        return answered.reply.status, json.loads(answered.reply.body) if answered.reply.body else None

    def done(self, actor: Actor, method: str, path: str, body: Any = None, **query: Any) -> Any:
        status, value = self.call(actor, method, path, body, **query)
        assert status in (200, 204), value
        return value

    def ask(self, actor: Actor, query: str, **members: Any) -> Any:
        body = {"query": query, "inputs": {"city": "Oslo"}, "auto_generate_name": False, **members}
        return self.done(actor, "POST", "/chat-messages", body)

    @initialize()
    def remember_what_is_there(self) -> None:
        for app in ("chat", "flow"):
            listed = self.done((app, "mira"), "GET", "/app/feedbacks", limit=101)["data"]
            self.seeded[app] = [one["id"] for one in listed]

    # ---- What users do ----

    @rule(target=talks, actor=st.sampled_from(ACTORS), query=st.sampled_from(["Hi", "x" * 20, "y" * 21, "怎么走？"]))
    def start(self, actor: Actor, query: str) -> Talk:
        said = self.ask(actor, query)
        name = query if len(query) <= 20 else query[:20] + "…"
        talk = Talk(said["conversation_id"], actor, name, self.now, self.now)
        talk.turns.append(Turn(said["message_id"], query, said["answer"].strip()))
        assert talk.id not in self.kept
        self.kept[talk.id] = talk
        return talk

    @rule(talk=talks, query=st.sampled_from(["And then?", "Why?"]))
    def go_on(self, talk: Talk, query: str) -> None:
        said = self.ask(talk.owner, query, conversation_id=talk.id)
        assert said["conversation_id"] == talk.id
        talk.turns.append(Turn(said["message_id"], query, said["answer"].strip()))
        talk.updated = self.now

    @rule(talk=talks, name=st.sampled_from(["a", "  b ", "名字"]))
    def rename(self, talk: Talk, name: str) -> None:
        shown = self.done(talk.owner, "POST", f"/conversations/{talk.id}/name", {"name": name})
        talk.name, talk.updated = name, self.now
        assert (shown["id"], shown["name"]) == (talk.id, name)

    @rule(talk=talks)
    def rename_by_model(self, talk: Talk) -> None:
        shown = self.done(talk.owner, "POST", f"/conversations/{talk.id}/name", {"auto_generate": True})
        talk.name = shown["name"]
        assert talk.name

    @rule(talk=consumes(talks))
    def delete(self, talk: Talk) -> None:
        assert self.call(talk.owner, "DELETE", f"/conversations/{talk.id}", {}) == (204, None)
        del self.kept[talk.id]
        assert self.call(talk.owner, "DELETE", f"/conversations/{talk.id}", {})[0] == 404
        assert self.call(talk.owner, "GET", "/messages", conversation_id=talk.id)[0] == 404
        for turn in talk.turns:
            assert self.call(talk.owner, "POST", f"/messages/{turn.id}/feedbacks", {"rating": "like"})[0] == 404

    @rule(talk=talks, at=st.integers(0, 3), ratings=st.lists(RATINGS, min_size=1, max_size=3))
    def rate(self, talk: Talk, at: int, ratings: list[str | None]) -> None:
        turn = talk.turns[at % len(talk.turns)]
        for n, rating in enumerate(ratings):
            content = f"{rating} {at} {n}"
            body = {"rating": rating, "content": content}
            status, said = self.call(talk.owner, "POST", f"/messages/{turn.id}/feedbacks", body)
            if rating is None and turn.rating is None:
                assert (status, said["code"]) == (400, "invalid_param")
                continue
            assert (status, said) == (200, {"result": "success"})
            if turn.rating is None:
                turn.rated = self.now
            turn.rating, turn.content = rating, content if rating else None

    @rule(talk=talks, actor=st.sampled_from(ACTORS))
    def pry(self, talk: Talk, actor: Actor) -> None:
        """Nobody else gets anything, and nothing changes."""
        if actor == talk.owner:
            return
        for method, path, body in (
            ("POST", f"/conversations/{talk.id}/name", {"name": "mine"}),
            ("DELETE", f"/conversations/{talk.id}", {}),
            ("POST", f"/messages/{talk.turns[0].id}/feedbacks", {"rating": "like"}),
        ):
            assert self.call(actor, method, path, body)[0] == 404
        assert self.call(actor, "GET", "/messages", conversation_id=talk.id)[0] == 404
        assert self.call(actor, "GET", "/conversations", last_id=talk.id)[0] == 404

    @rule(talk=talks)
    def fail(self, talk: Talk) -> None:
        """What is refused leaves no trace."""
        path = f"/conversations/{talk.id}"
        assert self.call(talk.owner, "POST", f"{path}/name", {"name": " "})[0] == 400
        body = {"query": "", "inputs": {}, "conversation_id": talk.id}
        assert self.call(talk.owner, "POST", "/chat-messages", body)[0] == 400
        body |= {"query": "Hi", "inputs": {"city": "x" * 49}}
        assert self.call(talk.owner, "POST", "/chat-messages", body)[0] == 400
        assert self.call(talk.owner, "GET", "/messages", conversation_id=talk.id, first_id=UNKNOWN)[0] == 404

    # ---- What they see ----

    @rule(actor=st.sampled_from(ACTORS), sort_by=st.sampled_from(ORDERS), limit=st.integers(1, 4))
    def list_conversations(self, actor: Actor, sort_by: str, limit: int) -> None:
        wanted = [talk for talk in self.kept.values() if talk.owner == actor]
        wanted.sort(
            key=lambda talk: talk.created if sort_by.endswith("created_at") else talk.updated,
            reverse=sort_by.startswith("-"),
        )
        seen: list[tuple[str, str]] = []
        query: dict[str, Any] = {"sort_by": sort_by, "limit": limit}
        while True:
            page = self.done(actor, "GET", "/conversations", **query)
            seen += [(one["id"], one["name"]) for one in page["data"]]
            assert page["has_more"] == (len(seen) < len(wanted))
            assert page["limit"] == limit >= len(page["data"])
            if not page["has_more"]:
                break
            query["last_id"] = seen[-1][0]
        assert seen == [(talk.id, talk.name) for talk in wanted]

    @rule(talk=talks, limit=st.integers(1, 4))
    def read(self, talk: Talk, limit: int) -> None:
        seen: list[tuple[str, str, str, str | None]] = []
        query: dict[str, Any] = {"conversation_id": talk.id, "limit": limit}
        while True:
            page = self.done(talk.owner, "GET", "/messages", **query)
            shown = [
                (one["id"], one["query"], one["answer"], one["feedback"] and one["feedback"]["rating"])
                for one in page["data"]
            ]
            seen = shown + seen
            assert page["has_more"] == (len(seen) < len(talk.turns))
            if not page["has_more"]:
                break
            query["first_id"] = seen[0][0]
        assert seen == [(turn.id, turn.query, turn.answer, turn.rating) for turn in talk.turns]

    @rule(app=st.sampled_from(["chat", "flow"]), limit=st.integers(1, 5))
    def list_feedback(self, app: str, limit: int) -> None:
        turns = [turn for talk in self.kept.values() if talk.owner[0] == app for turn in talk.turns if turn.rating]
        turns.sort(key=lambda turn: turn.rated, reverse=True)
        seen: list[dict[str, Any]] = []
        for page in count(1):
            data = self.done((app, "mira"), "GET", "/app/feedbacks", page=page, limit=limit)["data"]
            seen += data
            if not data:
                break
        new = [(one["message_id"], one["rating"], one["content"]) for one in seen[: len(turns)]]
        assert new == [(turn.id, turn.rating, turn.content) for turn in turns]
        assert [one["id"] for one in seen[len(turns) :]] == self.seeded[app]

    def teardown(self) -> None:
        for actor in ACTORS:
            for sort_by in ORDERS:
                for limit in (1, 2, 3):
                    self.list_conversations(actor, sort_by, limit)
        for talk in self.kept.values():
            self.read(talk, 2)
        if self.seeded:
            for app in ("chat", "flow"):
                self.list_feedback(app, 5)


# Without shrinking, which takes minutes here: thirty steps can be read as they are.
Conversations.TestCase.settings = settings(
    max_examples=25, stateful_step_count=30, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate]
)
test_conversations_beside_a_model = Conversations.TestCase
