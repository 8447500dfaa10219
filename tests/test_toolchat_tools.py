"""The eleven tools: their schemas are those of the spec, each can be executed, and its result depends on the arguments
alone."""

from __future__ import annotations

import copy
import hashlib
import json
import math
import statistics
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from toolchat_caller import GUEST, OPERATIONS, SCHEMAS, Chat, breaks

from emulator.backends.toolchat.tools import TOOLS, arithmetic, mismatches, run
from emulator.backends.toolchat.tools.tool import CATEGORIES, digest
from emulator.testing.server import ThreadedServer

EXAMPLES = {
    name: one["value"]
    for name, one in OPERATIONS["executeTool"].request_body["content"]["application/json"]["examples"].items()  # type: ignore[index]
}
BY_CATEGORY = {
    "crawler": ["search_web", "fetch_page", "extract_links"],
    "code": ["calculate", "format_json", "analyze_code"],
    "data": ["describe_numbers", "parse_csv", "hash_text"],
    "weather": ["get_current_weather", "get_weather_forecast"],
}


@pytest.fixture
def demo(server: ThreadedServer, session_name: str) -> Iterator[Chat]:
    with Chat(server, session_name) as caller:
        yield caller


def result(tool: str, **arguments: Any) -> Any:
    """What a tool gives; it fits the spec."""
    assert mismatches(TOOLS[tool], arguments) == []
    found = run(TOOLS[tool], arguments)
    pascal = "".join(word.title() for word in tool.split("_"))
    assert breaks(f"{pascal}Result", found) == []
    return found


