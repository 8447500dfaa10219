"""Is a call what the contract allows? openapi-core decides; this module asks it quickly and never raises.

For every operation the deserialisers and validators of openapi-core are built once, at first use, and called with the
operation already known. Casts are made strict where Python's are not ("1_0", Arabic digits). A compiled lane that may
only say yes can be put in front of `Judge.judge` later: it takes and gives the same values.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

from jsonschema.exceptions import ValidationError
from jsonschema_path import SchemaPath
from openapi_core.casting.schemas import (
    oas30_write_schema_casters_factory,
    oas31_schema_casters_factory,
    oas32_schema_casters_factory,
)
from openapi_core.casting.schemas.exceptions import CastError
from openapi_core.deserializing.exceptions import DeserializeError
from openapi_core.deserializing.styles import style_deserializers
from openapi_core.deserializing.styles.factories import StyleDeserializersFactory
from openapi_core.schema.parameters import get_style_and_explode
from openapi_core.validation.schemas import (
    oas30_write_schema_validators_factory,
    oas31_schema_validators_factory,
    oas32_schema_validators_factory,
)
from openapi_core.validation.schemas.exceptions import InvalidSchemaValue

from emulator.call import Call, Part, Place, Violation
from emulator.contract.document import Document, Operation
from emulator.contract.door import Unreadable, media_type, read_json, read_multipart, read_query

log = logging.getLogger("emulator.contract")

# openapi-core warns of `allowEmptyValue` each time it reads one; the server view sets it on purpose.
warnings.filterwarnings("ignore", message=".*allowEmptyValue.*", category=DeprecationWarning)
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)

MOST_ERRORS = 20
"""Mistakes of one value that are looked for."""
PATTERN_END = r"\Z"
ALIAS = "x-alias"
"""Beside a parameter or a body member: another spelling of its name that the server takes as well."""

STRICT_TEXT: Mapping[str, tuple[re.Pattern[str], str]] = {
    "integer": (re.compile(r"-?[0-9]{1,400}"), "an integer"),
    "number": (re.compile(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:[eE][-+]?[0-9]{1,3})?"), "a number"),
    "boolean": (re.compile(r"true|false|1|0", re.IGNORECASE), "true or false"),
}
"""Schema type → what its text in a path or query must look like, and the words for it."""


SCALARS: Mapping[str, Callable[[str], Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": lambda text: text.lower() in ("true", "1"),
}
"""What openapi-core's casts come to for one plain value, once its text is known to be strict."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a call says, and how it breaks the contract.

    `path` and `query` hold the values of documented parameters, cast, with the documented defaults of what is left
    out; `body` is the JSON value or the form's fields by name, with the documented defaults of its members; `parts`
    are the parts of a multipart body. With violations the values are only as far as they could be read.
    """

    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: Any
    parts: tuple[Part, ...] = ()
    violations: tuple[Violation, ...] = ()


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    alias: str | None
    place: Place
    required: bool
    default: Any
    type: str | None
    array: bool
    deserialize: Callable[[Mapping[str, Any]], Any]
    validate: Callable[[Any], None]


@dataclass(frozen=True, slots=True)
class _Body:
    required: bool
    media: Mapping[str, Callable[[Any], None] | None]
    defaults: Mapping[str, Mapping[str, Any]]
    arrays: Mapping[str, frozenset[str]]
    aliases: Mapping[str, Mapping[str, str]]
    longest: Mapping[str, Mapping[str, int]]


@dataclass(frozen=True)
class Tools:
    """The factories of openapi-core for one version of OpenAPI, and the document as it reads it."""

    spec: SchemaPath
    validators: Any
    casters: Any

    @cached_property
    def styles(self) -> Any:
        """Deserialisers by style."""
        return StyleDeserializersFactory(self.casters, style_deserializers=style_deserializers)

    def validator(self, schema: SchemaPath) -> Callable[[Any], None]:
        """A function that raises InvalidSchemaValue."""
        validator = self.validators.create(self.spec, schema).validator

        def validate(value: Any) -> None:
            # As openapi-core does it, but for a bound: a body of many wrong items is told in part.
            errors = tuple(islice(validator.iter_errors(value), MOST_ERRORS))
            if errors:
                raise InvalidSchemaValue(value, "any", schema_errors=errors)

        return validate


def tools_for(document: Document) -> Tools:
    """openapi-core's parts for the document's version."""
    version = str(document.raw["openapi"])[:3]
    validators, casters = {
        "3.0": (oas30_write_schema_validators_factory, oas30_write_schema_casters_factory),
        "3.1": (oas31_schema_validators_factory, oas31_schema_casters_factory),
    }.get(version, (oas32_schema_validators_factory, oas32_schema_casters_factory))
    spec = SchemaPath.from_dict(document.view, resolved_cache_maxsize=4096)
    return Tools(spec, validators, casters)


def schema_path(spec: SchemaPath, pointer: Iterable[str | int]) -> SchemaPath:
    """The place in the document at `pointer`."""
    path = spec
    for part in pointer:
        path = path / part
    return path


class Judge:
    """Judges the calls of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._tools = tools_for(document)
        self._cases: dict[str, _Case] = {}

    @property
    def tools(self) -> Tools:
        """What replies and events are checked with, too."""
        return self._tools

    def judge(self, operation: Operation, call: Call, path_values: Mapping[str, str]) -> Judgement:
        """Hold a call against its operation. Never raises: what cannot be judged is a violation."""
        try:
            case = self._cases.get(operation.id)
            if case is None:
                case = self._cases[operation.id] = _Case(self._document, operation, self._tools)
            return case.judge(call, path_values)
        except Exception as error:
            log.exception("openapi-core could not judge %s", operation.id)
            violation = Violation(
                "body", "", "judge", "something that can be judged", f"{type(error).__name__}: {error}"
            )
            return Judgement({}, {}, None, (), (violation,))


