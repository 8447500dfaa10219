"""A rendition accepts whatever its document accepts; and where nothing was lost, no more than that."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_schema_validator import OAS30Validator
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator
from openapi_spec_validator.schemas import openapi_v30_schema_validator, openapi_v31_schema_validator
from rendition_values import CORPUS, damaged, documents, values_for

from emulator.contract.document import resolve
from emulator.contract.rendition.render import render
from emulator.contract.rendition.schema_30 import exact
from emulator.contract.rendition.to_30 import to_30
from emulator.contract.rendition.walk import look_up, pointer_text, schemas_of
from emulator.service import bundled
from emulator.source import Pointer, load

pytestmark = pytest.mark.timeout(300)
"""Many examples: on a busy machine they take their time."""

FILES = {file.stem: file for file in bundled("specs").glob("*.yaml")}
FILES["control"] = Path(__file__).parent.parent / "emulator" / "control" / "openapi.yaml"
SLOW = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.large_base_example]
DIALECTS: dict[str, Any] = {"3.2": Draft202012Validator, "3.1": Draft202012Validator, "3.0": OAS30Validator}
METASCHEMAS: dict[str, Any] = {"3.1": openapi_v31_schema_validator, "3.0": openapi_v30_schema_validator}
SPECS: dict[str, Any] = {"3.1": OpenAPIV31SpecValidator, "3.0": OpenAPIV30SpecValidator}


@cache
def document(name: str, version: str) -> Mapping[str, Any]:
    return render(load(FILES[name]), version).raw


def validator(raw: Mapping[str, Any], version: str, at: Pointer) -> Any:
    """Of the schema at a place of a document."""
    # The document is the resource that its references lead into; anchors are looked for under `$defs` only. What else
    # it has is no keyword.
    return DIALECTS[version]({**raw, "$defs": raw["components"]["schemas"], "$ref": "#" + pointer_text(at)})


def accepts(raw: Mapping[str, Any], version: str, at: Pointer, value: Any) -> bool:
    """Whether the schema at a place of a document takes a value."""
    found: bool = validator(raw, version, at).is_valid(value)
    return found


@settings(max_examples=400, deadline=None, suppress_health_check=SLOW)
@given(documents())
def test_renditions_of_any_schemas_refuse_nothing_more(raw: dict[str, Any]) -> None:
    at = ("components", "schemas", "A")
    alike = exact(to_30(raw, {}), look_up(raw, at))
    before = validator(raw, "3.2", at)
    for version in ("3.1", "3.0"):
        rendition = render(raw, version).raw
        after = validator(rendition, version, at)
        for value in CORPUS:
            was, is_now = before.is_valid(value), after.is_valid(value)
            assert is_now or not was, (version, value, rendition["components"])
            assert was or not (is_now and (alike or version == "3.1")), (version, value, rendition["components"])


@settings(max_examples=200, deadline=None, suppress_health_check=SLOW)
@given(st.data())
def test_exact_is_what_leads_to_nothing_wider(data: st.DataObject) -> None:
    """In circles too, and whichever is asked about first."""
    numbers = st.integers(0, 6)
    leads = data.draw(st.lists(st.lists(numbers, max_size=2), min_size=7, max_size=7))
    wider = data.draw(st.sets(numbers, max_size=2))
    schemas: dict[str, Any] = {}
    for i, others in enumerate(leads):
        schemas[str(i)] = {"anyOf": [{"$ref": f"#/components/schemas/{one}"} for one in others]}
        if i in wider:
            schemas[str(i)] |= data.draw(st.sampled_from([{"propertyNames": {}}, {"$ref": "other.yaml"}]))
    step = to_30({"openapi": "3.1.0", "components": {"schemas": schemas}}, {})
    for asked in data.draw(st.permutations(range(7))):
        reached, waiting = set(), [asked]
        while waiting:
            if (one := waiting.pop()) not in reached:
                reached.add(one)
                waiting += leads[one]
        assert exact(step, schemas[str(asked)]) is reached.isdisjoint(wider)


@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(documents())
def test_renditions_of_any_schemas_are_valid(raw: dict[str, Any]) -> None:
    for version in ("3.1", "3.0"):
        # The validator of whole documents would follow references in circles.
        assert [error.message for error in METASCHEMAS[version].iter_errors(render(raw, version).raw)] == []


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("version", ["3.1", "3.0"])
def test_renditions_of_the_specs_are_valid(name: str, version: str) -> None:
    raw = document(name, version)
    assert raw["openapi"].startswith(version)
    assert [error.message for error in SPECS[version](raw).iter_errors()] == []


def of_values(raw: Mapping[str, Any]) -> Iterator[Pointer]:
    """Every schema of a document that a JSON value has to fit: those with a name, and those of JSON bodies and of
    parameters."""
    for _, at in schemas_of(raw):
        named = at[:2] == ("components", "schemas") and len(at) == 3
        if named or (at[-1] == "schema" and (at[-2] == "application/json" or "parameters" in at)):
            yield at


@pytest.mark.parametrize("name", sorted(FILES))
@settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
@given(data=st.data())
def test_what_a_spec_accepts_its_renditions_accept(name: str, data: st.DataObject) -> None:
    raw = document(name, "3.2")
    at = data.draw(st.sampled_from(list(of_values(raw))))
    fitting = data.draw(values_for(raw, look_up(raw, at)))
    for value in (fitting, data.draw(damaged(fitting))):
        before = accepts(raw, "3.2", at, value)
        for version in ("3.1", "3.0"):
            after = accepts(document(name, version), version, at, value)
            assert after or not before
            if exact(to_30(raw, {}), look_up(raw, at)):
                assert before == after


@pytest.mark.parametrize("name", sorted(FILES))
def test_documented_examples_fit_every_version(name: str) -> None:
    raw = document(name, "3.2")
    seen = 0
    for at in of_values(raw):
        if at[-2:] != ("application/json", "schema"):
            continue
        for one in look_up(raw, at[:-1]).get("examples", {}).values():
            value = resolve(raw, one)["value"]
            seen += 1
            for version in DIALECTS:
                assert accepts(document(name, version), version, at, value), (version, at)
    assert seen > 3
