"""The `usage` object of Dify's answers: tokens, their prices as text, durations in seconds.

Source: FACTS.md 002 §2 (members and their order, prices as decimal text).
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

PROMPT_PRICE = Decimal("0.001")
COMPLETION_PRICE = Decimal("0.002")
PRICE_UNIT = Decimal("0.001")
PLACES = Decimal("0.0000001")
FRAME_TOKENS = 24
"""What an app's own prompt adds to the question."""
ZERO_USAGE: Mapping[str, Any] = {
    "prompt_tokens": 0,
    "prompt_unit_price": "0.0",
    "prompt_price_unit": "0.0",
    "prompt_price": "0.0",
    "completion_tokens": 0,
    "completion_unit_price": "0.0",
    "completion_price_unit": "0.0",
    "completion_price": "0.0",
    "total_tokens": 0,
    "total_price": "0.0",
    "currency": "USD",
    "latency": 0.0,
    "time_to_first_token": None,
    "time_to_generate": None,
}
"""The usage of an answer that no model was asked for."""


def usage(prompt: int, completion: int, seconds: float, first: float | None) -> dict[str, Any]:
    """What an answer of `completion` tokens to `prompt` tokens took. `first` is when its first piece came, None when
    there was none."""
    prompt_price = (prompt * PROMPT_PRICE * PRICE_UNIT).quantize(PLACES)
    completion_price = (completion * COMPLETION_PRICE * PRICE_UNIT).quantize(PLACES)
    return {
        "prompt_tokens": prompt,
        "prompt_unit_price": str(PROMPT_PRICE),
        "prompt_price_unit": str(PRICE_UNIT),
        "prompt_price": f"{prompt_price:f}",
        "completion_tokens": completion,
        "completion_unit_price": str(COMPLETION_PRICE),
        "completion_price_unit": str(PRICE_UNIT),
        "completion_price": f"{completion_price:f}",
        "total_tokens": prompt + completion,
        "total_price": f"{prompt_price + completion_price:f}",
        "currency": "USD",
        "latency": round(seconds, 3),
        "time_to_first_token": None if first is None else round(first, 3),
        "time_to_generate": None if first is None else round(seconds - first, 3),
    }