class _Case:
    """One operation, prebuilt."""

    def __init__(self, document: Document, operation: Operation, tools: Tools) -> None:
        self._parameters = [
            parameter
            for parameter in (_parameter(document, tools, raw) for raw in _with_paths(operation, tools.spec))
            if parameter is not None
        ]
        self._body = _body(document, operation, tools)

    def judge(self, call: Call, path_values: Mapping[str, str]) -> Judgement:
        violations: list[Violation] = []
        try:
            query = read_query(call.query)
        except Unreadable as error:
            violations.append(Violation("query", "", "decode", "a query string in UTF-8", str(error)))
            query = {}
        values: dict[Place, dict[str, Any]] = {"path": {}, "query": {}, "header": {}, "body": {}}
        for parameter in self._parameters:
            raw = _raw(parameter, path_values, query, call.headers)
            if raw is None:
                if parameter.required:
                    where = _pointer((parameter.name,))
                    violations.append(Violation(parameter.place, where, "required", "a value", "nothing"))
                elif parameter.default is not None:
                    values[parameter.place][parameter.name] = parameter.default
                continue
            violation, value = _read_parameter(parameter, raw)
            if violation is None:
                values[parameter.place][parameter.name] = value
            else:
                violations.append(violation)
        body: Any = None
        parts: tuple[Part, ...] = ()
        if self._body is not None:
            body, parts, found = _read_body(self._body, call)
            violations += found
        return Judgement(values["path"], values["query"], body, parts, tuple(violations))


def _with_paths(operation: Operation, spec: SchemaPath) -> Iterable[SchemaPath]:
    """The operation's parameters as openapi-core sees them, those of the path item first, the last of a name wins."""
    item = spec / "paths" / operation.path
    found: dict[tuple[str, str], SchemaPath] = {}
    for owner in (item, item / operation.method.lower()):
        if "parameters" in owner:
            for parameter in owner / "parameters":
                found[((parameter / "in").read_str(), (parameter / "name").read_str())] = parameter
    return found.values()


def _parameter(document: Document, tools: Tools, path: SchemaPath) -> _Parameter | None:
    place = (path / "in").read_str()
    name = (path / "name").read_str()
    if place not in ("path", "query", "header") or "schema" not in path:
        return None
    with path.resolve() as resolved:
        raw: Any = resolved.contents
    schema = document.resolve(raw["schema"])
    style, explode = get_style_and_explode(path)
    deserializer = tools.styles.create(tools.spec, path / "schema", style, explode, name=name)
    kind = schema.get("type") if isinstance(schema, Mapping) else None
    return _Parameter(
        name=name,
        alias=raw.get(ALIAS),
        place=place,  # type: ignore[arg-type]  # one of the three, see above
        required=bool(raw.get("required", False)),
        default=schema.get("default") if isinstance(schema, Mapping) else None,
        type=kind if isinstance(kind, str) else None,
        array=kind == "array",
        deserialize=deserializer.deserialize,
        validate=tools.validator(path / "schema"),
    )


def _raw(
    parameter: _Parameter, path: Mapping[str, str], query: Mapping[str, list[str]], headers: Mapping[str, str]
) -> str | list[str] | None:
    if parameter.place == "query":
        return query.get(parameter.name) or (query.get(parameter.alias) if parameter.alias else None)
    if parameter.place == "path":
        return path.get(parameter.name)
    return headers.get(parameter.name.lower())


