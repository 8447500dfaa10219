"""Values in texts: what an expression can name and do, what is refused, and that nothing runs away."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scenario_scene import scenario_of, scene, unfolded

from emulator.errors import Broken
from emulator.streams.scenario import Unfolded
from emulator.streams.steps import Say, Send
from emulator.streams.values import FAKES, LONGEST, NAMES
from emulator.world.seed import Seed

CALL: dict[str, Any] = {
    "headers": {"x-client": "web"},
    "path": {"id": 5},
    "query": {"user": "abc"},
    "body": {"query": "two words", "n": 3, "inputs": {"items": [1, 2], "city": "Hangzhou"}, "on": True, "none": None},
    "nth": 4,
    "turn": 2,
    "plays": {"mine": 6},
    "states": {"left": 2, "who": {"name": "Ann"}},
    "session": "s1",
    "now": 1_767_225_600.7,
}
ANSWERS: list[tuple[str, Any]] = [
    ("request.body.query", "two words"),
    ("request.body", CALL["body"]),
    ("request.body.inputs.items", [1, 2]),
    ("request.body.inputs.items[1]", 2),
    ("request.body['inputs']['city'][:4]", "Hang"),
    ("request.body.on", True),
    ("request.body.none", None),
    ("request.headers['X-Client']", "web"),
    ("request.query.user", "abc"),
    ("request.path.id + 1", 6),
    ("request.method ~ ' ' ~ request.url", "POST /v1/chat-messages"),
    ("request.operation", "sendChatMessage"),
    ("session.name", "s1"),
    ("session.seed", 0),
    ("state.left - 1", 1),
    ("state.who.name | upper", "ANN"),
    ("state.gone | default(3)", 3),
    ("(state.gone | default(3)) - 1", 2),
    ("state.gone is defined", False),
    ("nth", 4),
    ("play", 7),
    ("turn", 2),
    ("now", 1_767_225_600),
    ("iso(now)", "2026-01-01T00:00:00Z"),
    ("iso(now + 90)", "2026-01-01T00:01:30Z"),
    ("7 // 2 * 2 - -1", 7),
    ("7 % 4 / 2", 1.5),
    ("'a' if nth is even else 'b'", "a"),
    ("nth > 3 and not (turn == 1)", True),
    ("'words' in request.body.query", True),
    ("[1, nth] + [2]", [1, 4, 2]),
    ("{'a': {'b': nth}}", {"a": {"b": 4}}),
    ("'}}' ~ '{{'", "}}{{"),
    ("[1, 'a', true] | join('-')", "1-a-true"),
    ("request.body.query | replace('two', 'three') | title", "Three Words"),
    ("request.body.query | truncate(3)", "two…"),
    ("' a ' | trim | length", 1),
    ("'3.7' | float | round", 4),
    ("2.345 | round(1)", 2.3),
    ("'12' | int", 12),
    ("(0 - 3) | abs", 3),
    ("request.body.inputs | json", '{"items": [1, 2], "city": "Hangzhou"}'),
    ("'a b' | urlencode", "a%20b"),
    ("[3, 4] | first ~ [3, 4] | last", "34"),
    ("'abc' | capitalize | lower | string", "abc"),
]


@pytest.mark.parametrize(("expression", "value"), ANSWERS)
def test_an_expression_keeps_the_type_of_its_value(expression: str, value: Any) -> None:
    text = json.dumps(f"{{{{ {expression} }}}}")
    assert unfolded(f"steps: [event: {text}]", **CALL).steps == (Send(value),) if value is not None else True
    assert unfolded(f"steps: [event: {{x: {text}}}]", **CALL).steps == (Send({"x": value}),)


def test_every_name_is_tried_above_or_below() -> None:
    tried = " ".join(expression for expression, _ in ANSWERS)
    assert [name for name in NAMES if name not in tried] == ["index", "fake", "uuid"]


def test_a_text_with_more_in_it_is_text() -> None:
    text = "{{ nth }}: {{ request.body.inputs }}, {{ request.body.on }}, {{ request.body.none }} and {% no statement"
    (step,) = unfolded(f"steps: [say: {json.dumps(text)}]", **CALL).steps or ()
    said = '4: {"items": [1, 2], "city": "Hangzhou"}, true, null and {% no statement'
    assert step == Say(said)


def test_a_number_can_be_said_and_a_list_cannot() -> None:
    assert unfolded("steps: [say: '{{ nth }}']", **CALL).steps == (Say("4"),)
    with pytest.raises(Broken, match=r"mine.yaml:1:9: expected text, got a list"):
        unfolded("steps: [say: '{{ request.body.inputs.items }}']", **CALL)


def test_a_clients_text_is_no_template() -> None:
    body = {"query": "{{ session.seed }} {{ nope }}"}
    assert unfolded("steps: [say: '{{ request.body.query }}']", body=body).steps == (Say(body["query"]),)


def test_line_ends_stay_as_they_are() -> None:
    assert unfolded('steps: [event: "a\\r\\n{{ nth }}\\n"]').steps == (Send("a\r\n1\n"),)


REFUSED: list[tuple[str, str]] = [
    # An expression that no scenario may have, and what is told when it is read.
    ("nope", "unknown name 'nope'; did you mean 'now'?"),
    ("request.bdy", "unknown member of request 'bdy'; did you mean 'body'?"),
    ("session.sed", "did you mean 'seed'?"),
    ("fake.cty", "did you mean 'city'?"),
    ("fake['binary']", "unknown member of fake 'binary'"),
    ("fake.date", "unknown member of fake 'date'"),
    ("nth | uper", "unknown filter 'uper'; did you mean 'upper'?"),
    ("nth is evn", "unknown test 'evn'; did you mean 'even'?"),
    ("index", "index is there inside of a repeat only"),
    ("uuid", "uuid has to be called: uuid()"),
    ("2 ** 9", "powers cannot be used"),
    ("(1, 2)", "lists in round brackets cannot be used"),
    ("range(9)", "only uuid() and iso() can be called"),
    ("request.body.get('x')", "only uuid() and iso() can be called"),
    ("nth | default(value=1)", "arguments are given by their place"),
    ("uuid(*nth)", "arguments are given by their place"),
    ("", "an empty {{ }}"),
    ("-nth", "write {{ - … }} with a blank"),
    ("1 +", "no expression"),
    ("x for x in y", "no expression"),
    ("nth nth", "no expression"),
    ("1e999", "the number is not finite"),
    ("9" * 400, "the number is too large"),
    ("(" * 500 + ")" * 500, "no expression: nested too deep"),
    ("not " * 60 + "nth", "the expression is too large"),
    ("nth + " * 250 + "nth", "the expression is too large"),
    ("nth" + " " * 2_000, "may have 2000 characters"),
]


@pytest.mark.parametrize(("expression", "words"), REFUSED)
def test_what_is_no_expression_is_told_when_it_is_read(expression: str, words: str) -> None:
    gap = "" if expression.startswith("-") else " "
    with pytest.raises(Broken) as caught:
        scenario_of("steps:\n- say: x\n- event: {a: " + json.dumps(f"{{{{{gap}{expression}{gap}}}}}") + "}")
    assert (caught.value.line, caught.value.column) == (3, 11)
    assert words in caught.value.what


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ nth", "a {{ without its }}"),
        ("{{ '}}'", "a {{ without its }}"),
        ("{% if nth %}x{% endif %}", "there are no statements"),
        ("{{ nth }}{% if nth %}", "there are no statements"),
        ("{{ nth }}" + "x" * LONGEST, f"may have {LONGEST} characters"),
    ],
)
def test_a_text_that_is_no_template_is_told(text: str, words: str) -> None:
    with pytest.raises(Broken, match=r"mine\.yaml:1:9: ") as caught:
        scenario_of(f"steps: [say: {json.dumps(text)}]")
    assert words in caught.value.what


WITHOUT_VALUE: list[tuple[str, str]] = [
    # An expression that has no value in this call, and what is told then.
    ("request.body.gone", "there is no 'gone' in what has inputs, n, none, on, query"),
    ("request.body.gone.further", "there is no 'gone'"),
    ("request.body.inputs.items[9]", "there is no '9' in the list"),
    ("request.body.__class__", "there is no '__class__'"),
    ("''.__class__.__mro__", "there is no '__class__'"),
    ("request.body.query.format", "there is no 'format' in the text"),
    ("uuid().__class__", "there is no '__class__' in the text"),
    ("request.body['items']", "there is no 'items'"),
    ("fake", "it is no text, number, list or mapping"),
    ("state.gone", "there is no 'gone'"),
    ("state.gone + 1", "there is no 'gone'"),
    ("state.gone | upper", "there is no 'gone'"),
    ("1 / 0", "division by zero"),
    ("'a' * 99", "* is for numbers here"),
    ("[1] * 99", "* is for numbers here"),
    ("'%999999d' % 1", "% is for numbers here"),
    ("'a' + 1", "+ is for numbers here"),
    ("request.body.n < 'a'", "not supported"),
    ("iso(1e300)", "out of range"),
    ("iso('x')", "invalid literal"),
    ("'x' | int", "invalid literal"),
    ("nth | first", "not subscriptable"),
    ("'abc' | replace('', 'x')", "what is replaced must not be empty"),
    ("nth if false", "no else section was defined"),
]


@pytest.mark.parametrize(("expression", "words"), WITHOUT_VALUE)
def test_a_value_that_is_not_there_is_told_when_it_is_played(expression: str, words: str) -> None:
    scenario = scenario_of("steps:\n- event: {a: " + json.dumps(f"{{{{ {expression} }}}}") + "}")
    with pytest.raises(Broken) as caught:
        scenario.unfold(scene(**CALL))
    assert str(caught.value).startswith("mine.yaml:2:11: the value cannot be worked out: ")
    assert words in caught.value.what


GROWING = [
    "request.body.long",
    "request.body.long | upper",
    "request.body.long ~ request.body.long",
    "request.body.long[:60000] + request.body.long[:60000]",
    "request.body.many | join(request.body.long[:60000])",
    "request.body.long[:60000] | replace('a', request.body.long[:60000])",
    "[request.body.many, request.body.many, request.body.many] | json",
    "request.body.long[:30000]" + " | json" * 20 + " | json | json",
    " * ".join(["99999999999999999999"] * 30),
    "request.body.huge * request.body.huge",
    "request.body.deep",
]


@pytest.mark.parametrize("expression", GROWING)
def test_no_value_runs_away(expression: str) -> None:
    deep: Any = 0
    for _ in range(500):
        deep = [deep]
    body = {"long": 'a"' * 500_000, "many": ["x"] * 40_000, "huge": 10**4000, "deep": deep}
    scenario = scenario_of("steps: [event: " + json.dumps(f"{{{{ {expression} }}}}") + "]")
    begun = time.monotonic()
    with pytest.raises(Broken, match="cannot be worked out"):
        scenario.unfold(scene(body=body))
    assert time.monotonic() - begun < 5


def test_all_values_of_a_call_together_are_bounded() -> None:
    text = "steps: [{repeat: 200, steps: [event: '{{ request.body.query }}']}]"
    with pytest.raises(Broken, match="all values of a call may come to"):
        unfolded(text, body={"query": "x" * 60_000})


def test_half_a_character_of_a_client_is_told() -> None:
    with pytest.raises(Broken, match="cannot be worked out"):
        unfolded("steps: [say: '{{ request.body.query }}']", body={"query": "\ud800"})


def events_of(found: Unfolded) -> str:
    return json.dumps([step.event for step in found.steps or () if isinstance(step, Send)])


@pytest.mark.parametrize("kind", FAKES)
def test_everything_that_can_be_faked_is_plain_and_stays_the_same(kind: str) -> None:
    scenario = scenario_of(f"steps: [event: {{a: '{{{{ fake.{kind} }}}}'}}]")
    first, again = scenario.unfold(scene()), scenario.unfold(scene(session="other", now=9e8, nth=3))
    assert first == again
    assert len(events_of(first)) > len('[{"a": }]')


def test_made_values_depend_on_seed_scenario_play_and_place() -> None:
    text = "steps: [{repeat: 2, steps: [event: ['{{ fake.name }}{{ fake.name }}', '{{ uuid() }}']]}]"
    calls: list[tuple[str, dict[str, Any]]] = [
        ("mine", {}),
        ("other", {}),
        ("mine", {"plays": {"mine": 1}}),
        ("mine", {"seed": Seed(1, "dify")}),
    ]
    events = [events_of(scenario_of(text, name).unfold(scene(**call))) for name, call in calls]
    assert len(set(events)) == 4
    (one, two), *_ = [json.loads(event) for event in events]
    assert one != two, "each round of a repeat has its own"
    assert one[1] != two[1] and len(one[1]) == 36
    assert unfolded(text) == unfolded(text, session="another", nth=7, now=5.0)


def test_the_index_counts_rounds() -> None:
    inner = "{repeat: '{{ index + 1 }}', steps: [say: 'in {{ index }}']}"
    text = f"steps: [{{repeat: 2, steps: [event: '{{{{ index }}}}', {inner}]}}]"
    assert unfolded(text).steps == (Send(0), Say("in 0"), Send(1), Say("in 0"), Say("in 1"))


@settings(max_examples=300, deadline=None)
@given(st.text("{}%'\"()[].|~+-*/ abnth0159_,:", max_size=40), st.text(max_size=20))
def test_any_text_is_a_value_or_broken(text: str, query: str) -> None:
    with suppress(Broken):
        found = scenario_of("steps: [event: " + json.dumps({"a": text}) + "]").unfold(scene(body={"query": query}))
        (step,) = found.steps or ()
        assert isinstance(step, Send) and ("{{" in text or step.event == {"a": text})


def test_jinja_is_imported_for_a_value_and_not_before() -> None:
    program = (
        "import sys\nfrom emulator.source import parse\nfrom emulator.streams.reading import read_scenario\n"
        "read_scenario(parse('steps: [say: {a}]'.replace('{a}', 'a'), 'f'), 'a')\nprint('jinja2' in sys.modules)\n"
        "read_scenario(parse('steps: [say: \"{{ nth }}\"]', 'f'), 'a')\nprint('jinja2' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout.split() == ["False", "True"], done.stderr
