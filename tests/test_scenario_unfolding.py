"""What a scenario comes to for one call: paces, repeats, choices, replies, faults, states. And the same from JSON."""

from __future__ import annotations

from typing import Any

import pytest
from scenario_scene import scenario_of, scene, unfolded

from emulator.errors import Broken
from emulator.fault import LAST, Fault
from emulator.streams.reading import scenario_from
from emulator.streams.scenario import MOST_STEPS, Unfolded
from emulator.streams.steps import PACE, Audio, Ping, Respond, Say, Wait

# --- pace

PACES: dict[str, tuple[str, tuple[Say, ...]]] = {
    "none": ("steps: [say: a]", (Say("a"),)),
    "a duration": ("pace: 10ms\nsteps: [say: a, say: b]", (Say("a", 0.01), Say("b", 0.01))),
    "by tokens": ("pace: {tokens_per_second: 40}\nsteps: [say: a]", (Say("a", 0.025),)),
    "the first text alone is waited for": (
        "pace: {ttft: 2s}\nsteps: [say: a, say: b]",
        (Say("a", PACE, None, 2.0), Say("b")),
    ),
    "a text's own words win": (
        "pace: {every: 1s, ttft: 2s}\nsteps: [{say: a, every: 2s, ttft: 1s}, {say: b, tokens_per_second: 10}]",
        (Say("a", 2.0, None, 1.0), Say("b", 0.1)),
    ),
    "nothing": ("pace:\nsteps: [say: a]", (Say("a"),)),
}


@pytest.mark.parametrize("name", PACES)
def test_a_pace_is_for_every_text(name: str) -> None:
    text, steps = PACES[name]
    assert unfolded(text).steps == steps


def test_a_pace_leaves_other_steps_alone() -> None:
    assert unfolded("pace: {every: 9s, ttft: 9s}\nsteps: [ping, audio: a]").steps == (Ping(), Audio("a"))


def test_unevenness_is_drawn_from_the_seed_for_each_text_and_play() -> None:
    scenario = scenario_of("pace: {jitter: 5ms}\nsteps: [say: a, say: a]")
    first, second = (step for step in scenario.unfold(scene()).steps or () if isinstance(step, Say))
    assert first.jitter == second.jitter == 0.005
    assert first.noise != second.noise
    assert scenario.unfold(scene(session="other", now=9.0)).steps == (first, second)
    assert scenario.unfold(scene(plays={"mine": 1})).steps != (first, second)


# --- repeat and choose


def test_a_repeat_plays_its_steps_again() -> None:
    text = "steps: [say: a, {repeat: 3, steps: [ping, {repeat: 2, steps: [wait: 1s]}]}, {repeat: 0, steps: [ping]}]"
    assert unfolded(text).steps == (Say("a"), *(Ping(), Wait(1.0), Wait(1.0)) * 3)


@pytest.mark.parametrize(
    ("times", "inside", "words"),
    [
        (MOST_STEPS, "[ping, ping]", "more than 10000 steps"),
        (MOST_STEPS + 1, "[ping]", "whole number from 0 to 10000"),
        ("x", "[ping]", "whole number from 0 to 10000"),
        (200, "[{repeat: '{{ request.body.n }}', steps: [{choose: [{when: {nth: 9}, steps: [ping]}]}]}]", "rounds"),
    ],
)
def test_repeats_are_bounded_where_they_are_worked_out(times: Any, inside: str, words: str) -> None:
    with pytest.raises(Broken, match=words):
        unfolded(f"steps: [{{repeat: '{{{{ request.body.n }}}}', steps: {inside}}}]", body={"n": times})


CHOICE = """
becomes: {a: 0, seen: 1}
steps:
- wait: 1s
- choose:
  - when: {body: {query: {contains: slow}}}
    becomes: {a: 1}
    steps: [wait: 5s]
  - requires: {left: {at_most: 0}}
    steps: [error: provider_quota_exceeded]
  - when: {nth: 2}
    requires: {left: 5}
    faults: {reset: {event: last}}
  - becomes: {a: "{{ state.left }}"}
    steps: [say: otherwise]
"""


