"""Tools about code: arithmetic, JSON laid out, lines counted."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from emulator.backends.toolchat.tools.arithmetic import Malformed, evaluate
from emulator.backends.toolchat.tools.tool import Json, Result, Tool

EXPRESSION: Json = {
    "type": "string",
    "pattern": "^[0-9.+*/() -]{1,200}$",
    "description": "只含数字、括号和四则运算符的表达式",
}
PRECISION: Json = {"type": "integer", "minimum": 0, "maximum": 12, "default": 6, "description": "保留的小数位数"}
JSON_TEXT: Json = {"type": "string", "maxLength": 10000, "description": "待格式化的 JSON 文本"}
INDENT: Json = {"type": "integer", "minimum": 0, "maximum": 8, "default": 2, "description": "缩进空格数"}
SORT_KEYS: Json = {"type": "boolean", "default": False, "description": "是否按键名排序"}
CODE: Json = {"type": "string", "maxLength": 10000, "description": "源代码"}
LANGUAGE: Json = {
    "type": "string",
    "enum": ["python", "javascript", "java"],
    "default": "python",
    "description": "编程语言",
}

MALFORMED = "表达式错误"
BY_ZERO = "除数不能为零"
NO_JSON = "JSON 格式错误"
MOST_DEPTH = 100
SURROGATE = re.compile("[\ud800-\udfff]")
FUNCTION = re.compile(
    r"(?:async\s+)?def\s+\w+"
    r"|.*\bfunction\s*\*?\s*\w+"
    r"|[\w<>\[\],.\s]*\b(?!(?:if|for|while|switch|catch|return|new)\b)\w+\s*\([^()]*\)[\w\s,]*\{"
)
"""The beginning of a line with a function: `def name`, `function name`, `name(…) {`."""
LONGEST_SIGNATURE = 300


def calculate(arguments: Json) -> Result:
    """`calculate`."""
    value, error = None, None
    try:
        # Adding nought makes of a negative one a plain one.
        value = round(evaluate(arguments["expression"]), arguments["precision"]) + 0.0
    except ZeroDivisionError:
        error = BY_ZERO
    except Malformed:
        error = MALFORMED
    return {"expression": arguments["expression"], "value": value, "error": error}


def format_json(arguments: Json) -> Result:
    """`format_json`."""
    try:
        value = json.loads(arguments["json"], parse_constant=_refused, parse_float=_finite)
        if _depth(value) > MOST_DEPTH:
            raise ValueError
    except (ValueError, RecursionError):
        return {"valid": False, "formatted": None, "error": NO_JSON}
    text = json.dumps(value, ensure_ascii=False, indent=arguments["indent"], sort_keys=arguments["sort_keys"])
    # Half a pair, which JSON can spell and UTF-8 cannot.
    text = SURROGATE.sub(lambda half: f"\\u{ord(half.group()):04x}", text)
    return {"valid": True, "formatted": text, "error": None}


def _refused(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level := [one for one in level if isinstance(one, dict | list)]:
        depth += 1
        level = [inner for one in level for inner in (one.values() if isinstance(one, dict) else one)]
    return depth


def analyze_code(arguments: Json) -> Result:
    """`analyze_code`. A line is blank, a comment, or code."""
    code: str = arguments["code"]
    lines = [line.strip() for line in code.splitlines()]
    blank = sum(not line for line in lines)
    written = [line for line in lines if line and not line.startswith(("#", "//"))]
    return {
        "language": arguments["language"],
        "lines": len(lines),
        "code_lines": len(written),
        "comment_lines": len(lines) - blank - len(written),
        "blank_lines": blank,
        "functions": sum(FUNCTION.match(line[:LONGEST_SIGNATURE]) is not None for line in written),
        "characters": len(code),
    }


TOOLS = (
    Tool(
        "calculate",
        "code",
        "计算算术表达式",
        {"expression": EXPRESSION, "precision": PRECISION},
        ("expression",),
        calculate,
    ),
    Tool(
        "format_json",
        "code",
        "格式化 JSON",
        {"json": JSON_TEXT, "indent": INDENT, "sort_keys": SORT_KEYS},
        ("json",),
        format_json,
    ),
    Tool("analyze_code", "code", "统计代码行", {"code": CODE, "language": LANGUAGE}, ("code",), analyze_code),
)
