"""Schemas: JSON Schema 2020-12 → what OpenAPI 3.0 made of draft 5.

Whatever a schema accepts, its rendition accepts: what 3.0 cannot say is left out or said more widely. Where leaving
something out would refuse more, as under `not`, all of that is left out.

One thing is taken for granted: that a whole number is written without a fraction. 3.1 takes 1.0 for an integer, a
strict reader of 3.0 does not.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from emulator.contract.rendition.walk import APPLIED, Step
from emulator.source import Pointer

LOST = {
    "$dynamicRef": ("`$dynamicRef`", "anything"),
    "external reference": ("that a schema of another document is of this version", "the reference as it is"),
    "$comment": ("`$comment`", "`x-comment`"),
    "examples": ("`examples` of a schema after the first", "`example` has the first"),
    "object default": ("a `default` that is an object: generators stumble over it", "`x-default`"),
    "contentMediaType": ("`contentMediaType`", "`format: binary` where it names no text; else nothing"),
    "contentSchema": ("the schema of what a text holds (`contentSchema`)", "schemas that have a name keep it"),
    "contentEncoding": ("`contentEncoding` other than base64", "nothing"),
    "prefixItems": ("the order of `prefixItems`", "`items`: each entry is any of them"),
    "contains": ("`contains`, `minContains`, `maxContains`", "`minItems`"),
    "patternProperties": ("`patternProperties`", "`additionalProperties`: each further member is any of them"),
    "propertyNames": ("`propertyNames`", "nothing"),
    "unevaluatedProperties": ("`unevaluatedProperties`", "nothing; `additionalProperties` where it says the same"),
    "unevaluatedItems": ("`unevaluatedItems`", "nothing; `items` where it says the same"),
    "if": ("`if`, `then`, `else` with a condition that 3.0 cannot say", "nothing"),
    "not": ("`not` with something in it that 3.0 cannot say", "nothing"),
    "oneOf": ("that only one of `oneOf` fits, where 3.0 cannot say each", "`anyOf`"),
    "keyword": ("a keyword that is none of OpenAPI's", "nothing"),
}

WIDENED = frozenset({"$dynamicRef", "prefixItems", "contains", "patternProperties", "propertyNames"}) | {
    "unevaluatedItems",
    "unevaluatedProperties",
}
"""Keywords with which a rendition accepts more than its schema."""

SILENT = frozenset({"$defs", "$id", "$anchor", "$dynamicAnchor", "$schema", "$vocabulary"})
"""They help references, which are others now."""

PLAIN = frozenset(
    {"title", "multipleOf", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength"}
    | {"pattern", "maxItems", "minItems", "uniqueItems", "maxProperties", "minProperties", "required", "enum", "type"}
    | {"allOf", "oneOf", "anyOf", "not", "items", "properties", "additionalProperties", "description", "format"}
    | {"default", "nullable", "discriminator", "readOnly", "writeOnly", "xml", "externalDocs", "example", "deprecated"}
)
"""What a schema of 3.0 may have, beside extensions."""

OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("items", "minItems", "maxItems", "uniqueItems"),
    "object": ("properties", "required", "additionalProperties", "minProperties", "maxProperties"),
}
"""Keywords that say something about one type of value only."""

TYPES = ("boolean", "string", "integer", "number", "array", "object")
NUMERIC_FORMATS = frozenset({"int32", "int64", "float", "double"})
APPLICATORS = ("$ref", "$dynamicRef", "allOf", "anyOf", "oneOf", "not", "if", "dependentSchemas")
TEXTUAL = ("text/", "application/json", "application/xml")

Change = Callable[[Step, Mapping[str, Any], dict[str, Any], Pointer], None]
"""Gets the schema as it was and as it is becoming, with what it holds rewritten already."""


def rewrite(step: Step, value: Any, at: Pointer) -> dict[str, Any]:
    """A schema of 3.0 that accepts at least what this one of 3.1 accepts."""
    if isinstance(value, bool):
        return {} if value else {"not": {}}
    made = {keyword: _member(step, keyword, inner, at) for keyword, inner in value.items() if keyword not in UNHELD}
    for change in CHANGES:
        change(step, value, made, at)
    return made


UNHELD = SILENT | {"contains", "minContains", "maxContains", "propertyNames", "contentSchema", "$dynamicRef"}
"""Left out with all that they hold."""


def _member(step: Step, keyword: str, value: Any, at: Pointer) -> Any:
    shape = APPLIED.get(keyword)
    if shape == "list":
        return [step.rewrite("schema", one, (*at, keyword, i)) for i, one in enumerate(value)]
    if shape == "map":
        return {name: step.rewrite("schema", one, (*at, keyword, name)) for name, one in value.items()}
    if shape == "one" and not (keyword == "additionalProperties" and isinstance(value, bool)):
        return step.rewrite("schema", value, (*at, keyword))
    return copy.deepcopy(value)


def _left_out(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    for keyword in ("propertyNames", "contentSchema", "$dynamicRef"):
        if keyword in value:
            step.lose((*at, keyword), keyword)
    if "$comment" in made:
        made["x-comment"] = made.pop("$comment")
        step.lose((*at, "$comment"), "$comment")


def _constant(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    if "const" in made:
        constant = made.pop("const")
        if "enum" in made:
            _further(made, {"enum": [constant]})
        else:
            made["enum"] = [constant]


def _limits(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    """A limit that excludes itself is a limit and a word in 3.0."""
    for limit, tighter in (("minimum", max), ("maximum", min)):
        word = f"exclusive{limit.capitalize()}"
        if word in made:
            exclusive = made.pop(word)
            inclusive = made.get(limit, exclusive)
            if tighter(inclusive, exclusive) == exclusive:
                made[limit] = exclusive
                made[word] = True


def _examples(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    examples = made.pop("examples", None)
    if not isinstance(examples, list):
        return
    if examples and "example" not in made:
        made["example"] = examples.pop(0)
    if examples:
        step.lose((*at, "examples"), "examples")


def _default(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    if isinstance(made.get("default"), dict):
        made["x-default"] = made.pop("default")
        step.lose((*at, "default"), "object default")


def _content(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    """What a text holds: 3.0 knows bytes, and bytes in base64."""
    encoding, kind = made.pop("contentEncoding", None), made.pop("contentMediaType", None)
    if encoding == "base64":
        made.setdefault("format", "byte")
    elif encoding is not None:
        step.lose((*at, "contentEncoding"), "contentEncoding")
    elif kind is not None and not kind.startswith(TEXTUAL) and not kind.endswith(("+json", "+xml")):
        made.setdefault("format", "binary")
    if kind is not None:
        step.lose((*at, "contentMediaType"), "contentMediaType")


def _items(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    first = made.pop("prefixItems", None)
    rest = value.get("items", True)
    if "unevaluatedItems" in made:
        unevaluated = made.pop("unevaluatedItems")
        if "items" not in value and "contains" not in value and not any(one in value for one in APPLICATORS):
            rest = value["unevaluatedItems"]
            made["items"] = unevaluated
        else:
            step.lose((*at, "unevaluatedItems"), "unevaluatedItems")
    if rest is False:
        made.pop("items")
        made["maxItems"] = min(made.get("maxItems", len(first or ())), len(first or ()))
    if first is not None:
        step.lose((*at, "prefixItems"), "prefixItems")
        if rest is True:
            made.pop("items", None)
        else:
            made["items"] = _any_of([*first, *([made["items"]] if rest is not False else [])])
    if "contains" in value:
        step.lose((*at, "contains"), "contains")
        if least := max(made.get("minItems", 0), value.get("minContains", 1)):
            made["minItems"] = least


def _members(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    if "unevaluatedProperties" in made:
        unevaluated = made.pop("unevaluatedProperties")
        if "additionalProperties" not in value and not any(one in value for one in APPLICATORS):
            kept = value["unevaluatedProperties"]
            made["additionalProperties"] = kept if isinstance(kept, bool) else unevaluated
        else:
            step.lose((*at, "unevaluatedProperties"), "unevaluatedProperties")
    patterns = made.pop("patternProperties", None)
    if patterns is None:
        return
    step.lose((*at, "patternProperties"), "patternProperties")
    rest = made.pop("additionalProperties", True)
    if patterns and rest is False:
        made["additionalProperties"] = _any_of(list(patterns.values()))
    elif patterns and rest is not True:
        made["additionalProperties"] = _any_of([*patterns.values(), rest])
    elif rest is not True:
        made["additionalProperties"] = rest


def _dependent(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    """A member that asks for something: it is not there, or that holds."""
    asked = [(name, {"required": names}) for name, names in made.pop("dependentRequired", {}).items() if names]
    for name, then in [*asked, *made.pop("dependentSchemas", {}).items()]:
        _further(made, {"anyOf": [{"not": {"type": "object", "required": [name]}}, then]})


def _conditional(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    """`if` … `then` … `else` as alternatives: the condition does not hold, or what follows from it does."""
    condition, then, otherwise = (made.pop(word, None) for word in ("if", "then", "else"))
    if condition is None or (then is None and otherwise is None):
        return
    if not exact(step, value["if"]):
        step.lose((*at, "if"), "if")
        return
    if then is not None:
        _further(made, {"anyOf": [{"not": condition}, then]})
    if otherwise is not None:
        _further(made, {"anyOf": [condition, otherwise]})


def _narrowing(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    """Where a wider schema inside makes a narrower one outside."""
    if "not" in made and not exact(step, value["not"]):
        del made["not"]
        step.lose((*at, "not"), "not")
    if "oneOf" in made and not all(exact(step, one) for one in value["oneOf"]):
        alternatives = made.pop("oneOf")
        step.lose((*at, "oneOf"), "oneOf")
        if "anyOf" in made:
            _further(made, {"anyOf": alternatives})
        else:
            made["anyOf"] = alternatives


def _reference(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    """A reference stands alone in 3.0, else it is one of `allOf`."""
    if "$ref" not in made:
        return
    reference = made.pop("$ref")
    target = step.target(reference, value)
    if target is None:
        step.lose((*at, "$ref"), "external reference")
    else:
        reference = step.hoist(target)
    if made:
        made["allOf"] = [{"$ref": reference}, *made.get("allOf", ())]
    else:
        made["$ref"] = reference


def _types(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    """One type a schema; null is a word; several are alternatives, each with what is about it."""
    given = made.get("type", _types_of(made.get("enum", ())))
    types = [given] if isinstance(given, str) else list(given)
    if "integer" in types and "number" in types:
        types.remove("integer")
    named = [one for one in types if one != "null"]
    if len(named) < len(types) and None in made.get("enum", [None]):
        made["nullable"] = True
    if not types:
        return
    if not named:
        made.pop("type", None)
        _restrict(made, [None])
    elif len(named) == 1:
        made["type"] = named[0]
        if named[0] == "array":
            made.setdefault("items", {})
    else:
        made.pop("type", None)
        _alternatives(made, named)


def _types_of(values: Iterable[Any]) -> list[str]:
    """The type that some values have in common, since readers of 3.0 want one, and null; none if they have several."""
    found = {next((type for type in TYPES if _is(type, value)), "null") for value in values}
    return sorted(found) if len(found - {"null"}) < 2 else []


def _beside(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    """Alternatives beside members stand in `allOf`: generators take either the one or the other."""
    if "properties" not in made:
        return
    for word in ("anyOf", "oneOf"):
        if word in made:
            alternatives: dict[str, Any] = {word: made.pop(word)}
            if "discriminator" in made:
                alternatives["discriminator"] = made.pop("discriminator")
            _further(made, alternatives)


def _alternatives(made: dict[str, Any], types: list[str]) -> None:
    nullable = made.pop("nullable", False)
    values = made.pop("enum", None)
    format = made.pop("format", None)
    about = {word: made.pop(word) for words in OF_TYPE.values() for word in words if word in made}
    alternatives: list[dict[str, Any]] = []
    for type in types:
        one: dict[str, Any] = {"type": type}
        one |= {word: about[word] for word in OF_TYPE.get(type, ()) if word in about}
        if type == "array":
            one.setdefault("items", {})
        if format is not None and type == ("number" if format in NUMERIC_FORMATS else "string"):
            one["format"] = format
        if nullable:
            one["nullable"] = True
        if values is not None:
            one["enum"] = [value for value in values if (nullable and value is None) or _is(type, value)]
            if one["enum"] in ([], [None]):
                continue
        alternatives.append(one)
    if not alternatives:
        _restrict(made, [value for value in values or () if value is None])
    elif "anyOf" in made:
        _further(made, {"anyOf": alternatives})
    else:
        made["anyOf"] = alternatives


def _is(kind: str, value: Any) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer":
        return isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    kinds: dict[str, tuple[type, ...]] = {"string": (str,), "array": (list,), "object": (dict,), "number": (int, float)}
    return isinstance(value, kinds.get(kind, ()))


def _restrict(made: dict[str, Any], values: list[Any]) -> None:
    """To some values, beside the ones there may be."""
    allowed = [value for value in values if value in made.get("enum", values)]
    made["enum"] = allowed


def _tidy(step: Step, value: Mapping[str, Any], made: dict[str, Any], at: Pointer) -> None:
    """What 3.0 wants to have something in it, and what it does not know."""
    if not made.get("required", True):
        del made["required"]
    if not made.get("enum", True):
        del made["enum"]
        _further(made, {"not": {}})
    if "discriminator" in made:
        for name in [name for name in made["discriminator"] if name.startswith("x-")]:
            del made["discriminator"][name]
            step.lose((*at, "discriminator", name), "discriminator extension")
    for keyword in [one for one in made if one not in PLAIN and one != "$ref" and not one.startswith("x-")]:
        del made[keyword]
        step.lose((*at, keyword), "keyword")


CHANGES: tuple[Change, ...] = (
    _left_out,
    _constant,
    _limits,
    _examples,
    _default,
    _content,
    _items,
    _members,
    _dependent,
    _conditional,
    _narrowing,
    _types,
    _beside,
    _tidy,
    _reference,
)
"""In this order: the last ones see what the others made."""


def exact(step: Step, schema: Any) -> bool:
    """Whether the rendition of a schema accepts what it accepts and no more."""
    return step.once(Exactness).of(schema)


class Exactness:
    """Which schemas have exact renditions. Each is looked at once, whatever leads to it and however often it is asked
    about; what is known of the ones looked at is final, since all that they lead to was looked at with them."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._seen: dict[int, Mapping[str, Any]] = {}
        self._wider: set[int] = set()

    def of(self, schema: Any) -> bool:
        """Whether this one has."""
        if isinstance(schema, Mapping) and id(schema) not in self._seen:
            self._look(schema)
        return id(schema) not in self._wider

    def _look(self, schema: Mapping[str, Any]) -> None:
        """Look at all that a schema leads to, then go back from what is wider to what leads there."""
        waiting: list[Any] = [schema]
        wider: list[int] = []
        users: dict[int, list[int]] = {}
        while waiting:
            one = waiting.pop()
            if not isinstance(one, Mapping) or id(one) in self._seen:
                continue
            self._seen[id(one)] = one
            inner = _leads_to(self._step, one)
            if inner is None:
                wider.append(id(one))
                continue
            for each in inner:
                users.setdefault(id(each), []).append(id(one))
            waiting += inner
        wider += [one for one in users if one in self._wider]
        while wider:
            reached = wider.pop()
            self._wider.add(reached)
            wider += users.pop(reached, ())


def _leads_to(step: Step, schema: Mapping[str, Any]) -> list[Any] | None:
    """The schemas on which it depends what a schema accepts; None where its rendition accepts more anyway."""
    if not WIDENED.isdisjoint(schema):
        return None
    inner: list[Any] = []
    if isinstance(reference := schema.get("$ref"), str):
        target = step.target(reference, schema)
        if target is None:
            return None
        inner.append(step.at(target))
    for keyword, shape in APPLIED.items():
        if keyword in schema and keyword not in ("$defs", "contentSchema"):
            held = schema[keyword]
            inner += held.values() if shape == "map" else held if shape == "list" else [held]
    return inner


def _any_of(schemas: list[dict[str, Any]]) -> dict[str, Any]:
    different = [one for i, one in enumerate(schemas) if one not in schemas[:i]]
    return different[0] if len(different) == 1 else {"anyOf": different} if different else {}


def _further(made: dict[str, Any], schema: dict[str, Any]) -> None:
    """One more thing that has to hold."""
    made["allOf"] = [*made.get("allOf", ()), schema]