def test_the_first_way_that_fits_is_played() -> None:
    slow = unfolded(CHOICE, body={"query": "slow"}, states={"left": 0})
    assert slow == Unfolded((Wait(1.0), Wait(5.0)), becomes={"a": 1, "seen": 1})
    both = unfolded(CHOICE, nth=2, states={"left": 5})
    assert both == Unfolded((Wait(1.0),), faults=(Fault("reset", event=LAST),), becomes={"a": 0, "seen": 1})
    left = unfolded(CHOICE, nth=1, states={"left": 5})
    assert left == Unfolded((Wait(1.0), Say("otherwise")), becomes={"a": 5, "seen": 1})


def test_choices_stand_in_choices_and_none_may_fit() -> None:
    text = "steps: [ping, choose: [{when: {nth: 1}, steps: [choose: [{when: {turn: 2}, steps: [say: a]}]]}]]"
    assert unfolded(text, turn=2).steps == (Ping(), Say("a"))
    assert unfolded(text, turn=1).steps == (Ping(),)


@pytest.mark.parametrize("inner", ["{repeat: 1, steps: [%s]}", "choose: [{steps: [%s]}]"])
def test_nesting_is_bounded(inner: str) -> None:
    text = "ping"
    for _ in range(8):
        text = inner % text
    assert unfolded(f"steps: [{text}]").steps == (Ping(),)
    with pytest.raises(Broken, match="nested deeper than 8 levels"):
        scenario_of(f"steps: [{inner % text}]")


def test_nothing_changes_by_looking() -> None:
    states: dict[str, Any] = {"left": 5}
    plays: dict[str, int] = {}
    scenario = scenario_of(CHOICE)
    scenario.unfold(scene(states=states, plays=plays))
    assert (states, plays) == ({"left": 5}, {})


# --- replies, faults, states


def test_waits_before_a_reply_delay_it() -> None:
    assert unfolded("steps: [wait: 1s, wait: 500ms, reply: 429]") == Unfolded(None, Respond(429), 1.5)


def test_a_reply_in_one_way_leaves_the_others() -> None:
    text = "steps: [wait: 1s, choose: [{when: {nth: 1}, steps: [reply: 503]}, {steps: [say: a]}]]"
    assert unfolded(text) == Unfolded(None, Respond(503), 1.0)
    assert unfolded(text, nth=2).steps == (Wait(1.0), Say("a"))


def test_a_way_that_says_nothing_leaves_the_answer_to_the_behaviour() -> None:
    text = "steps: [choose: [{when: {nth: 1}, steps: [reply: 503]}]]"
    found = unfolded(text, nth=2)
    assert found == Unfolded() and not found.answers


def test_values_of_a_reply_are_worked_out_and_checked() -> None:
    text = """
steps:
- reply:
    status: '{{ request.body.s }}'
    headers: {Retry-After: '{{ nth }}', x: '{{ request.body.h }}'}
    body: ['{{ turn }}']
"""
    found = unfolded(text, body={"s": 429, "h": "a"})
    assert found.reply == Respond(429, headers={"Retry-After": "1", "x": "a"}, body=[1], has_body=True)
    with pytest.raises(Broken, match=r"mine.yaml:4:5: expected a whole number from 200 to 599, got 99"):
        unfolded(text, body={"s": 99, "h": "a"})
    with pytest.raises(Broken, match="Latin-1 in one line"):
        unfolded(text, body={"s": 429, "h": "a\r\nSet-Cookie: b"})


def test_faults_alone_damage_the_behaviours_own_answer() -> None:
    found = unfolded("faults: [reset, {truncate: {event: 3}}]")
    assert found == Unfolded(faults=(Fault("reset"), Fault("truncate", event=3)))
    assert not found.answers