def inlined(schema: Any) -> Any:
    """A schema of the spec as a tool serves it: without references."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return inlined(SCHEMAS[schema["$ref"].rpartition("/")[2]])
        return {name: inlined(one) for name, one in schema.items()}
    return schema


# --- the catalogue


@pytest.mark.parametrize("name", TOOLS)
def test_a_schema_is_the_one_of_the_spec(name: str) -> None:
    pascal = "".join(word.title() for word in name.split("_"))
    promised = copy.deepcopy(inlined(SCHEMAS[f"{pascal}Arguments"]))
    del promised["description"]
    assert TOOLS[name].parameters == promised


def test_there_are_eleven_in_four_categories(demo: Chat) -> None:
    data = demo.ok("GET", "/tools/")
    assert data["total"] == len(data["tools"]) == 11
    assert [tool["name"] for tool in data["tools"]] == list(TOOLS) == SCHEMAS["ToolName"]["enum"]
    assert {name: [tool["name"] for tool in tools] for name, tools in data["categorized"].items()} == BY_CATEGORY
    assert list(data["categorized"]) == list(CATEGORIES)


@pytest.mark.parametrize("category", CATEGORIES)
def test_a_category_keeps_its_own(demo: Chat, category: str) -> None:
    data = demo.ok("GET", "/tools/", category=category)
    assert [tool["name"] for tool in data["tools"]] == BY_CATEGORY[category]
    assert data["categorized"] == {name: data["tools"] if name == category else [] for name in CATEGORIES}
    assert data["total"] == len(data["tools"])


@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_can_be_read_and_executed(demo: Chat, name: str) -> None:
    tool = demo.ok("GET", f"/tools/{name}")
    assert tool == TOOLS[name].shown()
    assert tool in demo.ok("GET", "/tools/")["categorized"][tool["category"]]
    reply = demo.call("POST", f"/tools/{name}/execute", EXAMPLES[name])
    assert (reply.status_code, reply.json()) == (200, {"success": True, "data": result(name, **EXAMPLES[name])})


def test_results_are_the_same_for_everybody(server: ThreadedServer, session_name: str) -> None:
    with (
        Chat(server, f"{session_name[:50]}-1") as one,
        Chat(server, f"{session_name[:50]}-2", GUEST) as other,
        ThreadedServer(speed=0, seed=99, backends=("toolchat",)) as elsewhere,
        Chat(elsewhere, "x") as third,
    ):
        for name, arguments in EXAMPLES.items():
            bodies = {chat.call("POST", f"/tools/{name}/execute", arguments).content for chat in (one, other, third)}
            assert len(bodies) == 1


# --- arguments


@pytest.mark.parametrize("name", ["nothing", "Calculate", "search_web%20", "天气", "..."])
def test_what_is_no_tool_is_not_found(demo: Chat, name: str) -> None:
    assert demo.refused("GET", f"/tools/{name}") == (404, "工具不存在")
    for body in (EXAMPLES["calculate"], {"nonsense": 1}, None):
        assert demo.refused("POST", f"/tools/{name}/execute", body) == (404, "工具不存在")


@pytest.mark.parametrize("name", TOOLS)
def test_arguments_of_another_tool_are_a_conflict(demo: Chat, name: str) -> None:
    for other, arguments in EXAMPLES.items():
        if mismatches(TOOLS[name], arguments):
            status, detail = demo.refused("POST", f"/tools/{name}/execute", arguments)
            assert (status, other != name) == (409, True)
            for one in detail:
                assert breaks("ErrorDetail", one) == []


@pytest.mark.parametrize(
    ("name", "arguments", "detail"),
    [
        ("calculate", {}, [("missing", ["body", "expression"])]),
        ("calculate", {"expression": 1}, [("string_type", ["body", "expression"])]),
        ("calculate", {"expression": "2^3"}, [("string_pattern_mismatch", ["body", "expression"])]),
        ("calculate", {"expression": ""}, [("string_pattern_mismatch", ["body", "expression"])]),
        ("calculate", {"expression": "1", "precision": 13}, [("less_than_equal", ["body", "precision"])]),
        ("calculate", {"expression": "1", "precision": True}, [("int_type", ["body", "precision"])]),
        ("calculate", {"expression": "1", "base": 2}, [("extra_forbidden", ["body", "base"])]),
        ("search_web", {"query": ""}, [("string_too_short", ["body", "query"])]),
        ("search_web", {"query": "x" * 201}, [("string_too_long", ["body", "query"])]),
        ("search_web", {"query": "x", "count": 0}, [("greater_than_equal", ["body", "count"])]),
        ("search_web", {"query": "x", "count": 1.5}, [("int_type", ["body", "count"])]),
        ("fetch_page", {"url": "ftp://example.com"}, [("string_pattern_mismatch", ["body", "url"])]),
        ("describe_numbers", {"numbers": []}, [("too_short", ["body", "numbers"])]),
        ("describe_numbers", {"numbers": [1, "2"]}, [("float_type", ["body", "numbers", 1])]),
        ("describe_numbers", {"numbers": [10**13]}, [("less_than_equal", ["body", "numbers", 0])]),
        ("describe_numbers", {"numbers": [1] * 1001}, [("too_long", ["body", "numbers"])]),
        ("hash_text", {"text": "x", "algorithm": "sha512"}, [("literal_error", ["body", "algorithm"])]),
        ("get_current_weather", {"city": "x", "days": 8}, [("extra_forbidden", ["body", "days"])]),
        ("get_weather_forecast", {"days": 3}, [("missing", ["body", "city"])]),
        ("parse_csv", {"csv": None}, [("string_type", ["body", "csv"])]),
        ("parse_csv", [], [("dict_type", ["body"])]),
        ("parse_csv", "text", [("dict_type", ["body"])]),
    ],
)
def test_arguments_that_fit_no_tool_are_invalid(demo: Chat, name: str, arguments: Any, detail: list[Any]) -> None:
    status, shown = demo.refused("POST", f"/tools/{name}/execute", arguments)
    assert (status, [(one["type"], one["loc"]) for one in shown]) == (422, detail)


def test_an_integer_may_be_written_as_a_number_with_a_point(demo: Chat) -> None:
    headers = {"Content-Type": "application/json"}
    reply = demo.http.post("/tools/search_web/execute", content=b'{"query":"x","count":2.0}', headers=headers)
    assert len(reply.json()["data"]["results"]) == 2


# --- crawler


def test_hits_are_made_from_the_query() -> None:
    hits = result("search_web", query="测试")["results"]
    assert [hit["url"] for hit in hits] == [f"https://example.com/{digest(f'测试|{n}'):016x}" for n in (1, 2, 3, 4, 5)]
    assert all("测试" in hit["title"] and hit["snippet"] for hit in hits)
    assert result("search_web", query="测试", count=2)["results"] == hits[:2]


def test_a_page_is_made_from_its_address() -> None:
    url = "https://example.com/a?b=c"
    long = result("fetch_page", url=url, max_length=5000)
    short = result("fetch_page", url=url, max_length=7)
    assert (short["content"], short["truncated"]) == (long["content"][:7], True)
    assert (long["url"], long["status"], long["title"]) == (url, 200, short["title"])
    assert long["truncated"] is (len(long["content"]) == 5000)
    assert result("fetch_page", url="https://example.com/b")["content"] != short["content"]


def test_links_lead_to_the_same_site() -> None:
    url = "http://example.com:8080/a?b"
    page = result("extract_links", url=url, limit=20)
    assert page["total"] == len(page["links"]) == 3 + digest(url) % 15
    assert all(link["url"].startswith("http://example.com:8080/") for link in page["links"])
    assert result("extract_links", url=url, limit=2)["links"] == page["links"][:2]


# --- code


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("1+2*3", 7.0),
        ("(1+2)*3", 9.0),
        ("8/4/2", 1.0),
        ("8-4-2", 2.0),
        ("2*-3", -6.0),
        ("-2*3", -6.0),
        ("--2", 2.0),
        ("+-+2", -2.0),
        ("-(2+3)*-1.5/(1-.5)", 15.0),
        (" 1. + .5 ", 1.5),
        ("0*-1", 0.0),
        ("((((1))))", 1.0),
        ("1/3", 0.333333),
        ("9" * 200, 1e200),
        ("(" * 99 + "1" + ")" * 99, 1.0),
        ("-" * 199 + "1", -1.0),
    ],
)
def test_an_expression_has_its_value(expression: str, value: float) -> None:
    found = result("calculate", expression=expression)
    assert (found["value"], found["error"]) == (pytest.approx(value), None)
    assert math.copysign(1, found["value"]) == math.copysign(1, value)


@pytest.mark.parametrize(
    "expression",
    [
        "2**3",
        "7//2",
        "1 2",
        "(1",
        "1)",
        "()",
        "1+",
        "*1",
        ".",
        "1.2.3",
        "2(3)",
        " ",
        "(" * 200,
        "1(",
        ")(",
        "1 +\n",
        "1\n",
    ],
)
def test_what_is_no_expression_has_none(expression: str) -> None:
    # Python's $ lets one line end pass, so the tool has to be right about it by itself.
    found = run(TOOLS["calculate"], {"expression": expression})
    assert (found["value"], found["error"]) == (None, "表达式错误")


@pytest.mark.parametrize("expression", ["1/0", "1/(2-2)", "0/0", "1/0.0", "1/-0"])
def test_division_by_nought_has_no_value(expression: str) -> None:
    found = result("calculate", expression=expression)
    assert (found["value"], found["error"]) == (None, "除数不能为零")


def test_precision_rounds() -> None:
    assert [result("calculate", expression="2/3", precision=n)["value"] for n in (0, 2, 12)] == [
        1.0,
        0.67,
        0.666666666667,
    ]


NUMBERS = st.integers(0, 999).map(str) | st.floats(0, 999).map(lambda one: f"{one:.3f}")
EXPRESSIONS = st.recursive(
    NUMBERS,
    lambda inner: (
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(" ".join)
        | inner.map("({})".format)
        | inner.map("-{}".format)
    ),
    max_leaves=12,
)


@given(EXPRESSIONS)
def test_the_parser_counts_as_python_does(expression: str) -> None:
    try:
        expected = eval(expression, {"__builtins__": {}})
    except ZeroDivisionError:
        with pytest.raises(ZeroDivisionError):
            arithmetic.evaluate(expression)
        return
    assert arithmetic.evaluate(expression) == pytest.approx(expected)


@given(st.text("0123456789.+*/() -", max_size=200))
def test_the_parser_never_breaks(expression: str) -> None:
    found = run(TOOLS["calculate"], {"expression": expression})
    assert (found["value"] is None) is (found["error"] is not None)


@pytest.mark.parametrize(
    ("arguments", "formatted"),
    [
        ({"json": '{"b":1,"a":[true,null]}'}, '{\n  "b": 1,\n  "a": [\n    true,\n    null\n  ]\n}'),
        ({"json": '{"b":1,"a":2}', "sort_keys": True, "indent": 1}, '{\n "a": 2,\n "b": 1\n}'),
        ({"json": '["天气"]', "indent": 0}, '[\n"天气"\n]'),
        ({"json": '"\\ud800 \\ud83d\\ude00"'}, '"\\ud800 \U0001f600"'),
        ({"json": " 1 "}, "1"),
        ({"json": "1" * 400}, "1" * 400),
        ({"json": "[" * 100 + "]" * 100, "indent": 0}, "[\n" * 99 + "[]" + "\n]" * 99),
    ],
)
def test_json_is_laid_out(arguments: dict[str, Any], formatted: str) -> None:
    assert result("format_json", **arguments) == {"valid": True, "formatted": formatted, "error": None}


@pytest.mark.parametrize(
    "text", ["", "{", "NaN", "-Infinity", "1e400", "[1,]", "'a'", "[" * 101 + "]" * 101, "[" * 10_000, "1" * 5_000]
)
def test_what_is_no_json_is_told(text: str) -> None:
    assert result("format_json", json=text) == {"valid": False, "formatted": None, "error": "JSON 格式错误"}


CODE = """# a comment
def one():
    return 1