def _read_parameter(parameter: _Parameter, raw: str | list[str]) -> tuple[Violation | None, Any]:
    where, kind = _pointer((parameter.name,)), parameter.type or ""
    if isinstance(raw, list) and not parameter.array:
        if len(raw) > 1:
            return Violation(parameter.place, where, "type", "one value", f"{len(raw)} values"), None
        raw = raw[0]
    if isinstance(raw, str) and kind in STRICT_TEXT:
        pattern, words = STRICT_TEXT[kind]
        if not pattern.fullmatch(raw):
            return Violation(parameter.place, where, "type", words, _shown(raw)), None
    try:
        if isinstance(raw, str) and kind in SCALARS:
            value = SCALARS[kind](raw)
        else:
            value = parameter.deserialize({parameter.name: raw})
        parameter.validate(value)
    except InvalidSchemaValue as error:
        return next(iter(violations_of(parameter.place, error.schema_errors, (parameter.name,)))), None
    except (CastError, DeserializeError):
        return Violation(parameter.place, where, "type", parameter.type or "another form", _shown(raw)), None
    return None, value


def _body(document: Document, operation: Operation, tools: Tools) -> _Body | None:
    if operation.request_body is None:
        return None
    path = tools.spec / "paths" / operation.path / operation.method.lower() / "requestBody" / "content"
    media: dict[str, Callable[[Any], None] | None] = {}
    defaults: dict[str, dict[str, Any]] = {}
    arrays: dict[str, frozenset[str]] = {}
    aliases: dict[str, dict[str, str]] = {}
    longest: dict[str, dict[str, int]] = {}
    for name, content in operation.request_body.get("content", {}).items():
        schema = document.resolve(content.get("schema"))
        media[name.lower()] = tools.validator(path / name / "schema") if schema is not None else None
        members = schema.get("properties", {}) if isinstance(schema, Mapping) else {}
        resolved = {member: document.resolve(one) for member, one in members.items()}
        defaults[name.lower()] = {
            member: one["default"] for member, one in resolved.items() if isinstance(one, Mapping) and "default" in one
        }
        arrays[name.lower()] = frozenset(
            member for member, one in resolved.items() if isinstance(one, Mapping) and one.get("type") == "array"
        )
        aliases[name.lower()] = {
            one[ALIAS]: member for member, one in members.items() if isinstance(one, Mapping) and ALIAS in one
        }
        longest[name.lower()] = {
            member: one["maxItems"]
            for member, one in resolved.items()
            if isinstance(one, Mapping) and "maxItems" in one
        }
    required = bool(operation.request_body.get("required", False))
    return _Body(required, media, defaults, arrays, aliases, longest)


def _read_body(body: _Body, call: Call) -> tuple[Any, tuple[Part, ...], list[Violation]]:
    content_type = call.headers.get("content-type", "")
    if not call.body and not body.required:
        return None, (), []
    media = _find_media(body.media, media_type(content_type))
    if media is None:
        wanted, got = f"Content-Type {' or '.join(body.media)}", _shown(content_type) if content_type else "none"
        return None, (), [Violation("body", "", "media_type", wanted, got)]
    try:
        value, parts = _decoded(call.body, content_type, media, body.arrays[media])
    except Unreadable as error:
        rule = "multipart" if media.startswith("multipart/") else "json"
        return None, (), [Violation("body", "", rule, f"a body of {media}", str(error))]
    if isinstance(value, dict):
        for alias, member in body.aliases[media].items():
            if alias in value and member not in value:
                value[member] = value.pop(alias)
        for member, most in body.longest[media].items():
            # Before its items are looked at one by one.
            if isinstance(value.get(member), list) and len(value[member]) > most:
                wanted = f"at most {most} items"
                return value, parts, [Violation("body", f"/{member}", "maxItems", wanted, _shown(value[member]))]
    validate = body.media[media]
    if validate is not None:
        try:
            validate(value)
        except InvalidSchemaValue as error:
            return value, parts, list(violations_of("body", error.schema_errors))
    if isinstance(value, dict):
        for member, default in body.defaults[media].items():
            value.setdefault(member, default)
    return value, parts, []


