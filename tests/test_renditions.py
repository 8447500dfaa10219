"""What becomes of each thing that an older OpenAPI cannot say, what is told about it, and how it is served."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator, OpenAPIV32SpecValidator

from emulator.contract.document import open_document
from emulator.contract.rendition import render as render_module
from emulator.contract.rendition import to_31
from emulator.contract.rendition.render import EXTENSION, LOST, Rendition, Renditions, render
from emulator.contract.rendition.walk import Places, Step, look_up
from emulator.service import bundled
from emulator.settings import Settings
from emulator.source import Pointer, load
from emulator.testing.server import ThreadedServer

VALIDATORS: dict[str, Any] = {
    "3.2": OpenAPIV32SpecValidator,
    "3.1": OpenAPIV31SpecValidator,
    "3.0": OpenAPIV30SpecValidator,
}
ROOT = Path(__file__).parent.parent
OK = {"200": {"description": "Fine."}}
ABSENT: Any = object()


def pointed(pointer: str) -> Pointer:
    return tuple(
        int(part) if part.isdigit() and len(part) < 3 else part.replace("~1", "/").replace("~0", "~")
        for part in pointer.split("/")[1:]
    )


def document(places: Mapping[str, Any]) -> dict[str, Any]:
    """A document with something at each of some pointers."""
    raw: dict[str, Any] = {"openapi": "3.2.0", "info": {"title": "One", "version": "1"}, "paths": {}}
    for pointer, value in places.items():
        *way, last = pointed(pointer)
        inner: Any = raw
        for part in way:
            inner = inner.setdefault(part, {})
        inner[last] = copy.deepcopy(value)
    return raw


def there(raw: Mapping[str, Any], pointer: str) -> Any:
    try:
        return look_up(raw, pointed(pointer))
    except (KeyError, IndexError):
        return ABSENT


def mistakes(raw: Mapping[str, Any]) -> list[str]:
    """What makes a document no valid OpenAPI of its version."""
    return [error.message for error in VALIDATORS[raw["openapi"][:3]](raw).iter_errors()]


def losses(made: Rendition) -> set[tuple[str, str]]:
    return {(loss.at, loss.lost) for loss in made.losses}


GET = "/paths/~1a/get"
STREAM = f"{GET}/responses/200/content/text~1event-stream"
PING = {"type": "object", "properties": {"event": {"const": "ping"}}}
Case = tuple[dict[str, Any], dict[str, Any], set[tuple[str, str]]]

TO_31: dict[str, Case] = {
    "the document's own address": (
        {
            "/$self": "https://example.com/a.yaml",
            "/components/schemas/A": {"$ref": "https://example.com/a.yaml#/components/schemas/B"},
            "/components/schemas/B": {"type": "string"},
            "/components/schemas/C": {"$ref": "other.yaml#/X"},
        },
        {
            "/$self": ABSENT,
            "/components/schemas/A": {"$ref": "#/components/schemas/B"},
            "/components/schemas/C": {"$ref": "https://example.com/other.yaml#/X"},
        },
        {("/$self", "$self")},
    ),
    "names of servers and trees of tags": (
        {
            "/servers": [{"url": "/x", "name": "test"}],
            "/tags": [{"name": "a", "summary": "A", "kind": "nav"}, {"name": "b", "parent": "a"}],
        },
        {
            "/servers/0": {"url": "/x", "x-name": "test"},
            "/tags": [{"name": "a", "x-summary": "A", "x-kind": "nav"}, {"name": "b", "x-parent": "a"}],
        },
        {
            ("/servers/0/name", "server name"),
            ("/tags/0/summary", "tag summary"),
            ("/tags/0/kind", "tag kind"),
            ("/tags/1/parent", "tag parent"),
        },
    ),
    "methods, and what leads to them": (
        {
            "/paths/x-note": {"text": "An extension is no path."},
            "/paths/~1a/query": {"operationId": "ask", "responses": OK},
            "/paths/~1a/additionalOperations": {"COPY": {"operationId": "copy", "responses": OK}},
            f"{GET}/responses": {
                "200": {
                    "description": "Fine.",
                    "links": {
                        "ask": {"operationId": "ask"},
                        "copy": {"operationRef": "#/paths/~1a/additionalOperations/COPY"},
                        "again": {"operationRef": "#/paths/~1a/get"},
                    },
                }
            },
        },
        {
            "/paths/~1a/query": ABSENT,
            "/paths/~1a/additionalOperations": ABSENT,
            f"{GET}/responses/200/links": {"again": {"operationRef": "#/paths/~1a/get"}},
        },
        {
            ("/paths/~1a/query", "query operation"),
            ("/paths/~1a/additionalOperations/COPY", "other method"),
            (f"{GET}/responses/200/links/ask", "link"),
            (f"{GET}/responses/200/links/copy", "link"),
        },
    ),
    "parameters": (
        {
            f"{GET}/responses": OK,
            f"{GET}/parameters": [
                {"name": "jar", "in": "cookie", "style": "cookie", "schema": {"type": "string"}},
                {"name": "X", "in": "header", "allowReserved": True, "schema": {"type": "string"}},
            ],
            "/paths/~1form/get": {
                "responses": OK,
                "parameters": [
                    {
                        "name": "all",
                        "in": "querystring",
                        "content": {
                            "application/x-www-form-urlencoded": {"schema": {"$ref": "#/components/schemas/Form"}}
                        },
                    }
                ],
            },
            "/paths/~1json/get": {
                "responses": OK,
                "parameters": [{"name": "all", "in": "querystring", "content": {"application/json": {}}}],
            },
            "/components/schemas/Form": {"type": "object"},
        },
        {
            f"{GET}/parameters/0/style": "form",
            f"{GET}/parameters/1/allowReserved": ABSENT,
            "/paths/~1form/get/parameters/0": {
                "name": "all",
                "in": "query",
                "style": "form",
                "explode": True,
                "schema": {"$ref": "#/components/schemas/Form"},
            },
            "/paths/~1json/get/parameters": [],
        },
        {
            (f"{GET}/parameters/0/style", "cookie style"),
            (f"{GET}/parameters/1/allowReserved", "allowReserved"),
            ("/paths/~1form/get/parameters/0", "querystring"),
            ("/paths/~1json/get/parameters/0", "querystring"),
        },
    ),
    "streams": (
        {
            f"{GET}/responses/200": {
                "summary": "Events",
                "content": {
                    "text/event-stream": {
                        "itemSchema": PING,
                        "schema": {"type": "array"},
                        "examples": {
                            "one": {"dataValue": [{"event": "ping"}, {"data": "a\nb", "id": "1"}]},
                            "two": {"value": [], "summary": "Nothing"},
                            "three": {"$ref": "#/components/examples/E"},
                            "four": {"dataValue": [], "serializedValue": ": ping\n\n"},
                        },
                    },
                    "application/jsonl; charset=utf-8": {"schema": {"type": "array"}, "example": [{"a": "ü"}, 2]},
                    "application/json-seq": {"itemSchema": {}, "examples": {"one": {"value": [1]}}},
                    "multipart/mixed": {"itemSchema": {}, "itemEncoding": {"contentType": "text/plain"}},
                    "application/json": {"itemSchema": {}, "schema": {"type": "array"}},
                },
            },
            "/components/examples/E": {"value": [{"data": {"a": 1}}]},
        },
        {
            f"{GET}/responses/200/x-summary": "Events",
            f"{GET}/responses/200/description": "Events",
            STREAM: {
                "x-itemSchema": PING,
                "schema": {"type": "string"},
                "examples": {
                    "one": {"value": "event: ping\n\ndata: a\ndata: b\nid: 1\n\n"},
                    "two": {"value": "", "summary": "Nothing"},
                    "three": {"value": 'data: {"a":1}\n\n'},
                    "four": {"value": []},
                },
            },
            f"{GET}/responses/200/content/application~1jsonl; charset=utf-8": {
                "schema": {"type": "string"},
                "example": '{"a":"ü"}\n2\n',
            },
            f"{GET}/responses/200/content/application~1json-seq/examples/one/value": "\x1e1\n",
            f"{GET}/responses/200/content/multipart~1mixed": {"x-itemSchema": {}},
            f"{GET}/responses/200/content/application~1json": {"x-itemSchema": {}, "schema": {"type": "array"}},
        },
        {
            (f"{GET}/responses/200/summary", "response summary"),
            (f"{STREAM}/itemSchema", "itemSchema"),
            (f"{STREAM}/schema", "stream schema"),
            (f"{STREAM}/examples/four", "example data"),
            (f"{GET}/responses/200/content/application~1jsonl; charset=utf-8/schema", "stream schema"),
            (f"{GET}/responses/200/content/application~1json-seq/itemSchema", "itemSchema"),
            (f"{GET}/responses/200/content/multipart~1mixed/itemSchema", "itemSchema"),
            (f"{GET}/responses/200/content/multipart~1mixed/itemEncoding", "positional encoding"),
            (f"{GET}/responses/200/content/application~1json/itemSchema", "itemSchema"),
        },
    ),
    "media types of their own": (
        {
            f"{GET}/responses/200": {
                "description": "Fine.",
                "content": {
                    "text/event-stream": {"$ref": "#/components/mediaTypes/Stream"},
                    "application/json": {"schema": {"$ref": "#/components/mediaTypes/Stream/itemSchema"}},
                    "text/x": {"$ref": "other.yaml#/X"},
                },
            },
            "/components/mediaTypes/Stream": {"itemSchema": {"type": "object", "title": "Frame"}},
        },
        {
            "/components/mediaTypes": ABSENT,
            STREAM: {"x-itemSchema": {"type": "object", "title": "Frame"}, "schema": {"type": "string"}},
            f"{GET}/responses/200/content/application~1json/schema": {
                "$ref": "#/components/schemas/mediaTypes_Stream_itemSchema"
            },
            "/components/schemas/mediaTypes_Stream_itemSchema": {"type": "object", "title": "Frame"},
            f"{GET}/responses/200/content/text~1x": {},
        },
        {
            ("/components/mediaTypes/Stream/itemSchema", "itemSchema"),
            (f"{GET}/responses/200/content/text~1x", "media type"),
        },
    ),
    "encodings": (
        {
            "/paths/~1a/post/responses": OK,
            "/paths/~1a/post/requestBody/content/multipart~1form-data": {
                "schema": {"type": "object"},
                "encoding": {"a": {"contentType": "multipart/mixed", "encoding": {"b": {}}, "itemEncoding": {}}},
            },
            "/paths/~1a/post/requestBody/content/multipart~1mixed": {
                "prefixEncoding": [{"contentType": "a/b"}],
                "schema": {"type": "array"},
            },
        },
        {
            "/paths/~1a/post/requestBody/content/multipart~1form-data/encoding": {
                "a": {"contentType": "multipart/mixed"}
            },
            "/paths/~1a/post/requestBody/content/multipart~1mixed": {},
        },
        {
            (f"/paths/~1a/post/requestBody/content/{place}", lost)
            for place, lost in (
                ("multipart~1form-data/encoding/a/encoding", "positional encoding"),
                ("multipart~1form-data/encoding/a/itemEncoding", "positional encoding"),
                ("multipart~1mixed/prefixEncoding", "positional encoding"),
                ("multipart~1mixed/schema", "stream schema"),
            )
        },
    ),
    "examples": (
        {"/components/examples": {"data": {"dataValue": {"a": 1}}, "text": {"serializedValue": "a=1"}}},
        {"/components/examples": {"data": {"value": {"a": 1}}, "text": {"value": "a=1"}}},
        set(),
    ),
    "security": (
        {
            "/security": [{"#/components/securitySchemes/Key": []}, {"Key": []}, {"https://example.com/x#/Other": []}],
            "/components/securitySchemes/Key": {"type": "apiKey", "in": "header", "name": "K", "deprecated": True},
            "/components/securitySchemes/Device": {
                "type": "oauth2",
                "oauth2MetadataUrl": "https://example.com/m",
                "flows": {
                    "deviceAuthorization": {
                        "deviceAuthorizationUrl": "https://example.com/d",
                        "tokenUrl": "https://example.com/t",
                        "scopes": {},
                    }
                },
            },
        },
        {
            "/security": [{"Key": []}, {"Key": []}, {}],
            "/components/securitySchemes/Key": {"type": "apiKey", "in": "header", "name": "K", "x-deprecated": True},
            "/components/securitySchemes/Device": {
                "type": "oauth2",
                "flows": {},
                "x-oauth2MetadataUrl": "https://example.com/m",
            },
        },
        {
            ("/security/2/https:~1~1example.com~1x#~1Other", "security address"),
            ("/components/securitySchemes/Key/deprecated", "scheme deprecated"),
            ("/components/securitySchemes/Device/oauth2MetadataUrl", "oauth2MetadataUrl"),
            ("/components/securitySchemes/Device/flows/deviceAuthorization", "device flow"),
        },
    ),
    "schemas": (
        {
            "/jsonSchemaDialect": "https://spec.openapis.org/oas/3.2/dialect/2025-09-17",
            "/components/schemas": {
                "A": {
                    "oneOf": [{"$ref": "#/components/schemas/B"}],
                    "discriminator": {"propertyName": "kind", "defaultMapping": "B"},
                },
                "B": {"type": "string", "xml": {"nodeType": "attribute"}, "const": "b"},
                "C": {"type": "array", "xml": {"nodeType": "element", "name": "c"}, "x-mine": 1},
            },
        },
        {
            "/jsonSchemaDialect": "https://spec.openapis.org/oas/3.1/dialect/base",
            "/components/schemas": {
                "A": {"oneOf": [{"$ref": "#/components/schemas/B"}]},
                "B": {"type": "string", "xml": {"attribute": True}, "const": "b"},
                "C": {"type": "array", "xml": {"wrapped": True, "name": "c"}, "x-mine": 1},
            },
        },
        {
            ("/components/schemas/A/discriminator", "defaultMapping"),
            ("/components/schemas/B/xml/nodeType", "nodeType"),
            ("/components/schemas/C/xml/nodeType", "nodeType"),
        },
    ),
}

TO_30: dict[str, Case] = {
    "about the API": (
        {
            "/info": {
                "title": "One",
                "version": "1",
                "summary": "In short",
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "/jsonSchemaDialect": "https://example.com/dialect",
            "/webhooks/new/post": {"responses": OK, "requestBody": {"content": {"a/b": {"schema": True}}}},
        },
        {
            "/info/summary": ABSENT,
            "/info/x-summary": "In short",
            "/info/description": "In short",
            "/info/license": {"name": "MIT", "url": "https://spdx.org/licenses/MIT.html"},
            "/jsonSchemaDialect": ABSENT,
            "/webhooks": ABSENT,
            "/x-webhooks/new/post/requestBody/content/a~1b/schema": {},
            "/paths": {},
        },
        {
            ("/info/summary", "info summary"),
            ("/info/license/identifier", "licence identifier"),
            ("/jsonSchemaDialect", "jsonSchemaDialect"),
            ("/webhooks", "webhooks"),
        },
    ),
    "path items of their own": (
        {
            "/paths/~1a": {"$ref": "#/components/pathItems/Item"},
            "/components/pathItems/Item/post": {
                "responses": OK,
                "callbacks": {"done": {"{$request.body#/url}": {"$ref": "#/components/pathItems/Item"}}},
            },
        },
        {
            "/components/pathItems": ABSENT,
            "/paths/~1a/post": {"responses": OK, "callbacks": {"done": {"{$request.body#/url}": {}}}},
        },
        {
            ("/components/pathItems/Item/post/callbacks/done/{$request.body#~1url}", "path item in itself"),
        },
    ),
    "an operation without responses, references and what they lead to": (
        {
            f"{GET}/parameters": [{"$ref": "#/components/parameters/P", "description": "Here."}],
            "/paths/~1b/get/parameters": [{"$ref": "#/paths/~1c/get/parameters/0"}],
            "/paths/~1c/get/parameters": [{"name": "q", "in": "query", "schema": {"type": ["string", "null"]}}],
            "/components/parameters/P": {"name": "p", "in": "query", "schema": {"const": 1}},
        },
        {
            f"{GET}/parameters": [{"$ref": "#/components/parameters/P"}],
            f"{GET}/responses": {"default": {"description": ""}},
            "/paths/~1b/get/parameters/0": {"name": "q", "in": "query", "schema": {"type": "string", "nullable": True}},
            "/components/parameters/P/schema": {"enum": [1], "type": "integer"},
        },
        {(f"{GET}/parameters/0/description", "reference text")},
    ),
    "security": (
        {
            "/security": [{"Tls": [], "Key": ["admin"]}],
            "/components/securitySchemes": {
                "Tls": {"type": "mutualTLS"},
                "Same": {"$ref": "#/components/securitySchemes/Tls"},
                "Key": {"type": "http", "scheme": "bearer"},
            },
        },
        {
            "/security": [{"Key": []}],
            "/components/securitySchemes": {"Key": {"type": "http", "scheme": "bearer"}},
        },
        {("/components/securitySchemes/Tls", "mutualTLS"), ("/security/0/Key", "roles")},
    ),
}

SCHEMAS: dict[str, tuple[Any, Any, set[str]]] = {
    "anything": (True, {}, set()),
    "nothing": (False, {"not": {}}, set()),
    "or null": (
        {"type": ["string", "null"], "minLength": 1},
        {"type": "string", "minLength": 1, "nullable": True},
        set(),
    ),
    "null": ({"type": "null"}, {"nullable": True, "enum": [None]}, set()),
    "null among others": (
        {"anyOf": [{"$ref": "#/components/schemas/B"}, {"type": "null"}]},
        {"anyOf": [{"$ref": "#/components/schemas/B"}, {"nullable": True, "enum": [None]}]},
        set(),
    ),
    "null that is none of the values": (
        {"type": ["string", "null"], "enum": ["a"]},
        {"type": "string", "enum": ["a"]},
        set(),
    ),
    "several types": (
        {"type": ["string", "integer", "null"], "minLength": 1, "maximum": 3, "format": "int64", "title": "T"},
        {
            "title": "T",
            "anyOf": [
                {"type": "string", "minLength": 1, "nullable": True},
                {"type": "integer", "maximum": 3, "nullable": True},
            ],
        },
        set(),
    ),
    "values of several types": (
        {"type": ["string", "integer", "array"], "enum": ["a", 1, None]},
        {"anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "enum": [1]}]},
        set(),
    ),
    "integers are numbers": ({"type": ["integer", "number"], "minimum": 1}, {"type": "number", "minimum": 1}, set()),
    "one value": ({"const": True}, {"type": "boolean", "enum": [True]}, set()),
    "one value beside others": (
        {"const": 1, "enum": [1, 2]},
        {"type": "integer", "enum": [1, 2], "allOf": [{"enum": [1]}]},
        set(),
    ),
    "a value or null": ({"enum": ["a", None]}, {"type": "string", "nullable": True, "enum": ["a", None]}, set()),
    "no value": ({"enum": []}, {"allOf": [{"not": {}}]}, set()),
    "limits": (
        {"exclusiveMinimum": 1, "exclusiveMaximum": 5, "maximum": 4},
        {"minimum": 1, "exclusiveMinimum": True, "maximum": 4},
        set(),
    ),
    "examples": ({"examples": [1]}, {"example": 1}, set()),
    "many examples": ({"examples": [1, 2]}, {"example": 1}, {"examples"}),
    "an object by default": (
        {"type": "object", "default": {}},
        {"type": "object", "x-default": {}},
        {"object default"},
    ),
    "a reference with more": (
        {"$ref": "#/components/schemas/B", "description": "That.", "x-why": 1},
        {"allOf": [{"$ref": "#/components/schemas/B"}], "description": "That.", "x-why": 1},
        set(),
    ),
    "a reference elsewhere": ({"$ref": "b.yaml#/B"}, {"$ref": "b.yaml#/B"}, {"external reference"}),
    "a dynamic reference": ({"$dynamicRef": "#x"}, {}, {"$dynamicRef"}),
    "bytes": (
        {"type": "string", "contentMediaType": "image/png"},
        {"type": "string", "format": "binary"},
        {"contentMediaType"},
    ),
    "bytes in base64": ({"type": "string", "contentEncoding": "base64"}, {"type": "string", "format": "byte"}, set()),
    "JSON in a text": (
        {"type": "string", "contentMediaType": "application/json", "contentSchema": {"type": "object"}},
        {"type": "string"},
        {"contentMediaType", "contentSchema"},
    ),
    "another encoding": ({"contentEncoding": "base32"}, {}, {"contentEncoding"}),
    "an array of anything": ({"type": "array"}, {"type": "array", "items": {}}, set()),
    "a tuple": (
        {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": False},
        {"type": "array", "maxItems": 2, "items": {"anyOf": [{"type": "string"}, {"type": "boolean"}]}},
        {"prefixItems"},
    ),
    "a tuple and more": (
        {"prefixItems": [{"type": "string"}, {"type": "string"}], "unevaluatedItems": {"type": "null"}},
        {"items": {"anyOf": [{"type": "string"}, {"nullable": True, "enum": [None]}]}},
        {"prefixItems"},
    ),
    "an open tuple": (
        {"type": "array", "prefixItems": [{"type": "string"}]},
        {"type": "array", "items": {}},
        {"prefixItems"},
    ),
    "entries that are not evaluated elsewhere": (
        {"allOf": [{"type": "array", "minItems": 1}], "unevaluatedItems": False},
        {"allOf": [{"type": "array", "items": {}, "minItems": 1}]},
        {"unevaluatedItems"},
    ),
    "contains": (
        {"type": "array", "contains": {"const": 1}, "minContains": 2, "minItems": 1},
        {"type": "array", "items": {}, "minItems": 2},
        {"contains"},
    ),
    "patterns of names": (
        {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": False},
        {"additionalProperties": {"type": "string"}},
        {"patternProperties"},
    ),
    "patterns of names and others": (
        {"patternProperties": {"^a": {"type": "string"}}, "additionalProperties": {"type": "integer"}},
        {"additionalProperties": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
        {"patternProperties"},
    ),
    "patterns of some names": ({"patternProperties": {"^a": False}}, {}, {"patternProperties"}),
    "names": ({"propertyNames": {"minLength": 1}}, {}, {"propertyNames"}),
    "nothing unevaluated": (
        {"properties": {"a": True}, "unevaluatedProperties": False},
        {"properties": {"a": {}}, "additionalProperties": False},
        set(),
    ),
    "nothing unevaluated after others": (
        {"allOf": [{"properties": {"a": True}}], "unevaluatedProperties": False},
        {"allOf": [{"properties": {"a": {}}}]},
        {"unevaluatedProperties"},
    ),
    "members that ask for others": (
        {"dependentRequired": {"a": ["b"]}, "dependentSchemas": {"b": {"minProperties": 2}}},
        {
            "allOf": [
                {"anyOf": [{"not": {"type": "object", "required": ["a"]}}, {"required": ["b"]}]},
                {"anyOf": [{"not": {"type": "object", "required": ["b"]}}, {"minProperties": 2}]},
            ]
        },
        set(),
    ),
    "a condition": (
        {"if": {"required": ["a"]}, "then": {"required": ["b"]}, "else": {"required": ["c"]}},
        {
            "allOf": [
                {"anyOf": [{"not": {"required": ["a"]}}, {"required": ["b"]}]},
                {"anyOf": [{"required": ["a"]}, {"required": ["c"]}]},
            ]
        },
        set(),
    ),
    "a condition that cannot be said": (
        {"if": {"contains": {}}, "then": {"required": ["b"]}, "type": "object"},
        {"type": "object"},
        {"if", "contains"},
    ),
    "a condition without consequence": ({"if": {"required": ["a"]}}, {}, set()),
    "not what cannot be said": ({"not": {"propertyNames": False}}, {}, {"not", "propertyNames"}),
    "one of what can be said": ({"oneOf": [{"type": "string"}]}, {"oneOf": [{"type": "string"}]}, set()),
    "one of what cannot be said": (
        {"oneOf": [{"type": "string"}, {"$ref": "#/components/schemas/Odd"}]},
        {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/Odd"}]},
        {"oneOf"},
    ),
    "an extension of a discriminator": (
        {"oneOf": [{"$ref": "#/components/schemas/B"}], "discriminator": {"propertyName": "k", "x-a": 1}},
        {"oneOf": [{"$ref": "#/components/schemas/B"}], "discriminator": {"propertyName": "k"}},
        {"discriminator extension"},
    ),
    "words of nobody": (
        {"$comment": "why", "nonsense": 1, "x-mine": 2},
        {"x-comment": "why", "x-mine": 2},
        {"$comment", "keyword"},
    ),
    "alternatives beside members": (
        {
            "properties": {"a": True},
            "anyOf": [{"required": ["a"]}],
            "oneOf": [True],
            "discriminator": {"propertyName": "a"},
        },
        {
            "properties": {"a": {}},
            "allOf": [{"anyOf": [{"required": ["a"]}], "discriminator": {"propertyName": "a"}}, {"oneOf": [{}]}],
        },
        set(),
    ),
    "nothing required": ({"required": []}, {}, set()),
}


@pytest.mark.parametrize("case", TO_31)
def test_to_31(case: str) -> None:
    places, expected, lost = TO_31[case]
    raw = document(places)
    before = copy.deepcopy(raw)
    made = render(raw, "3.1")
    assert raw == before
    if case != "the document's own address":
        # The validator would look for the other document.
        assert mistakes(made.raw) == []
    assert {pointer: there(made.raw, pointer) for pointer in expected} == expected
    assert losses(made) == lost
    assert made.raw["openapi"] == "3.1.0"


@pytest.mark.parametrize("case", TO_30)
@pytest.mark.parametrize("own", ["3.2.0", "3.1.1"])
def test_to_30(case: str, own: str) -> None:
    places, expected, lost = TO_30[case]
    raw = {**document(places), "openapi": own}
    before = copy.deepcopy(raw)
    made = render(raw, "3.0")
    assert raw == before
    assert mistakes(made.raw) == []
    assert {pointer: there(made.raw, pointer) for pointer in expected} == expected
    assert losses(made) == lost
    assert made.raw["openapi"] == "3.0.3"
    assert made.raw["info"][EXTENSION]["of"] == own


@pytest.mark.parametrize("case", SCHEMAS)
def test_schemas_to_30(case: str) -> None:
    schema, expected, lost = SCHEMAS[case]
    odd = {"propertyNames": {"maxLength": 3}}
    raw = document({"/components/schemas": {"A": schema, "B": {"type": "object"}, "Odd": odd}})
    made = render(raw, "3.0")
    assert made.raw["components"]["schemas"]["A"] == expected
    assert {loss.lost for loss in made.losses if loss.at.startswith("/components/schemas/A")} == lost
    if case != "a reference elsewhere":
        assert mistakes(made.raw) == []


def test_schemas_that_stand_inside_others() -> None:
    """References into definitions, by anchors and by ids lead to schemas of their own in 3.0."""
    raw = document(
        {
            "/components/schemas": {
                "A": {
                    "$defs": {"In side": {"type": ["object", "null"], "properties": {"me": {"$ref": "#inside"}}}},
                    "$ref": "#/components/schemas/A/$defs/In side",
                },
                "A_In_side": {"$ref": "#/components/schemas/Tree/items"},
                "Tree": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
                "Id": {
                    "$id": "https://example.com/id",
                    "$defs": {"D": {"$anchor": "d", "type": "string"}},
                    "anyOf": [{"$ref": "#/$defs/D"}, {"$ref": "#d"}],
                },
                "ById": {"$ref": "https://example.com/id#d"},
            }
        }
    )
    inside = raw["components"]["schemas"]["A"]["$defs"]["In side"]
    inside["$anchor"] = "inside"
    raw["components"]["schemas"]["A"]["$ref"] = "#/components/schemas/A/$defs/In%20side"
    made = render(raw, "3.0")
    assert mistakes(made.raw) == []
    assert made.losses == ()
    hoisted = {"$ref": "#/components/schemas/A_In_side_2"}
    assert made.raw["components"]["schemas"] == {
        "A": hoisted,
        "A_In_side": {"$ref": "#/components/schemas/Tree_items"},
        "Tree": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
        "Id": {"anyOf": [{"$ref": "#/components/schemas/Id_D"}, {"$ref": "#/components/schemas/Id_D"}]},
        "ById": {"$ref": "#/components/schemas/Id_D"},
        "A_In_side_2": {"type": "object", "nullable": True, "properties": {"me": hoisted}},
        "Tree_items": {"$ref": "#/components/schemas/Tree"},
        "Id_D": {"type": "string"},
    }
    assert render(raw, "3.1").raw["components"] == raw["components"]


def test_losses_of_both_steps_say_where_they_stood_in_the_document() -> None:
    frame = {"type": "object", "properties": {"data": {"type": "string", "contentMediaType": "application/json"}}}
    raw = document(
        {
            f"{GET}/responses/200": {
                "description": "Fine.",
                "content": {"text/event-stream": {"$ref": "#/components/mediaTypes/Stream"}},
            },
            "/components/mediaTypes/Stream": {"itemSchema": frame},
        }
    )
    assert losses(render(raw, "3.0")) == {
        ("/components/mediaTypes/Stream/itemSchema", "itemSchema"),
        ("/components/mediaTypes/Stream/itemSchema/properties/data/contentMediaType", "contentMediaType"),
    }


def operations(raw: Mapping[str, Any]) -> list[str]:
    return [one["operationId"] for item in raw["paths"].values() for one in item.values() if "operationId" in one]


@pytest.mark.parametrize("file", sorted(bundled("specs").glob("*.yaml")), ids=lambda file: file.stem)
def test_the_specs_lose_nothing_unsaid(file: Path) -> None:
    raw = load(file)
    for version in ("3.1", "3.0"):
        made = render(raw, version)
        told = made.raw["info"][EXTENSION]
        assert told["of"] == raw["openapi"]
        assert sum(len(one["at"]) for one in told["lost"]) == len(made.losses) == len(set(made.losses))
        for loss in made.losses:
            there_or_not = there(raw, loss.at)
            assert there_or_not is not ABSENT, loss
        assert {(one["what"], one["instead"]) for one in told["lost"]} == {LOST[loss.lost] for loss in made.losses}
        # What comes as events can still be told apart by those who look for it.
        streams = [name for name in json.dumps(raw).split('"') if name == "itemSchema"]
        assert json.dumps(made.raw).count('"x-itemSchema"') == len(streams)
        assert operations(made.raw) == operations(raw)


def test_every_loss_is_shown() -> None:
    """None in the tables that cannot happen, and none without a case above."""
    shown = {lost for _, _, found in (*TO_31.values(), *TO_30.values()) for _, lost in found}
    assert shown | {lost for _, _, found in SCHEMAS.values() for lost in found} == set(LOST)


def test_the_page_about_versions_is_made_from_the_rules() -> None:
    made = subprocess.run(
        [sys.executable, "-c", "import rendition_docs; print(rendition_docs.text(), end='')"],
        cwd=ROOT / "scripts",
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
    ).stdout
    assert (ROOT / "docs" / "openapi-versions.md").read_text("utf-8") == made, "run scripts/rendition_docs.py"


# ---- How much work it is ----


def named(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def chain(n: int) -> dict[str, Any]:
    """Each leads to the next."""
    return {f"S{i}": {"oneOf": [named(f"S{min(i + 1, n - 1)}"), {"type": "string"}]} for i in range(n)}


def hub(n: int) -> dict[str, Any]:
    """All lead back to one that leads to all."""
    spokes = {f"S{i}": {"oneOf": [{"type": "string"}, {"not": named("Hub")}]} for i in range(n)}
    return {**spokes, "Hub": {"anyOf": [named(name) for name in spokes]}}


def wider_hub(n: int) -> dict[str, Any]:
    """The same, and of the one everything gets wider."""
    made = hub(n)
    made["Hub"]["anyOf"].insert(0, {"propertyNames": {"maxLength": 3}})
    return made


@pytest.mark.parametrize("graph", [chain, hub, wider_hub])
def test_twice_the_schemas_are_twice_the_work(
    graph: Callable[[int], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """References are followed some times each, not once for every schema from which they can be reached."""
    followed = 0
    find = Places.find

    def counted(places: Places, ref: str, schema: Any = None) -> Pointer | None:
        nonlocal followed
        followed += 1
        return find(places, ref, schema)

    monkeypatch.setattr(Places, "find", counted)
    works: list[int] = []
    for n in (200, 400):
        followed = 0
        made = render(document({"/components/schemas": graph(n)}), "3.0")
        works.append(followed)
        assert sum(loss.lost == "oneOf" for loss in made.losses) == (n if graph is wider_hub else 0)
    assert works[1] <= 2.1 * works[0]


def test_operations_are_gone_through_once_for_all_links(monkeypatch: pytest.MonkeyPatch) -> None:
    found = 0
    lost_operations = to_31._lost_operations

    def counted(step: Step) -> set[str]:
        nonlocal found
        found += 1
        return lost_operations(step)

    monkeypatch.setattr(to_31, "_lost_operations", counted)
    links = {f"L{i}": {"operationId": "ask" if i % 2 else "look"} for i in range(20)}
    raw = document({"/paths/~1a/query": {"operationId": "ask", "responses": OK}, "/components/links": links})
    assert len(render(raw, "3.1").raw["components"]["links"]) == 10
    assert found == 1


# ---- Served ----


def plain_yaml(text: str) -> Any:
    """As any reader of YAML takes it."""
    return yaml.load(text, yaml.CSafeLoader)


@pytest.mark.parametrize("kind", ["json", "yaml"])
@pytest.mark.parametrize("base", ["/dify", "/_emulator"])
def test_every_version_is_served(server: ThreadedServer, kind: str, base: str) -> None:
    url = f"{server.url}{base}/openapi.{kind}"
    read = json.loads if kind == "json" else plain_yaml
    own = httpx.get(url)
    for version, said in {"3.2": "3.2.0", "3.2.0": "3.2.0", "3.1": "3.1.0", "3.1.1": "3.1.0", "3.0.4": "3.0.3"}.items():
        reply = httpx.get(url, params={"version": version})
        assert (reply.status_code, reply.headers["content-type"].split(";")[0]) == (200, f"application/{kind}")
        raw = read(reply.text)
        assert raw["openapi"] == said
        if version in ("3.1", "3.0.4"):
            assert mistakes(raw) == []
        assert (reply.content == own.content) is (version[:3] == "3.2")
        assert (EXTENSION in raw["info"]) is (version[:3] != "3.2")
    assert read(httpx.get(url, params={"version": "3.0"}).text) == json.loads(
        httpx.get(f"{server.url}{base}/openapi.json", params={"version": "3.0"}).text
    )


@pytest.mark.parametrize("base", ["/dify", "/_emulator"])
@pytest.mark.parametrize("asked", [["2.0"], [""], ["3.1", "3.0"], ["3.1.7"], ["3.3"]])
def test_a_version_that_there_is_not(server: ThreadedServer, base: str, asked: list[str]) -> None:
    reply = httpx.get(f"{server.url}{base}/openapi.json", params={"version": asked})
    assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")
    assert reply.json()["title"] == "Unknown version"
    assert reply.json()["available"] == ["3.2", "3.1", "3.0"]
    assert ("access-control-allow-origin" in reply.headers) is (base == "/dify")


def test_the_control_api_reads_its_query_with_care(server: ThreadedServer) -> None:
    reply = httpx.get(f"{server.url}/_emulator/openapi.json?version=%FF")
    assert (reply.status_code, reply.headers["content-type"]) == (400, "application/problem+json")


def test_the_page_at_the_root_leads_to_each_version(server: ThreadedServer) -> None:
    page = httpx.get(server.url).text
    for name in ("deskchat", "dify", "plainchat", "ruoyi", "toolchat"):
        for version in ("3.1", "3.0"):
            assert f"/{name}/openapi.json?version={version}" in page


OWN = """openapi: 3.1.0
# A comment.
info: {title: Own, version: '1'}
paths:
  /a:
    get: {operationId: getA, responses: {'200': {description: Fine., content: {application/json: {schema: SCHEMA}}}}}
