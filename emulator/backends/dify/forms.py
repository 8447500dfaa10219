"""Input forms: what an app asks for before it answers. Source: FACTS.md 002 §2 "Inputs"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emulator.backends.dify.apps import App, Control
from emulator.errors import Refused


def checked(app: App, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs that the app's form knows, with defaults for what is left out. Raises Refused `invalid_param`."""
    return {control.variable: _checked(control, inputs.get(control.variable)) for control in app.form}


def _checked(control: Control, value: Any) -> Any:
    name = control.variable
    if value is None or value == "":
        if control.required:
            raise Refused("invalid_param", f"{name} is required in input form")
        return control.default
    if not isinstance(value, str):
        raise Refused("invalid_param", f"(type '{control.kind}') {name} in input form must be a string")
    if control.kind == "select" and value not in control.options:
        listed = "[" + ", ".join(f"'{option}'" for option in control.options) + "]"
        raise Refused("invalid_param", f"{name} in input form must be one of the following: {listed}")
    if control.max_length is not None and len(value) > control.max_length:
        raise Refused("invalid_param", f"{name} in input form must be less than {control.max_length} characters")
    return value


def filled_in(text: str, inputs: Mapping[str, Any]) -> str:
    """A text with `{{variable}}` replaced by the inputs."""
    for name, value in inputs.items():
        text = text.replace("{{" + name + "}}", str(value))
    return text
