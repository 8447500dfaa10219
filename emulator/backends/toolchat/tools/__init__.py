"""The eleven tools, and running one of them.

Names, schemas and results are ours (FACTS.md 004 knows only that there are eleven in four categories); what each does
is written beside its schema in `specs/toolchat.yaml`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from emulator.backends.toolchat.tools import code, crawler, data, weather
from emulator.backends.toolchat.tools.tool import Json, Result, Tool
from emulator.call import Violation

TOOLS: Mapping[str, Tool] = {tool.name: tool for tool in (*crawler.TOOLS, *code.TOOLS, *data.TOOLS, *weather.TOOLS)}
"""Name → tool, in the order of the categories."""


def mismatches(tool: Tool, arguments: Any) -> list[Violation]:
    """How arguments break the tool's own schema."""
    return _checker(tool.name)(arguments)


def run(tool: Tool, arguments: Json) -> Result:
    """The tool's result for arguments that fit its schema."""
    return tool.run(tool.filled(arguments))


@cache
def _checker(name: str) -> Callable[[Any], list[Violation]]:
    # openapi-core is imported when the first call is judged, not at start.
    from emulator.contract.values import checker

    return checker(TOOLS[name].parameters)
