"""Tools about data: numbers described, a table read, a text digested."""

from __future__ import annotations

import csv
import hashlib
import io
import math

from emulator.backends.toolchat.tools.tool import Json, Result, Tool

NUMBERS: Json = {
    "type": "array",
    "minItems": 1,
    "maxItems": 1000,
    "description": "待统计的数值",
    "items": {"type": "number", "minimum": -1_000_000_000_000, "maximum": 1_000_000_000_000},
}
CSV: Json = {"type": "string", "maxLength": 10000, "description": "CSV 文本"}
DELIMITER: Json = {"type": "string", "enum": [",", ";", "|", "\t"], "default": ",", "description": "分隔符"}
HAS_HEADER: Json = {"type": "boolean", "default": True, "description": "首行是否为表头"}
TEXT: Json = {"type": "string", "maxLength": 10000, "description": "待计算摘要的文本"}
ALGORITHM: Json = {
    "type": "string",
    "enum": ["md5", "sha1", "sha256"],
    "default": "sha256",
    "description": "摘要算法",
}


def describe(arguments: Json) -> Result:
    """`describe_numbers`. `stdev` is that of a whole population."""
    numbers = sorted(arguments["numbers"])
    count = len(numbers)
    mean = math.fsum(numbers) / count
    return {
        "count": count,
        "sum": math.fsum(numbers),
        "mean": mean,
        "median": (numbers[(count - 1) // 2] + numbers[count // 2]) / 2,
        "min": numbers[0],
        "max": numbers[-1],
        "stdev": math.sqrt(math.fsum((number - mean) ** 2 for number in numbers) / count),
    }


def parse_csv(arguments: Json) -> Result:
    """`parse_csv`. Blank lines are no rows; without a header the widest row says how many columns there are."""
    rows = [row for row in _rows(arguments["csv"], arguments["delimiter"]) if row]
    if rows and arguments["has_header"]:
        columns = rows.pop(0)
    else:
        columns = [f"column_{number + 1}" for number in range(max(map(len, rows), default=0))]
    return {"columns": columns, "rows": rows, "row_count": len(rows)}


def _rows(text: str, delimiter: str) -> list[list[str]]:
    try:
        return list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    except csv.Error:
        return [line.split(delimiter) for line in text.splitlines() if line]


def hash_text(arguments: Json) -> Result:
    """`hash_text`."""
    data = arguments["text"].encode("utf-8", "surrogatepass")
    digest = hashlib.new(arguments["algorithm"], data, usedforsecurity=False).hexdigest()
    return {"algorithm": arguments["algorithm"], "digest": digest, "bytes": len(data)}


TOOLS = (
    Tool("describe_numbers", "data", "统计数值", {"numbers": NUMBERS}, ("numbers",), describe),
    Tool(
        "parse_csv",
        "data",
        "解析 CSV",
        {"csv": CSV, "delimiter": DELIMITER, "has_header": HAS_HEADER},
        ("csv",),
        parse_csv,
    ),
    Tool("hash_text", "data", "计算文本摘要", {"text": TEXT, "algorithm": ALGORITHM}, ("text",), hash_text),
)
