"""The tools as the API offers them: listed, read, run by hand. Source: FACTS.md 004 (tools)."""

from __future__ import annotations

from emulator.backends import Ask
from emulator.backends.toolchat.tools import TOOLS, run
from emulator.backends.toolchat.tools.tool import CATEGORIES, Tool
from emulator.backends.toolchat.wire import mismatch, success
from emulator.call import Reply
from emulator.errors import Refused
from emulator.wire.fastapi import Detailed


def find_tool(ask: Ask) -> Tool:
    """The tool in the path. Raises Refused."""
    tool = TOOLS.get(ask.path["name"])
    if tool is None:
        raise Refused("tool_not_found")
    return tool


def list_tools(ask: Ask) -> Reply:
    """`listTools`: as one list and by category; `total` counts the list."""
    wanted = ask.query.get("category")
    shown = [tool.shown() for tool in TOOLS.values() if wanted in (None, tool.category)]
    categories = (wanted,) if wanted is not None and ask.observed("filtered_categories") else CATEGORIES
    by_category = {name: [tool for tool in shown if tool["category"] == name] for name in categories}
    return success({"tools": shown, "categorized": by_category, "total": len(shown)})


def read_tool(ask: Ask) -> Reply:
    """`getTool`."""
    return success(find_tool(ask).shown())


def execute_tool(ask: Ask) -> Reply:
    """`executeTool`. The contract knows that the body fits some tool; whether it fits this one is asked here."""
    tool = find_tool(ask)
    detail = mismatch(tool, ask.body)
    if detail:
        raise Detailed(detail, "tool_mismatch")
    return success(run(tool, ask.body))
