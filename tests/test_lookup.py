"""Paths lead to operations as a slow and obvious reference implementation says."""

from __future__ import annotations

import itertools
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_dify_operations import OPERATIONS, SERVICE

from emulator.contract.lookup import Found, Lookup, Undecodable, decode

Routes = list[tuple[str, str, str]]


def lookup(*routes: str) -> Lookup[str]:
    """Routes such as `GET /a/{b}`; each leads to its own text."""
    return Lookup([(*route.split(" "), route) for route in routes])  # type: ignore[misc]  # two words each


HOUSE = lookup(
    "GET /a",
    "POST /a",
    "GET /a/{x}",
    "GET /a/b",
    "GET /a/{x}/c",
    "PUT /a/{y}/c",
    "GET /",
    "GET /s/",
    "DELETE /{x}/{y}/{z}",
)


@pytest.mark.parametrize(
    ("method", "path", "target", "values"),
    [
        ("GET", "/a", "GET /a", {}),
        ("POST", "/a", "POST /a", {}),
        ("HEAD", "/a", "GET /a", {}),
        ("GET", "/a/b", "GET /a/b", {}),
        ("GET", "/a/B", "GET /a/{x}", {"x": "B"}),
        ("GET", "/a/b%20c", "GET /a/{x}", {"x": "b c"}),
        ("GET", "/a/b%2Fc", "GET /a/{x}", {"x": "b/c"}),
        ("GET", "/a/%62", "GET /a/b", {}),
        ("GET", "/a/%25", "GET /a/{x}", {"x": "%"}),
        ("GET", "/a/%zz", "GET /a/{x}", {"x": "%zz"}),
        ("GET", "/a/+", "GET /a/{x}", {"x": "+"}),
        ("GET", "/a/{x}", "GET /a/{x}", {"x": "{x}"}),
        ("GET", "/a/..", "GET /a/{x}", {"x": ".."}),
        ("GET", "/a/b/c", "GET /a/{x}/c", {"x": "b"}),
        ("PUT", "/a/b/c", "PUT /a/{y}/c", {"y": "b"}),
        ("DELETE", "/a/b/d", "DELETE /{x}/{y}/{z}", {"x": "a", "y": "b", "z": "d"}),
        ("GET", "/", "GET /", {}),
        ("GET", "/s/", "GET /s/", {}),
        ("GET", "/%73/", "GET /s/", {}),
        ("GET", "/a/%E5%90%8D", "GET /a/{x}", {"x": "名"}),
    ],
)
def test_paths_that_are_found(method: str, path: str, target: str, values: dict[str, str]) -> None:
    found = HOUSE.find(method, path)
    assert found is not None
    assert (found.target, found.values) == (target, values)


@pytest.mark.parametrize("path", ["/b", "/a/", "/a//c", "//a", "/a/b/", "/s", "/a/b/c/d", "", "/A", "/a%2Fb/", "/%2F/"])
def test_paths_that_are_not_found(path: str) -> None:
    assert HOUSE.find("GET", path) is None


@pytest.mark.parametrize(
    ("method", "path", "methods"),
    [
        ("PUT", "/a", ("GET", "POST")),
        ("get", "/a", ("GET", "POST")),
        ("OPTIONS", "/a/x", ("GET",)),
        ("DELETE", "/a/x/c", ("GET", "PUT")),
        ("HEAD", "/x/y/z", ("DELETE",)),
    ],
)
def test_methods_that_a_path_lacks(method: str, path: str, methods: tuple[str, ...]) -> None:
    assert HOUSE.find(method, path) == Found(None, {}, methods)


@pytest.mark.parametrize(
    "path", ["/a/%FF", "/a/%00", "/a/%E5%90", "/a/%ED%A0%80", "/%FF", "/nothing/here/at/all/%C0%80"]
)
def test_paths_that_cannot_be_decoded(path: str) -> None:
    with pytest.raises(Undecodable):
        HOUSE.find("GET", path)


def test_values_of_several_names_stand_in_order() -> None:
    routes = lookup("GET /{a}/x/{b}", "POST /{b}/x/{a}")
    for method, wanted in (("GET", {"a": "1", "b": "2"}), ("POST", {"b": "1", "a": "2"})):
        found = routes.find(method, "/1/x/2")
        assert found is not None and list(found.values.items()) == list(wanted.items())