"""


def test_a_spec_of_ones_own(tmp_path: Path) -> None:
    """It can be had in its own version and in older ones, and after a change the renditions are others."""
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace("SCHEMA", "{const: 1}"), "utf-8")
    with ThreadedServer(Settings(port=0, speed=0, specs=tmp_path, backends=("own",))) as running:
        url = f"{running.url}/own/openapi"
        refused = httpx.get(f"{url}.json?version=3.2")
        assert (refused.status_code, refused.json()["available"]) == (400, ["3.1", "3.0"])

        def schema(version: str) -> Any:
            raw = httpx.get(f"{url}.json?version={version}").json()
            return raw["paths"]["/a"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]

        assert schema("3.1") == {"const": 1}
        assert schema("3.0") == {"enum": [1], "type": "integer"}
        assert "# A comment." in httpx.get(f"{url}.yaml").text
        file.write_text(OWN.replace("SCHEMA", "{type: 'null'}"), "utf-8")
        assert schema("3.0") == {"enum": [1], "type": "integer"}
        running.app.services["own"].reopen()
        assert schema("3.0") == {"enum": [None], "nullable": True}
        assert "# A comment." in httpx.get(f"{url}.yaml").text


def test_the_yaml_says_what_is_served(tmp_path: Path) -> None:
    """A file that was changed and not taken is not shown."""
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace("SCHEMA", "{const: 1}"), "utf-8")
    loaded = open_document(file, own=True)
    file.write_text(OWN.replace("SCHEMA", "{const: 2}"), "utf-8")
    assert yaml.safe_load(loaded.renditions.text((), "yaml")) == loaded.raw
    gone = open_document(file, own=True)
    file.unlink()
    assert yaml.safe_load(gone.renditions.text((), "yaml")) == gone.raw


def test_a_rendition_is_made_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def counted(raw: Mapping[str, Any], version: str) -> Rendition:
        made.append(version)
        return render(raw, version)

    monkeypatch.setattr(render_module, "render", counted)
    renditions = Renditions(load(bundled("specs") / "dify.yaml"))
    texts: list[bytes] = []
    threads = [
        threading.Thread(target=lambda asked=asked: texts.append(renditions.text((asked,), "json")))
        for asked in ("3.0", "3.0.3", "3.0", "3.0.1")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == ["3.0"]
    assert len(texts) == 4 and len(set(texts)) == 1