def test_values_of_faults_are_worked_out_and_checked() -> None:
    text = "faults: {truncate: {event: '{{ request.body.at }}'}}"
    assert unfolded(text, body={"at": 2}).faults == (Fault("truncate", event=2),)
    with pytest.raises(Broken, match=r"mine.yaml:1:21: expected a whole number"):
        unfolded(text, body={"at": "x"})
    steps = "steps: [fault: '{{ request.body.at }}']"
    assert unfolded(steps, body={"at": "reset"}).steps == (Fault("reset"),)
    with pytest.raises(Broken, match="can be no step"):
        unfolded(steps, body={"at": "refuse"})


def test_states_alone_move_a_story_on() -> None:
    found = unfolded("when: {nth: 1}\nbecomes: {in: {since: '{{ now }}'}}", now=5.0)
    assert found == Unfolded(becomes={"in": {"since": 5}})


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("steps: [say: a, {repeat: 2, steps: [ping]}]\nfaults: reset", True),
        ("steps: [say: '{{ nth }}']", False),
        ("steps: [choose: [{when: {nth: 1}, steps: [ping]}]]", False),
        ("steps: [{say: a, jitter: 1ms}]", False),
        ("becomes: {a: '{{ nth }}'}", False),
        ("faults: {truncate: {event: '{{ nth }}'}}", False),
        ("steps: [{repeat: '{{ nth }}', steps: [ping]}]", False),
    ],
)
def test_what_is_the_same_in_every_call_is_unfolded_once(text: str, same: bool) -> None:
    scenario = scenario_of(text)
    first, second = scenario.unfold(scene(nth=1)), scenario.unfold(scene(nth=2, plays={"mine": 3}))
    assert (first is second) is same
    assert (first == second) is same


# --- from JSON, without a file


def fail(place: tuple[str | int, ...], what: str) -> Exception:
    return LookupError("/".join(map(str, place)), what)


def test_a_scenario_of_json() -> None:
    data = {"steps": [{"say": "{{ request.body.gone }}"}], "when": {"nth": 1}}
    scenario = scenario_from(data, "inline", ["sendChatMessage"], {"say"}, fail)
    assert (scenario.name, scenario.file, scenario.when) == ("inline", "", {"nth": 1})
    with pytest.raises(LookupError) as caught:
        scenario.unfold(scene())
    assert caught.value.args[0] == "steps/0/say"


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        ([], "", "expected a mapping with description and steps"),
        ({"steps": [{"sya": 1}]}, "steps/0/sya", "did you mean 'say'?"),
        ({"steps": ["tool_call"]}, "steps/0", "this backend cannot say 'tool_call'; it says say, ping"),
        ({"steps": ["ping"], "operation": "sendChatMesage"}, "operation", "did you mean 'sendChatMessage'?"),
        (
            {"steps": ["ping"], "operation": "getInfo"},
            "steps/0",
            "getInfo gives no answer that 'ping' could be a part of",
        ),
        ({"steps": [{"event": nested(100)}]}, "steps/0/event" + "/0" * 62, "nested deeper than 64 levels"),
        ({"steps": [{"event": [0] * 200_001}]}, "", "more than 200000 values"),
        ({"steps": [{"say": "\ud800"}]}, "steps/0/say", "half a character"),
        ({"steps": [{"event": {"\ud800": 1}}]}, "steps/0/event", "is no name"),
        ({"steps": [{"event": float("nan")}]}, "steps/0/event", "a number that JSON has"),
        ({"steps": [{"event": 10**5000}]}, "steps/0/event", "the number is too large"),
        ({"steps": [{"wait": 10**3000}]}, "steps/0/wait", "the number is too large"),
    ],
)
def test_a_mistake_in_json_is_told_as_its_reader_likes(data: Any, place: str, words: str) -> None:
    with pytest.raises(LookupError) as caught:
        scenario_from(data, "inline", ["sendChatMessage", "getInfo"], {"say", "ping"}, fail, ["sendChatMessage"])
    assert caught.value.args[0] == place
    assert words in caught.value.args[1]


def test_a_reply_is_for_any_operation() -> None:
    data = {"steps": [{"wait": 1}, {"reply": 429}], "operation": "getInfo"}
    scenario = scenario_from(data, "inline", ["sendChatMessage", "getInfo"], None, fail, ["sendChatMessage"])
    assert scenario.unfold(scene()).reply == Respond(429)
