"""OpenAPI 3.2 → 3.1: streams, tags in trees, `query` operations and what else came with 3.2.

Schemas of both versions are JSON Schema 2020-12; only the discriminator, XML and the dialect's name differ.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urldefrag, urljoin

from emulator.contract.rendition.walk import GONE, SECTIONS, Step
from emulator.source import Pointer

VERSION = "3.1.0"

LOST = {
    "$self": ("the address of the document itself (`$self`)", "references through it are made local ones"),
    "server name": ("`name` of a server", "`x-name`"),
    "tag summary": ("`summary` of a tag", "`x-summary`"),
    "tag parent": ("`parent` of a tag: the tree of tags is flat", "`x-parent`"),
    "tag kind": ("`kind` of a tag", "`x-kind`"),
    "query operation": ("an operation with the method QUERY", "nothing"),
    "other method": ("an operation with a method of its own (`additionalOperations`)", "nothing"),
    "link": ("a link to an operation that is lost", "nothing"),
    "querystring": (
        "a parameter that is the whole query string (`in: querystring`)",
        "a query parameter spread over the members of its object, if it is a form; else nothing",
    ),
    "cookie style": ("`style: cookie`", "`style: form`, which writes some characters in another way"),
    "allowReserved": ("`allowReserved` of what is not in the query", "nothing"),
    "response summary": ("`summary` of a response", "`x-summary`; the description too where there is none"),
    "itemSchema": (
        "the schema of each item of a stream (`itemSchema`)",
        "`x-itemSchema`, and schemas that have a name keep it; for validators a text stands there",
    ),
    "stream schema": (
        "the schema of a stream as a list of its items",
        "`type: string`: the whole stream is one text",
    ),
    "positional encoding": (
        "encoding by position or of what is nested (`prefixEncoding`, `itemEncoding`, `encoding` in `encoding`)",
        "nothing",
    ),
    "media type": ("a reference to a media type in another document", "a media type that says nothing"),
    "example data": ("one of two forms of an example (`dataValue` beside `serializedValue`)", "`value` has the other"),
    "defaultMapping": ("a discriminator with `defaultMapping`", "nothing; the alternatives stay"),
    "nodeType": ("`nodeType` of XML", "`attribute` or `wrapped` where these say it"),
    "scheme deprecated": ("`deprecated` of a security scheme", "`x-deprecated`"),
    "oauth2MetadataUrl": ("`oauth2MetadataUrl`", "`x-oauth2MetadataUrl`"),
    "device flow": ("the OAuth flow `deviceAuthorization`", "nothing"),
    "security address": ("a security scheme that is named by an address in another document", "nothing"),
}
"""What 3.1 cannot say → (what is lost, what stands in its place)."""

DIALECT = "https://spec.openapis.org/oas/3.1/dialect/base"
FORM = "application/x-www-form-urlencoded"
LINES = ("application/jsonl", "application/x-ndjson", "application/x-jsonlines")
SEQUENCES = ("application/json-seq", "+json-seq")


def to_31(raw: Mapping[str, Any]) -> Step:
    """The step for one document; `run` gives the rendition."""
    return Step(raw, RULES, _schema, _refer)


def _openapi(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    made["openapi"] = VERSION
    if "$self" in made:
        del made["$self"]
        step.lose((*at, "$self"), "$self")
    if "/3.2/dialect/" in str(made.get("jsonSchemaDialect", "")):
        made["jsonSchemaDialect"] = DIALECT
    return made


def _components(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    # Each stands where it is used.
    made.pop("mediaTypes", None)
    return made


def _server(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    _set_aside(step, made, at, "name", "server name")
    return made


def _tag(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    for name in ("summary", "parent", "kind"):
        _set_aside(step, made, at, name, f"tag {name}")
    return made


def _path_item(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    if made.pop("query", None) is not None:
        step.lose((*at, "query"), "query operation")
    for method in made.pop("additionalOperations", ()):
        step.lose((*at, "additionalOperations", method), "other method")
    return made


def _link(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    reference = made.get("operationRef")
    target = step.target(reference) if isinstance(reference, str) else None
    if (target and _is_lost(target)) or made.get("operationId") in step.once(_lost_operations):
        step.lose(at, "link")
        return GONE
    return made


def _is_lost(operation: Pointer) -> bool:
    return operation[2:3] in (("query",), ("additionalOperations",))


def _lost_operations(step: Step) -> set[str]:
    """Ids of operations with methods that 3.1 does not have."""
    items = [item for path, item in step.raw.get("paths", {}).items() if not path.startswith("x-")]
    lost = [one for item in items for one in (item.get("query"), *item.get("additionalOperations", {}).values()) if one]
    return {one["operationId"] for one in lost if "operationId" in one}


def _parameter(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    where = made.get("in")
    if where == "querystring":
        step.lose(at, "querystring")
        form = made.pop("content", {}).get(FORM, {}).get("schema")
        if form is None:
            return GONE
        step.stood(form, (*at, "content", FORM, "schema"))
        for name in ("example", "examples"):
            made.pop(name, None)
        return made | {"in": "query", "style": "form", "explode": True, "schema": form}
    if made.get("style") == "cookie":
        made["style"] = "form"
        step.lose((*at, "style"), "cookie style")
    if where != "query" and made.pop("allowReserved", None):
        step.lose((*at, "allowReserved"), "allowReserved")
    return made


def _media_type(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    name = step.key.split(";")[0].strip().lower()
    listed = write_stream(name, []) is not None
    if listed or "itemSchema" in made or "itemEncoding" in made or "prefixEncoding" in made:
        _stream(step, name, made, at, listed)
    return made


def _stream(step: Step, name: str, made: dict[str, Any], at: Pointer, listed: bool) -> None:
    """A media type that is a sequence of items."""
    _drop_positions(step, made, at)
    if "itemSchema" in made:
        made["x-itemSchema"] = made.pop("itemSchema")
        step.stood(made["x-itemSchema"], (*at, "itemSchema"))
        step.lose((*at, "itemSchema"), "itemSchema")
    if not listed and not name.startswith("multipart/"):
        return
    if "schema" in made:
        step.lose((*at, "schema"), "stream schema")
        del made["schema"]
    if listed:
        made["schema"] = {"type": "string"}
        if isinstance(made.get("example"), list):
            made["example"] = write_stream(name, made["example"])
        if "examples" in made:
            made["examples"] = {key: _written(step, name, one) for key, one in made["examples"].items()}


def _written(step: Step, name: str, example: Any) -> Any:
    """An example of a stream, its items written as the stream has them."""
    if "$ref" in example:
        target = step.target(example["$ref"])
        if target is None:
            return example
        example = step.at(target)
    items = example.get("dataValue", example.get("value"))
    if "serializedValue" in example or not isinstance(items, list):
        return example
    return {key: one for key, one in example.items() if key != "dataValue"} | {"value": write_stream(name, items)}


def write_stream(name: str, items: list[Any]) -> str | None:
    """The text of a stream of some items; None for a media type that is none."""
    if name == "text/event-stream":
        return "".join(_event(one) for one in items)
    if name in LINES:
        return "".join(_compact(one) + "\n" for one in items)
    if name.endswith(SEQUENCES):
        return "".join("\x1e" + _compact(one) + "\n" for one in items)
    return None


def _event(item: Any) -> str:
    fields = item.items() if isinstance(item, Mapping) else [("data", item)]
    lines = [f"{name}: {line}\n" for name, value in fields for line in _text(value).split("\n")]
    return "".join(lines) + "\n"


def _text(value: Any) -> str:
    return value if isinstance(value, str) else _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _drop_positions(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    for name in ("prefixEncoding", "itemEncoding"):
        if made.pop(name, None) is not None:
            step.lose((*at, name), "positional encoding")
    return made


def _encoding(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    if made.pop("encoding", None) is not None:
        step.lose((*at, "encoding"), "positional encoding")
    return _drop_positions(step, made, at)


def _response(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    summary = made.get("summary")
    _set_aside(step, made, at, "summary", "response summary")
    made.setdefault("description", summary or "")
    return made


def _example(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    data, text = "dataValue" in made, "serializedValue" in made
    if data and text:
        step.lose(at, "example data")
    if text and not data:
        made["value"] = made["serializedValue"]
    elif data:
        made["value"] = made["dataValue"]
    for name in ("dataValue", "serializedValue"):
        made.pop(name, None)
    return made


def _security_scheme(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    _set_aside(step, made, at, "deprecated", "scheme deprecated")
    _set_aside(step, made, at, "oauth2MetadataUrl", "oauth2MetadataUrl")
    return made


def _flows(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    if made.pop("deviceAuthorization", None) is not None:
        step.lose((*at, "deviceAuthorization"), "device flow")
    return made


def _requirement(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    known = step.raw.get("components", {}).get("securitySchemes", {})
    found: dict[str, Any] = {}
    for name, scopes in made.items():
        target = None if name in known else step.target(name)
        if name in known or (target and target[:2] == ("components", "securitySchemes")):
            found[str(target[2]) if target else name] = scopes
        else:
            step.lose((*at, name), "security address")
    return found


def _schema(step: Step, value: Any, at: Pointer) -> Any:
    if not isinstance(value, Mapping):
        return value
    made = dict(value)
    if isinstance(reference := made.get("$ref"), str):
        target = step.target(reference, value)
        if target is not None and _moved(target):
            made["$ref"] = step.hoist(target)
        elif step.places.base(value) == step.places.base():
            made["$ref"] = _without_self(step, reference)
    if "defaultMapping" in made.get("discriminator", {}):
        del made["discriminator"]
        step.lose((*at, "discriminator"), "defaultMapping")
    if "nodeType" in made.get("xml", {}):
        made["xml"] = _xml(made)
        step.lose((*at, "xml", "nodeType"), "nodeType")
    step.inside("schema", made, at)
    return made


def _moved(target: Pointer) -> bool:
    """Whether it stands where 3.1 has nothing."""
    return (
        target[:2] == ("components", "mediaTypes")
        or (target[:1] == ("paths",) and _is_lost(target[1:]))
        or "itemSchema" in target
    )


def _xml(schema: Mapping[str, Any]) -> dict[str, Any]:
    xml = dict(schema["xml"])
    node = xml.pop("nodeType")
    if node == "attribute":
        xml["attribute"] = True
    elif node == "element" and schema.get("type") == "array":
        xml["wrapped"] = True
    return xml


def _refer(step: Step, kind: str, value: Mapping[str, Any], at: Pointer) -> Any:
    """A reference stays one, unless it leads to where 3.1 has nothing."""
    target = step.target(value["$ref"])
    if kind == "media_type":
        if target is None:
            step.lose(at, "media type")
            return {}
        return step.rewrite(kind, step.at(target), target)
    if target is not None and target[:2] != ("components", SECTIONS[kind]) and _moved(target):
        return step.rewrite(kind, step.at(target), target)
    made = {**value, "$ref": _without_self(step, value["$ref"])}
    if kind == "path_item":
        # What stands beside the reference is part of the item.
        made = _path_item(step, made, at)
        step.inside(kind, made, at)
    return made


def _without_self(step: Step, reference: str) -> str:
    """A reference as it is in a document that has no address of its own."""
    own = step.raw.get("$self")
    if not own or reference.startswith("#"):
        return reference
    whole = urljoin(own, reference)
    url, fragment = urldefrag(whole)
    return f"#{fragment}" if url == own else whole


def _set_aside(step: Step, made: dict[str, Any], at: Pointer, name: str, lost: str) -> None:
    """A plain value that is kept as an extension."""
    if name in made:
        made[f"x-{name}"] = made.pop(name)
        step.lose((*at, name), lost)


RULES = {
    "openapi": _openapi,
    "components": _components,
    "server": _server,
    "tag": _tag,
    "path_item": _path_item,
    "link": _link,
    "parameter": _parameter,
    "media_type": _media_type,
    "response": _response,
    "encoding": _encoding,
    "example": _example,
    "security_scheme": _security_scheme,
    "flows": _flows,
    "requirement": _requirement,
}
