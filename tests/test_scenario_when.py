"""Conditions: every word, every test, the sentences that tell why one is not met, and patterns that would take for ever
elsewhere."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scenario_scene import scenario_of, scene, written

from emulator.streams.patterns import LONGEST_PATTERN, LONGEST_TEXT, MOST_STATES, Pattern
from emulator.streams.shelf import Scenarios
from emulator.streams.when import COUNTS, PLACES, TESTS, WORDS, check_when, mismatch, told

MATCHES: list[tuple[str, dict[str, str], Any, bool]] = [
    # `when`, the call's headers and body, whether it matches
    ("{body: {query: hello}}", {}, {"query": "hello"}, True),
    ("{body: {query: hello}}", {}, {"query": "hello there"}, False),
    ("{body: {query: {equals: hello}}}", {}, {"query": "hello"}, True),
    ("{body: {query: {contains: quota}}}", {}, {"query": "the quota is out"}, True),
    ("{body: {query: {contains: quota}}}", {}, {"query": ["a", "quota"]}, True),
    ("{body: {query: {contains: quota}}}", {}, {"query": 5}, False),
    ("{body: {query: {contains: 5}}}", {}, {"query": "5"}, False),
    ("{body: {query: {matches: '^h.*o$'}}}", {}, {"query": "hello"}, True),
    ("{body: {query: {matches: '^h.*o$'}}}", {}, {"query": None}, False),
    ("{body: {query: {matches: 5}}}", {}, {"query": "5"}, False),
    ("{body: {query: {exists: true}}}", {}, {"query": ""}, True),
    ("{body: {query: {exists: true}}}", {}, {}, False),
    ("{body: {query: {exists: false}}}", {}, {}, True),
    ("{body: {query: {contains: a, matches: b}}}", {}, {"query": "ab"}, True),
    ("{body: {query: {contains: a, matches: b}}}", {}, {"query": "a"}, False),
    ("{body: {query: hello, user: u}}", {}, {"query": "hello", "user": "u"}, True),
    ("{body: {query: hello, user: u}}", {}, {"query": "hello", "user": "v"}, False),
    ("{body: {query: hello}}", {}, None, False),
    ("{body: {query: hello}}", {}, ["hello"], False),
    ("{header: {X-Test: a}}", {"x-test": "a"}, {}, True),
    ("{header: {X-Test: a}}", {"x-test": "b"}, {}, False),
    ("{header: {X-Test: {contains: a}}}", {}, {}, False),
    ("{header: {X-Test: a}, body: {query: b}}", {"x-test": "a"}, {"query": "b"}, True),
    ("{header: {X-Test: a}, body: {query: b}}", {"x-test": "a"}, {"query": "c"}, False),
    ("{}", {}, {}, True),
]


@pytest.mark.parametrize(("when", "headers", "body", "expected"), MATCHES)
def test_a_call_matches_when(tmp_path: Path, when: str, headers: dict[str, str], body: Any, expected: bool) -> None:
    (tmp_path / "dify").mkdir()
    written(tmp_path / "dify", f"when: {when}\nsteps: [ping]\n")
    written(tmp_path / "dify", "steps: [ping]\n", "a-first-one-without-when")
    found, _ = Scenarios("dify", [tmp_path]).matching(scene(headers=headers, body=body))
    assert (found is not None and found.name == "mine") is expected


def test_of_several_that_match_the_first_by_name_is_played_if_it_is_for_the_operation(tmp_path: Path) -> None:
    (tmp_path / "dify").mkdir()
    for name, operation in (("a", "another"), ("b", "sendChatMessage"), ("c", "sendChatMessage")):
        written(tmp_path / "dify", f"operation: {operation}\nwhen: {{}}\nsteps: [ping]\n", name)
    found, _ = Scenarios("dify", [tmp_path]).matching(scene())
    assert found is not None and found.name == "b"


# --- every word

CALL = {
    "headers": {"x-count": "12", "x-client": "web"},
    "query": {"limit": 5, "user": "abc", "deep": "true"},
    "path": {"id": 7},
    "body": {
        "query": "the quota",
        "stream": True,
        "n": 3,
        "inputs": {"city": "Hangzhou", "items": [1, {"b": 2}]},
        "messages": [{"role": "user"}],
        "a.b": "literal",
    },
    "nth": 6,
    "turn": 2,
    "states": {"left": 2, "who": {"name": "Ann"}, "none": None},
    "plays": {"mine": 3},
}
SENTENCES: list[tuple[str, str | None]] = [
    # `when`, and why it is not met (None where it is)
    ("{}", None),
    ("{header: {X-Client: web}}", None),
    ("{header: {x-client: app}}", "header.x-client is not 'app'"),
    ("{header: {x-count: 12}}", None),
    ("{header: {x-count: {at_least: 12.5}}}", "header.x-count is not at least 12.5"),
    ("{header: {x-count: {at_most: 12, every: 4}}}", None),
    ("{header: {x-client: {at_least: 1}}}", "header.x-client is not at least 1"),
    ("{header: {x-none: a}}", "header.x-none is not there"),
    ("{header: {x-none: {exists: false}}}", None),
    ("{header: {x-client: {exists: false}}}", "header.x-client is there"),
    ("{query: {limit: 5}}", None),
    ("{query: {limit: '5'}}", None),
    ("{query: {deep: true}}", None),
    ("{query: {user: {matches: '^a.c$'}}}", None),
    ("{path: {id: {at_least: 8}}}", "path.id is not at least 8"),
    ("{path: {id: '7'}}", None),
    ("{body: {n: 3}}", None),
    ("{body: {n: '3'}}", "body.n is not '3'"),
    ("{body: {stream: true}}", None),
    ("{body: {stream: 1}}", "body.stream is not 1"),
    ("{body: {query: {contains: limit}}}", "body.query does not contain 'limit'"),
    ("{body: {query: {matches: '^quota'}}}", "body.query does not match '^quota'"),
    ("{body: {inputs.city: Hangzhou}}", None),
    ("{body: {inputs.items.1.b: 2}}", None),
    ("{body: {inputs.items.9.b: 2}}", "body.inputs.items.9.b is not there"),
    ("{body: {inputs.items: {contains: 1}}}", None),
    ("{body: {messages.0.role: user}}", None),
    ("{body: {query.x: a}}", "body.query.x is not there"),
    ("{body: {a.b: literal}}", None),
    ("{body: {n: {every: 2}}}", "body.n is no multiple of 2"),
    ("{state: {left: {at_most: 1}}}", "state.left is not at most 1"),
    ("{state: {who.name: Ann}}", None),
    ("{state: {left: {exists: false}}}", "state.left is there"),
    ("{state: {none: {exists: false}}}", None),
    ("{state: {gone: {exists: true}}}", "state.gone is not there"),
    ("{nth: 6}", None),
    ("{nth: 2}", "nth is not 2 but 6"),
    ("{nth: {every: 3}}", None),
    ("{nth: {every: 4}}", "nth is no multiple of 4 but 6"),
    ("{turn: {at_least: 3}}", "turn is not at least 3 but 2"),
    ("{play: 4}", None),
    ("{play: {at_most: 3}}", "play is not at most 3 but 4"),
    ("{nth: 6, turn: 9}", "turn is not 9 but 2"),
]


@pytest.mark.parametrize(("when", "reason"), SENTENCES)
def test_why_a_condition_is_not_met_is_told_in_words(when: str, reason: str | None) -> None:
    assert scenario_of(f"when: {when}\nsteps: [ping]").unmet(scene(**CALL)) == reason


def test_every_word_and_every_test_is_tried_above() -> None:
    tried = " ".join(when for when, _ in SENTENCES)
    assert all(f"{word}: " in tried for word in (*(set(WORDS) | set(TESTS)) - {"equals"},))
    assert set(WORDS) == {*PLACES, *COUNTS}


def test_what_a_scenario_requires_is_a_condition_too() -> None:
    scenario = scenario_of("requires: {left: {at_least: 3}}\nsteps: [ping]")
    assert scenario.automatic
    assert scenario.unmet(scene(**CALL)) == "state.left is not at least 3"
    both = scenario_of("when: {nth: 7}\nrequires: {left: 2}\nsteps: [ping]")
    assert both.unmet(scene(**CALL)) == "nth is not 7 but 6"
    assert both.unmet(scene(**CALL | {"nth": 7})) is None


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({}, "always"),
        ({"body": {"query": {"contains": "quota"}}, "nth": 2}, "body.query contains 'quota' and nth is 2"),
        ({"state": {"left": {"exists": False}}}, "state.left is not there"),
        ({"play": {"every": 3}}, "play is a multiple of 3"),
    ],
)
def test_a_condition_in_words(when: dict[str, Any], words: str) -> None:
    assert told(when) == words


def test_near_misses_name_the_scenario_and_the_reason(tmp_path: Path) -> None:
    (tmp_path / "dify").mkdir()
    for name, when in (("a", "{nth: 2}"), ("b", "{body: {query: x}}"), ("c", "{turn: 1}"), ("d", "{nth: 9}")):
        written(tmp_path / "dify", f"when: {when}\nsteps: [ping]\n", name)
    scenarios = Scenarios("dify", [tmp_path])
    found, missed = scenarios.matching(scene())
    assert found is not None and found.name == "c"
    assert missed == ["a: nth is not 2 but 1", "b: body.query is not there"]
    assert scenarios.matching(scene(turn=2))[1][2:] == ["c: turn is not 1 but 2", "d: nth is not 9 but 1"]


def test_which_can_be_for_an_operation_is_looked_up_once_and_again_after_a_change(tmp_path: Path) -> None:
    (tmp_path / "dify").mkdir()
    written(tmp_path / "dify", "when: {nth: 1}\nsteps: [ping]\n", "a")
    scenarios = Scenarios("dify", [tmp_path])
    first = scenarios.automatic("x")
    assert [one.name for one in first] == ["a"]
    assert scenarios.refresh() == [] and scenarios.automatic("x") is first
    written(tmp_path / "dify", "when: {nth: 1}\nsteps: [ping]\n", "b")
    assert scenarios.automatic("x") is first
    scenarios.refresh()
    assert [one.name for one in scenarios.automatic("x")] == ["a", "b"]
    (tmp_path / "dify" / "a.yaml").unlink()
    scenarios.refresh()
    assert [one.name for one in scenarios.automatic("x")] == ["b"]


def test_a_condition_of_somebody_else_is_checked_alike() -> None:
    def fail(place: tuple[str | int, ...], what: str) -> Exception:
        return LookupError(place, what)

    when = {"body": {"query": {"contains": "quota"}}}
    assert mismatch(check_when(when, fail), scene(body={"query": "quota"})) is None
    for bad, place in (
        ([], ()),
        ({"body": 1}, ("body",)),
        ({"nth": "x"}, ("nth",)),
        ({"boddy": {}}, ("boddy",)),
        ({"body": {"a": {"matches": "("}}}, ("body", "a", "matches")),
    ):
        with pytest.raises(LookupError) as caught:
            check_when(bad, fail)
        assert caught.value.args[0] == place


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
CONDITIONS = st.dictionaries(
    st.sampled_from([*WORDS, "x"]),
    VALUES
    | st.dictionaries(
        st.sampled_from(["a", "a.0", "b"]), VALUES | st.dictionaries(st.sampled_from([*TESTS]), VALUES), max_size=2
    ),
    max_size=3,
)


@settings(max_examples=200, deadline=None)
@given(CONDITIONS, VALUES, st.dictionaries(st.sampled_from("ab"), VALUES))
def test_any_condition_is_refused_or_answers_for_any_call(when: Any, body: Any, states: dict[str, Any]) -> None:
    try:
        check_when(when, lambda place, what: LookupError(what))
    except LookupError:
        return
    found = mismatch(when, scene(body=body, states=states, query=states, headers={"a": "1"}))
    assert found is None or (found and told(when))


# --- patterns


@pytest.mark.parametrize(
    ("text", "in_"),
    [
        ("(a|a)*b", "a" * LONGEST_TEXT),
        ("(a+)+$", "a" * LONGEST_TEXT + "!"),
        ("(a*)*b", "a" * LONGEST_TEXT),
        ("a.*b.*c.*d", "abc" * LONGEST_TEXT),
        (r"(\w+\s?)+:", "word " * LONGEST_TEXT),
        ("((a?){0,100}){0,1}b", "a" * LONGEST_TEXT),
        (".{0,150}x", "y" * LONGEST_TEXT),
    ],
)
def test_no_pattern_takes_long(text: str, in_: str) -> None:
    begun = time.monotonic()
    Pattern(text).found_in(in_)
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(", "missing ), unterminated subpattern"),
        (r"(a)\1", "a back reference cannot be used here"),
        ("(?=a)", "looking ahead or behind cannot be used here"),
        ("(?<!a)", "looking ahead or behind cannot be used here"),
        ("(?i:a)", "a flag for a part cannot be used here"),
        ("(?>a)", "an atomic group cannot be used here"),
        ("a++", "a possessive repetition cannot be used here"),
        ("a{1000}", f"more than {MOST_STATES} states"),
        ("((a{99}){99}){99}", f"more than {MOST_STATES} states"),
        ("a" * (LONGEST_PATTERN + 1), f"longer than {LONGEST_PATTERN} characters"),
        ("(" * 300 + ")" * 300, "nested too deep"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_told(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(words)):
        Pattern(text)


PIECES = st.sampled_from(
    [
        *("a", "b", ".", "[ab]", "[^a]", r"\d", r"\W", r"\s", r"\b", r"\B", "^", "$", "(a|b)", "(ab)?", "a*", "b+?"),
        *("a{1,2}", "(?:a|)", r"\Z", r"\A", "[a-c1]", "é", "(a*)*", "(|b){2}", "x?"),
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    st.lists(PIECES, max_size=5).map("".join),
    st.text("abc1 \n_éA", max_size=8),
    st.sampled_from(["", "(?i)", "(?s)", "(?m)", "(?a)"]),
)
def test_a_pattern_finds_what_pythons_finds(text: str, in_: str, flags: str) -> None:
    # Before 3.14 Python's own finds no \B in an empty text.
    assume(in_ or r"\B" not in text)
    assert Pattern(flags + text).found_in(in_) is (re.search(flags + text, in_) is not None)


def test_one_without_an_operation_is_for_those_that_can_play_it(tmp_path: Path) -> None:
    (tmp_path / "dify").mkdir()
    for name, rest in (
        ("says", "steps: [ping]"),
        ("replies", "steps: [wait: 1s, reply: 401]"),
        ("breaks", "faults: reset"),
    ):
        written(tmp_path / "dify", f"when: {{}}\n{rest}\n", name)
    scenarios = Scenarios("dify", [tmp_path], ["chat", "info"], ["chat"])
    assert [one.name for one in scenarios.automatic("chat")] == ["breaks", "replies", "says"]
    assert [one.name for one in scenarios.automatic("info")] == ["breaks", "replies"]