async def two():  # not counted as a comment
\tpass
// another
function three(a, b) {
  if (a) { return b }
}
    // indented, function four() {
public static int five(int a) {
while (true) {
"""


def test_lines_are_counted() -> None:
    assert result("analyze_code", code=CODE, language="javascript") == {
        "language": "javascript",
        "lines": 13,
        "code_lines": 9,
        "comment_lines": 3,
        "blank_lines": 1,
        "functions": 4,
        "characters": len(CODE),
    }
    assert result("analyze_code", code="")["lines"] == 0


@pytest.mark.parametrize("code", ["a" * 10_000, "a(" * 5_000, "a " * 5_000, "\n" * 10_000, "def " * 2_500])
def test_no_code_takes_long(code: str) -> None:
    assert result("analyze_code", code=code)["characters"] == 10_000


@given(st.text(max_size=300))
def test_lines_add_up(code: str) -> None:
    found = run(TOOLS["analyze_code"], {"code": code})
    assert found["code_lines"] + found["comment_lines"] + found["blank_lines"] == found["lines"]


# --- data


@given(st.lists(st.integers(-(10**12), 10**12) | st.floats(-1e12, 1e12), min_size=1, max_size=40))
def test_numbers_are_described(numbers: list[float]) -> None:
    found = run(TOOLS["describe_numbers"], {"numbers": numbers})
    assert (found["count"], found["min"], found["max"]) == (len(numbers), min(numbers), max(numbers))
    assert found["sum"] == pytest.approx(math.fsum(numbers))
    assert found["mean"] == pytest.approx(statistics.fmean(numbers))
    assert found["median"] == pytest.approx(statistics.median(numbers))
    assert found["stdev"] == pytest.approx(statistics.pstdev(numbers), abs=1e-3)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(
    ("arguments", "columns", "rows"),
    [
        ({"csv": "name,age\nAnn,3\n"}, ["name", "age"], [["Ann", "3"]]),
        ({"csv": "name,age\r\nAnn,3", "has_header": False}, ["column_1", "column_2"], [["name", "age"], ["Ann", "3"]]),
        ({"csv": 'a;"b;c\nd"\n\n1', "delimiter": ";"}, ["a", "b;c\nd"], [["1"]]),
        ({"csv": "a\tb", "delimiter": "\t"}, ["a", "b"], []),
        (
            {"csv": "a|b\n1|2|3", "delimiter": "|", "has_header": False},
            ["column_1", "column_2", "column_3"],
            [["a", "b"], ["1", "2", "3"]],
        ),
        ({"csv": ""}, [], []),
        ({"csv": "", "has_header": False}, [], []),
        ({"csv": '"open'}, ["open"], []),
        ({"csv": "a\x00b"}, ["a\x00b"], []),
    ],
)
def test_a_table_is_read(arguments: dict[str, Any], columns: list[str], rows: list[list[str]]) -> None:
    assert result("parse_csv", **arguments) == {"columns": columns, "rows": rows, "row_count": len(rows)}


@given(st.text(max_size=200), st.sampled_from([",", ";", "|", "\t"]), st.booleans())
def test_every_text_is_some_table(csv: str, delimiter: str, has_header: bool) -> None:
    found = run(TOOLS["parse_csv"], {"csv": csv, "delimiter": delimiter, "has_header": has_header})
    assert found["row_count"] == len(found["rows"])


@pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256"])
def test_a_text_is_digested(algorithm: str) -> None:
    found = result("hash_text", text="天气", algorithm=algorithm)
    expected = hashlib.new(algorithm, "天气".encode()).hexdigest()
    assert found == {"algorithm": algorithm, "digest": expected, "bytes": 6}


# --- weather


def test_the_weather_is_made_from_the_city() -> None:
    drawn = digest("北京")
    now = result("get_current_weather", city="北京")
    assert now == {
        "city": "北京",
        "unit": "celsius",
        "temperature": drawn % 40 - 5,
        "humidity": 20 + (drawn >> 8) % 80,
        "wind_speed": (drawn >> 16) % 40,
        "condition": ("晴", "多云", "阴", "小雨", "大雨", "雪")[(drawn >> 24) % 6],
    }
    warmer = result("get_current_weather", city="北京", unit="fahrenheit")
    assert warmer == {**now, "unit": "fahrenheit", "temperature": round(now["temperature"] * 9 / 5 + 32)}


def test_days_to_come_are_numbered() -> None:
    week = result("get_weather_forecast", city="Hangzhou", days=7)["forecast"]
    assert [day["day"] for day in week] == [1, 2, 3, 4, 5, 6, 7]
    assert all(3 <= day["high"] - day["low"] <= 12 for day in week)
    assert result("get_weather_forecast", city="Hangzhou")["forecast"] == week[:3]
    other = result("get_weather_forecast", city="Hangzhou", days=7, unit="fahrenheit")["forecast"]
    assert [day["low"] for day in other] == [round(day["low"] * 9 / 5 + 32) for day in week]


def test_the_digest_is_the_one_of_the_rules() -> None:
    assert digest("hello") == int(hashlib.sha256(b"hello").hexdigest()[:16], 16)
    assert digest("\ud800") >= 0
