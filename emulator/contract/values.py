"""A JSON value held against a schema that stands in no document, such as the one of a tool's arguments.

The same validators as for bodies, so that both judge alike. Never raises for a value.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

from jsonschema_path import SchemaPath
from openapi_core.validation.schemas import oas32_schema_validators_factory
from openapi_core.validation.schemas.exceptions import InvalidSchemaValue

from emulator.call import Violation
from emulator.contract.document import close_patterns
from emulator.contract.judge import violations_of


def checker(schema: Mapping[str, Any]) -> Callable[[Any], list[Violation]]:
    """A function that tells how a value breaks `schema`, as violations of a body."""
    own = copy.deepcopy(dict(schema))
    close_patterns(own)
    path = SchemaPath.from_dict(own)
    validate = oas32_schema_validators_factory.create(path, path).validate

    def check(value: Any) -> list[Violation]:
        try:
            validate(value)
        except InvalidSchemaValue as error:
            return list(violations_of("body", error.schema_errors))
        return []

    return check