def test_a_literal_that_leads_nowhere_gives_way() -> None:
    routes = lookup("GET /a/b/c", "GET /{x}/{y}/d", "GET /a/{y}/e")
    for path, target in (("/a/b/c", "GET /a/b/c"), ("/a/b/d", "GET /{x}/{y}/d"), ("/a/b/e", "GET /a/{y}/e")):
        found = routes.find("GET", path)
        assert found is not None and found.target == target


def test_a_deep_path_is_no_matter() -> None:
    assert HOUSE.find("GET", "/a" * 50_000) is None
    deep = "/x" * 300
    found = lookup(f"GET {deep}").find("GET", deep)
    assert found is not None


def test_many_ways_are_tried_in_time() -> None:
    """Each segment may be a literal or a parameter: no more ways are open than templates."""
    templates = ["GET /" + "/".join(one) for one in itertools.product(("a", "{x}"), repeat=6)]
    found = lookup(*templates).find("GET", "/a" * 6)
    assert found is not None and found.target == "GET" + " " + "/a" * 6


SEGMENTS = st.sampled_from(["a", "b", "c", "{x}", "{y}"])
TEMPLATES = st.lists(SEGMENTS, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
ROUTES = st.lists(st.tuples(st.sampled_from(["GET", "POST"]), TEMPLATES), max_size=8)
PIECES = st.sampled_from(["a", "b", "c", "d", "", "%61", "a%2Fb", "%", "%FF", "é", "{x}"])
PATHS = st.lists(PIECES, max_size=5).map(lambda parts: "/" + "/".join(parts))


def reference(routes: Routes, method: str, path: str) -> Any:
    """Try every template; of those that fit, the one whose literals stand furthest to the left."""
    segments = [unquote_to_bytes(segment).decode("utf-8") for segment in path.split("/")[1:]]
    fitting: dict[tuple[str, ...], dict[str, tuple[str, list[str]]]] = {}
    for its_method, template, target in routes:
        parts = template.split("/")[1:]
        if len(parts) == len(segments) and all(
            segment if part.startswith("{") else part == segment for part, segment in zip(parts, segments, strict=True)
        ):
            shape = tuple("{}" if part.startswith("{") else part for part in parts)
            names = [part[1:-1] for part in parts if part.startswith("{")]
            fitting.setdefault(shape, {})[its_method] = (target, names)
    if not fitting:
        return None
    best = min(fitting, key=lambda shape: [part == "{}" for part in shape])
    methods = fitting[best]
    hit = methods.get(method) or (methods.get("GET") if method == "HEAD" else None)
    if hit is None:
        return (None, {}, set(methods))
    values = [segment for part, segment in zip(best, segments, strict=True) if part == "{}"]
    return (hit[0], dict(zip(hit[1], values, strict=True)), set(methods))


@given(ROUTES, st.sampled_from(["GET", "POST", "HEAD", "PUT"]), PATHS)
@settings(max_examples=250)
@example([("GET", "/a/{x}"), ("POST", "/{x}/a")], "POST", "/a/a")
def test_lookup_finds_what_the_reference_finds(pairs: list[tuple[str, str]], method: str, path: str) -> None:
    # A template that says one name twice has no meaning.
    routes = [
        (its, template, f"{its} {template}")
        for its, template in pairs
        if template.count("{x}") < 2 and template.count("{y}") < 2
    ]
    tree = Lookup(routes)
    try:
        wanted = reference(routes, method, path)
    except UnicodeDecodeError:
        with pytest.raises(Undecodable):
            tree.find(method, path)
        return
    found = tree.find(method, path)
    assert (None if found is None else (found.target, found.values, set(found.methods))) == wanted


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20))
def test_a_segment_survives_its_encoding(text: str) -> None:
    assert decode(quote(text, safe="")) == text


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_every_operation_is_found_where_the_spec_says(operation: str) -> None:
    one = OPERATIONS[operation]
    path = "/v1" + one.path.replace("{", "some-").replace("}", "")
    found = SERVICE.find(one.method, path)
    assert found is not None and found.target is not None
    assert found.target.operation is one
    assert found.target.behaviour is not None
    assert found.values == {
        str(parameter["name"]): f"some-{parameter['name']}" for parameter in one.parameters if parameter["in"] == "path"
    }
