"""Schemas and values for the tests of renditions: any that 2020-12 has words for, and values that probably fit one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from emulator.contract.document import resolve
from emulator.contract.rendition.walk import schemas_of

Draw = st.DrawFn

NAMES = st.sampled_from(["a", "b", "c", "name"])
# Whole numbers are written without a fraction: the one thing that renditions take for granted.
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 9), st.sampled_from([0.5, 2.5, -1.5]), st.text("abx", max_size=3)
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=6
)
CORPUS: list[Any] = [
    *(None, True, False, -1, 0, 1, 2, 3, 5, 0.5, 2.5, "", "a", "b", "x", "ab", "bx", "abx", "aaaa"),
    *([], [1], ["a"], [None], [1, 2], [1, "a"], ["a", 1], ["a", "a"], [1, 1, 1], [True, [], {}], [1, 2, 3, 4]),
    *({}, {"a": 1}, {"a": "x"}, {"b": 2}, {"b": "b"}, {"c": []}, {"name": "a"}, {"a": None, "b": None}),
    *({"a": 1, "b": 2}, {"a": "x", "b": 1}, {"b": 1, "c": "a"}, {"a": {"b": 1}}, {"a": 1, "b": 2, "c": 3, "name": "x"}),
]
"""Small values of every type, each tried with every schema."""

TYPES = ("string", "integer", "number", "boolean", "null", "array", "object")
SMALL = st.integers(0, 3)
BOUND = st.integers(-2, 5)


def _keywords(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    some = st.lists(inner, min_size=1, max_size=3)
    named = st.dictionaries(NAMES, inner, min_size=1, max_size=2)
    words: dict[str, st.SearchStrategy[Any]] = {
        "type": st.sampled_from(TYPES) | st.lists(st.sampled_from(TYPES), min_size=1, max_size=3, unique=True),
        "const": st.sampled_from(CORPUS),
        "enum": st.lists(st.sampled_from(CORPUS), max_size=4),
        "minimum": BOUND,
        "maximum": BOUND,
        "exclusiveMinimum": BOUND,
        "exclusiveMaximum": BOUND,
        "multipleOf": st.integers(1, 3),
        "minLength": SMALL,
        "maxLength": SMALL,
        "pattern": st.sampled_from(["^a", "b", "x$"]),
        "items": inner,
        "prefixItems": some,
        "contains": inner,
        "minItems": SMALL,
        "maxItems": SMALL,
        "uniqueItems": st.booleans(),
        "unevaluatedItems": inner,
        "properties": named,
        "required": st.lists(NAMES, max_size=2, unique=True),
        "additionalProperties": inner,
        "patternProperties": st.dictionaries(st.sampled_from(["^a", "b|c"]), inner, min_size=1, max_size=2),
        "propertyNames": inner,
        "unevaluatedProperties": inner,
        "minProperties": SMALL,
        "maxProperties": SMALL,
        "dependentRequired": st.dictionaries(NAMES, st.lists(NAMES, max_size=2, unique=True), max_size=2),
        "dependentSchemas": named,
        "allOf": some,
        "anyOf": some,
        "oneOf": some,
        "not": inner,
        "if": inner,
        "contentMediaType": st.sampled_from(["application/json", "image/png"]),
        "contentEncoding": st.sampled_from(["base64", "quoted-printable"]),
        "default": st.sampled_from(CORPUS),
        "examples": st.lists(st.sampled_from(CORPUS), max_size=2),
        "$comment": st.just("why"),
    }
    company: dict[str, dict[str, st.SearchStrategy[Any]]] = {
        "if": {"then": inner, "else": inner},
        "contains": {"minContains": SMALL, "maxContains": SMALL},
        "prefixItems": {"items": inner, "unevaluatedItems": inner},
        "patternProperties": {"additionalProperties": inner},
        "const": {"enum": words["enum"]},
    }

    @st.composite
    def drawn(draw: Draw) -> dict[str, Any]:
        made = {}
        for word in draw(st.lists(st.sampled_from(sorted(words)), min_size=1, max_size=3, unique=True)):
            made[word] = draw(words[word])
            for beside, strategy in company.get(word, {}).items():
                if draw(st.booleans()):
                    made[beside] = draw(strategy)
        return made

    return drawn()


REFERENCES = st.sampled_from(
    ["#/components/schemas/A", "#/components/schemas/B", "#/components/schemas/A/$defs/D", "#deep"]
).map(lambda reference: {"$ref": reference})
LEAVES = st.booleans() | REFERENCES | st.sampled_from(TYPES).map(lambda kind: {"type": kind})
SCHEMAS = st.recursive(LEAVES, _keywords, max_leaves=6)


def leads_to_itself(raw: Mapping[str, Any], schema: Any, above: tuple[int, ...] = ()) -> bool:
    """Whether a schema asks about a value what it asks about the same value: that has no answer."""
    if not isinstance(schema, Mapping):
        return False
    if id(schema) in above:
        return True
    inner: list[Any] = [schema[word] for word in ("not", "if", "then", "else") if word in schema]
    inner += [one for word in ("allOf", "anyOf", "oneOf") for one in schema.get(word, ())]
    inner += schema.get("dependentSchemas", {}).values()
    if reference := schema.get("$ref"):
        named = raw["components"]["schemas"]
        inner.append(named["A"]["$defs"]["D"] if reference == "#deep" else _led_to(raw, reference))
    return any(leads_to_itself(raw, one, (*above, id(schema))) for one in inner)


def _led_to(raw: Mapping[str, Any], reference: str) -> Any:
    """What a reference leads to, another one or not."""
    found: Any = raw
    for part in reference.split("/")[1:]:
        found = found[part]
    return found


@st.composite
def documents(draw: Draw) -> dict[str, Any]:
    """A document with two schemas that may refer to each other and into each other."""
    inner: Any = draw(SCHEMAS)
    a: Any = draw(_keywords(SCHEMAS))
    deep = {"$anchor": "deep", **(inner if isinstance(inner, dict) else {})}
    raw: dict[str, Any] = {
        "openapi": "3.2.0",
        "info": {"title": "Any", "version": "1"},
        "paths": {},
        "components": {"schemas": {"A": {**a, "$defs": {"D": deep}}, "B": draw(SCHEMAS)}},
    }
    for schema, _ in schemas_of(raw):
        assume(not leads_to_itself(raw, schema))
    return raw


@st.composite
def values_for(draw: Draw, raw: Mapping[str, Any], schema: Any, depth: int = 0) -> Any:
    """A value that probably fits a schema of a document."""
    schema = resolve(raw, schema)
    if not isinstance(schema, Mapping) or depth > 8:
        return draw(VALUES)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]) if schema["enum"] else VALUES)
    for word in ("oneOf", "anyOf"):
        if word in schema:
            chosen = draw(values_for(raw, draw(st.sampled_from(schema[word])), depth + 1))
            if not isinstance(chosen, dict) or "properties" not in schema:
                return chosen
            return {**draw(_object(raw, schema, depth)), **chosen}
    if "allOf" in schema:
        parts = [draw(values_for(raw, one, depth + 1)) for one in schema["allOf"]]
        own = draw(_object(raw, schema, depth)) if "properties" in schema else {}
        return {key: value for part in (*parts, own) if isinstance(part, dict) for key, value in part.items()}
    kinds = schema.get("type", "object" if "properties" in schema else "string")
    kind = draw(st.sampled_from(kinds)) if isinstance(kinds, list) else kinds
    return draw(_of_type(raw, kind, schema, depth))


def _of_type(raw: Mapping[str, Any], kind: str, schema: Mapping[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if kind == "object":
        return _object(raw, schema, depth)
    if kind == "array":
        least = schema.get("minItems", 1 if "contains" in schema else 0)
        of = values_for(raw, schema.get("items", True), depth + 1)
        return st.lists(of, min_size=least, max_size=max(least, min(2, schema.get("maxItems", 2))))
    if kind == "integer":
        least = schema.get("minimum", -1)
        return st.integers(least, min(schema.get("maximum", least + 50), least + 50))
    if kind == "number":
        return st.sampled_from([0.5, 1.25, 7])
    if kind == "boolean":
        return st.booleans()
    if kind == "null":
        return st.none()
    return _text(schema)


def _text(schema: Mapping[str, Any]) -> st.SearchStrategy[str]:
    if schema.get("format") == "uuid":
        return st.uuids().map(str)
    if "pattern" in schema:
        return st.from_regex(schema["pattern"])
    return st.text("ab 你", min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 6), 12))


@st.composite
def _object(draw: Draw, raw: Mapping[str, Any], schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
    made = {}
    for name, inner in schema.get("properties", {}).items():
        if name in schema.get("required", ()) or draw(st.booleans()):
            made[name] = draw(values_for(raw, inner, depth + 1))
    return made


@st.composite
def damaged(draw: Draw, value: Any) -> Any:
    """The same value with something else at one place, or as it is."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        name = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 4)) == 0:
            return {key: one for key, one in value.items() if key != name}
        return {**value, name: draw(damaged(value[name]))}
    if isinstance(value, list) and value and draw(st.booleans()):
        place = draw(st.integers(0, len(value) - 1))
        return [*value[:place], draw(damaged(value[place])), *value[place + 1 :]]
    return draw(VALUES | st.just(value))
