"""Calls of DeepSeek that RuoYi passes on. Source: FACTS.md 000 (DeepSeek operations)."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from emulator.backends import Ask
from emulator.backends.ruoyi.completion_turn import REASONER, CompletionTurn
from emulator.backends.ruoyi.failures import Failure, never_opens
from emulator.backends.ruoyi.playing import streamed, whole
from emulator.backends.ruoyi.wire import enveloped, error_reply, upstream
from emulator.call import Reply, Stream
from emulator.errors import Refused
from emulator.streams.steps import PACE, End, Say, Send, Step, Wait
from emulator.world import prose

DEEPSEEK = "deepseek"
PROVIDERS: Mapping[int, str] = {1: DEEPSEEK, 2: "tongyi"}
"""The providers that are configured, by kind."""
CHAT = "deepseek-chat"
THINKING_SECONDS = 0.35
MESSAGE_TOKENS = 4
"""What the frame of a message costs."""
FAILED: Mapping[str, str] = {
    "chat_endpoint_api_ai_deepseek_chat_post": "发送消息失败",
    "chat_stream_endpoint_api_ai_deepseek_chat_stream_post": "流式发送消息失败",
    "reasoner_endpoint_api_ai_deepseek_reasoner_post": "推理请求失败",
}
"""What RuoYi says when nobody answered."""

MUTE = frozenset({"tool_result", "file", "replace", "audio"})
"""Words of steps for which DeepSeek's stream has nothing."""

THOUGHTS: Mapping[str, tuple[str, ...]] = {
    "en": (
        "Let me first make sure that I understand what is being asked. ",
        "There are two ways to look at it, so I compare them. ",
        "I should separate what is certain from what only seems likely. ",
        "A small example will show whether the idea holds. ",
        "I will check the result once more from the other end. ",
        "That fits together, so the answer can be short.",
    ),
    "zh": (
        "先弄清楚问题到底在问什么。",
        "可以从两个角度来看，先比较一下。",
        "把确定的部分和只是可能的部分分开来看。",
        "用一个小例子验证一下这个想法是否成立。",
        "再从另一个方向检查一遍结果。",
        "前后一致，可以简短地回答了。",
    ),
}
"""What the reasoner thinks: the beginning, what may come between, the end."""


def complete(ask: Ask) -> Reply:
    """`chat_endpoint_api_ai_deepseek_chat_post`."""
    return _whole(ask, ask.body.get("model") or CHAT)


def reason(ask: Ask) -> Reply:
    """`reasoner_endpoint_api_ai_deepseek_reasoner_post`: the reasoner, whatever model the body names."""
    return _whole(ask, REASONER)


def complete_stream(ask: Ask) -> Reply | Stream:
    """`chat_stream_endpoint_api_ai_deepseek_chat_stream_post`."""
    turn, steps = _turn(ask, ask.body.get("model") or CHAT)
    if never_opens(steps):
        return whole(ask, turn, steps, lambda: _shown(ask, turn))
    return streamed(ask, turn, steps, turn.id)


def _whole(ask: Ask, model: str) -> Reply:
    turn, steps = _turn(ask, model)
    return whole(ask, turn, steps, lambda: _shown(ask, turn))


def _shown(ask: Ask, turn: CompletionTurn) -> Reply:
    """The completion, or how it failed."""
    if turn.failure is None:
        return enveloped(ask, turn.completion())
    return error_reply(ask, _refused(ask, turn.failure))


def _refused(ask: Ask, failure: Failure) -> Refused:
    assert ask.operation is not None
    if failure.unreachable:
        return Refused("provider_failed", f"{FAILED[ask.operation.id]}: {failure.text}")
    return Refused("provider_failed", upstream(ask.operation.id, failure.text), failure.status)


def _turn(ask: Ask, model: str) -> tuple[CompletionTurn, Sequence[Step]]:
    """Who words the answer, and what happens in it. Raises Refused for a provider that cannot be used."""
    kind = PROVIDERS.get(ask.query["provider_id"])
    if kind is None:
        raise Refused("provider_not_found")
    if kind != DEEPSEEK:
        raise Refused("provider_kind")
    body = ask.body
    messages = body["messages"]
    prompt = sum(prose.tokens_in(message["content"] or "") + MESSAGE_TOKENS for message in messages)
    options = body.get("stream_options") or {}
    steps: Sequence[Step] | None = ask.script
    if steps is None:
        steps = _script(ask, model, messages, body.get("max_tokens"))
    elif any(_thinks(step) for step in steps):
        # Only one of the models can do what the scenario wants.
        model = REASONER
    return CompletionTurn(ask, model, prompt, options.get("include_usage") is True), steps


def _thinks(step: Step) -> bool:
    """Whether a step is a chunk with reasoning."""
    if not isinstance(step, Send) or not isinstance(step.event, Mapping):
        return False
    choices = step.event.get("choices")
    deltas = [one.get("delta") for one in choices if isinstance(one, Mapping)] if isinstance(choices, list) else []
    return any(isinstance(delta, Mapping) and "reasoning_content" in delta for delta in deltas)


def _script(ask: Ask, model: str, messages: Sequence[Mapping[str, Any]], most: int | None) -> Sequence[Step]:
    """What the model does of its own accord: the same question at the same turn gets the same answer, cut after `most`
    tokens."""
    asked = [message["content"] or "" for message in messages if message["role"] == "user"]
    question = asked[-1] if asked else messages[-1]["content"] or ""
    rng = ask.world.seed.rng("completion", f"{model}\x00{len(asked)}\x00{question}")
    thought = _thought(question, rng) if model == REASONER else ""
    answer = prose.answer_to(question, rng)
    left = prose.tokens_in(thought) + prose.tokens_in(answer) if most is None else most
    shown_thought = _first(thought, left)
    shown_answer = _first(answer, left - prose.tokens_in(shown_thought)) if shown_thought == thought else ""
    whole = shown_thought == thought and shown_answer == answer
    end = End({} if whole else {"finish_reason": "length"})
    return (Wait(THINKING_SECONDS), *_thinking(shown_thought), Say(shown_answer), end)


def _first(text: str, tokens: int) -> str:
    """The beginning of a text that has no more than so many tokens, cut between its pieces."""
    kept = ""
    for piece in prose.deltas(text):
        if prose.tokens_in(kept + piece) > tokens:
            break
        kept += piece
    return kept


def _thought(question: str, rng: random.Random) -> str:
    """What the reasoner thinks about a question."""
    first, *middle, last = THOUGHTS[prose.language_of(question)]
    chosen = rng.sample(range(len(middle)), rng.randint(2, len(middle)))
    return first + "".join(middle[i] for i in sorted(chosen)) + last


def _thinking(text: str) -> Iterator[Step]:
    """The reasoning in chunks, before the answer."""
    for piece in prose.deltas(text):
        yield Send({"choices": [{"delta": {"reasoning_content": piece}}]})
        yield Wait(PACE)
