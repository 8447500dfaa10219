"""OpenAPI 3.1 → 3.0: webhooks, path items as components and what else came with 3.1. Schemas are in `schema_30`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.contract.rendition import schema_30
from emulator.contract.rendition.walk import GONE, SECTIONS, Step
from emulator.source import Pointer

VERSION = "3.0.3"

LOST = {
    "info summary": ("`summary` of the API", "`x-summary`; the description too where there is none"),
    "licence identifier": ("`identifier` of the licence", "`url`, its page at spdx.org"),
    "webhooks": ("`webhooks`", "`x-webhooks`"),
    "jsonSchemaDialect": ("`jsonSchemaDialect`", "nothing"),
    "path item in itself": ("a path item that leads back to itself through a callback", "nothing, the second time"),
    "reference text": ("`summary` or `description` beside a reference", "those of what it leads to"),
    "mutualTLS": ("the security scheme `mutualTLS`", "nothing; the other schemes stay"),
    "roles": ("roles that a security scheme asks for, if it is neither OAuth 2 nor OpenID", "nothing"),
    "discriminator extension": ("an extension of a discriminator", "nothing"),
    **schema_30.LOST,
}
"""What 3.0 cannot say → (what is lost, what stands in its place)."""

SCOPED = ("oauth2", "openIdConnect")


def to_30(raw: Mapping[str, Any], came_from: dict[int, Pointer]) -> Step:
    """The step for one document; `run` gives the rendition."""
    return Step(raw, RULES, schema_30.rewrite, _refer, came_from)


def _openapi(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    made["openapi"] = VERSION
    made.setdefault("paths", {})
    if made.pop("jsonSchemaDialect", None) is not None:
        step.lose((*at, "jsonSchemaDialect"), "jsonSchemaDialect")
    if "webhooks" in made:
        made["x-webhooks"] = made.pop("webhooks")
        for name, item in made["x-webhooks"].items():
            step.stood(item, (*at, "webhooks", name))
        step.lose((*at, "webhooks"), "webhooks")
    return made


def _info(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    if "summary" in made:
        step.lose((*at, "summary"), "info summary")
        made["x-summary"] = made.pop("summary")
        made.setdefault("description", made["x-summary"])
    return made


def _license(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    if "identifier" in made:
        step.lose((*at, "identifier"), "licence identifier")
        made["url"] = f"https://spdx.org/licenses/{made.pop('identifier')}.html"
    return made


def _components(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    # Each path item stands where it is used.
    made.pop("pathItems", None)
    return made


def _operation(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    made.setdefault("responses", {"default": {"description": ""}})
    return made


def _security_scheme(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    if made.get("type") == "mutualTLS":
        step.lose(at, "mutualTLS")
        return GONE
    return made


def _requirement(step: Step, made: dict[str, Any], at: Pointer) -> Any:
    found: dict[str, Any] = {}
    for name, scopes in made.items():
        kind = _scheme(step, name).get("type")
        if kind == "mutualTLS":
            continue
        if scopes and kind not in (*SCOPED, None):
            step.lose((*at, name), "roles")
            found[name] = []
        else:
            found[name] = scopes
    return found


def _scheme(step: Step, name: str) -> Mapping[str, Any]:
    scheme = step.raw.get("components", {}).get("securitySchemes", {}).get(name, {})
    for _ in range(32):
        target = step.target(scheme["$ref"]) if "$ref" in scheme else None
        if target is None:
            break
        scheme = step.at(target)
    found: Mapping[str, Any] = scheme
    return found


def _refer(step: Step, kind: str, value: Mapping[str, Any], at: Pointer) -> Any:
    """A reference without anything beside it. 3.0 has no path items among the components, and what stands elsewhere may
    have changed its shape, so that these stand where they are used."""
    target = step.target(value["$ref"])
    if kind == "path_item":
        return _path_item(step, value, target, at)
    for name in ("summary", "description"):
        if name in value:
            step.lose((*at, name), "reference text")
    if target is None:
        return {"$ref": value["$ref"]}
    if target[:2] != ("components", SECTIONS[kind]) or len(target) != 3:
        return step.rewrite(kind, step.at(target), target)
    if kind == "security_scheme" and _scheme(step, str(target[2])).get("type") == "mutualTLS":
        return GONE
    return {"$ref": value["$ref"]}


def _path_item(step: Step, value: Mapping[str, Any], target: Pointer | None, at: Pointer) -> Any:
    beside = {name: one for name, one in value.items() if name != "$ref"}
    step.inside("path_item", beside, at)
    if target is None:
        return {"$ref": value["$ref"], **beside}
    if target in step.within:
        step.lose(at, "path item in itself")
        return {}
    step.within.append(target)
    made = step.rewrite("path_item", step.at(target), target)
    step.within.pop()
    return {**made, **beside}


RULES = {
    "openapi": _openapi,
    "info": _info,
    "license": _license,
    "components": _components,
    "operation": _operation,
    "security_scheme": _security_scheme,
    "requirement": _requirement,
}