def _decoded(raw: bytes, content_type: str, media: str, arrays: frozenset[str]) -> tuple[Any, tuple[Part, ...]]:
    """The value that a body of a known media type says, and its parts. Raises Unreadable."""
    if media.startswith("multipart/"):
        parts = tuple(read_multipart(raw, content_type))
        return _fields(parts, arrays), parts
    if media == "application/x-www-form-urlencoded":
        form = read_query(raw)
        return {field: values if field in arrays else values[0] for field, values in form.items()}, ()
    if media == "application/json" or media.endswith("+json"):
        return read_json(raw), ()
    return raw, ()


def _find_media(known: Mapping[str, Any], name: str) -> str | None:
    if name in known:
        return name
    if name.endswith("+json") and "application/json" in known:
        return "application/json"
    main = name.partition("/")[0]
    return next((pattern for pattern in (f"{main}/*", "*/*") if name and pattern in known), None)


def _fields(parts: tuple[Part, ...], arrays: frozenset[str]) -> dict[str, Any]:
    """A form as an object: text for plain fields, bytes for files; a name that may stand several times is a list."""
    found: dict[str, Any] = {}
    for part in parts:
        value: Any = part.data if part.filename is not None else part.data.decode("utf-8", "replace")
        if part.name in arrays:
            found.setdefault(part.name, []).append(value)
        else:
            found.setdefault(part.name, value)
    return found


def violations_of(
    place: Place, errors: Iterable[ValidationError], prefix: tuple[str | int, ...] = ()
) -> Iterable[Violation]:
    """jsonschema's errors in our words; of a choice (`anyOf`, `oneOf`) the branch that came nearest."""
    seen: set[tuple[str, str]] = set()
    for error in errors:
        for one in _nearest(error):
            for violation in _words(place, one, prefix):
                if (violation.pointer, violation.rule) not in seen:
                    seen.add((violation.pointer, violation.rule))
                    yield violation


def _nearest(error: ValidationError) -> list[ValidationError]:
    if error.validator not in ("anyOf", "oneOf") or not error.context:
        return [error]
    branches: dict[Any, list[ValidationError]] = {}
    for inner in error.context:
        branches.setdefault(inner.schema_path[0], []).append(inner)
    depth = len(error.absolute_path)
    deeper = [errors for errors in branches.values() if all(len(one.absolute_path) > depth for one in errors)]
    if len(deeper) == 1:
        return [leaf for one in deeper[0] for leaf in _nearest(one)]
    return [error]


def _words(place: Place, error: ValidationError, prefix: tuple[str | int, ...]) -> Iterable[Violation]:
    path = (*prefix, *error.absolute_path)
    rule, wanted, got = str(error.validator), error.validator_value, error.instance
    if rule == "required" and isinstance(got, Mapping):
        for name in wanted:
            if name not in got:
                yield Violation(place, _pointer((*path, name)), rule, "a value", "nothing")
        return
    yield Violation(place, _pointer(path), rule, _expected(rule, wanted, error), _shown(got))


def _expected(rule: str, wanted: Any, error: ValidationError) -> str:
    match rule:
        case "type":
            return " or ".join(_article(one) for one in ([wanted] if isinstance(wanted, str) else wanted))
        case "enum":
            return "one of " + ", ".join(_shown(one) for one in wanted)
        case "const":
            return _shown(wanted)
        case "format":
            return f"the format {wanted}"
        case "pattern":
            return f"text that matches {wanted.removesuffix(PATTERN_END) + '$' * wanted.endswith(PATTERN_END)}"
        case "minimum":
            return f"at least {wanted}"
        case "maximum":
            return f"at most {wanted}"
        case "minLength":
            return f"at least {wanted} character{'s' * (wanted != 1)}"
        case "maxLength":
            return f"at most {wanted} characters"
        case "minItems":
            return f"at least {wanted} item{'s' * (wanted != 1)}"
        case "maxItems":
            return f"at most {wanted} items"
        case "additionalProperties":
            return "no other members than " + ", ".join(error.schema.get("properties", ()))
        case "anyOf" | "oneOf":
            words = {_branch(one) for one in wanted if isinstance(one, Mapping)} - {""}
            return " or ".join(sorted(words)) or "one of several forms"
        case _:
            return str(error.message)[:200]


def _branch(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if "enum" in schema:
        return "one of " + ", ".join(_shown(one) for one in schema["enum"])
    if "const" in schema:
        return _shown(schema["const"])
    if "format" in schema:
        return f"the format {schema['format']}"
    return _article(kind) if isinstance(kind, str) else ""


def _article(kind: str) -> str:
    if kind == "null":
        return kind
    return f"{'an' if kind[0] in 'aio' else 'a'} {kind}"


def _shown(value: Any) -> str:
    """A value in few words, for people."""
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    text = ascii(value) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _pointer(path: Iterable[str | int]) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)
