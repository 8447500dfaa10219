"""Weather that is made up from the name of a city."""

from __future__ import annotations

from emulator.backends.toolchat.tools.tool import Json, Result, Tool, digest

CONDITIONS = ("晴", "多云", "阴", "小雨", "大雨", "雪")
CITY: Json = {"type": "string", "minLength": 1, "maxLength": 50, "description": "城市名称"}
UNIT: Json = {
    "type": "string",
    "enum": ["celsius", "fahrenheit"],
    "default": "celsius",
    "description": "温度单位",
}
DAYS: Json = {"type": "integer", "minimum": 1, "maximum": 7, "default": 3, "description": "预报天数"}


def current(arguments: Json) -> Result:
    """`get_current_weather`."""
    city, unit = arguments["city"], arguments["unit"]
    drawn = digest(city)
    return {
        "city": city,
        "unit": unit,
        "temperature": _degrees(drawn % 40 - 5, unit),
        "humidity": 20 + (drawn >> 8) % 80,
        "wind_speed": (drawn >> 16) % 40,
        "condition": _condition(drawn),
    }


def forecast(arguments: Json) -> Result:
    """`get_weather_forecast`. Day 1 is tomorrow."""
    city, unit = arguments["city"], arguments["unit"]
    return {"city": city, "unit": unit, "forecast": [_day(city, unit, day + 1) for day in range(arguments["days"])]}


def _day(city: str, unit: str, day: int) -> Result:
    drawn = digest(f"{city}|{day}")
    low = drawn % 30 - 5
    high = low + 3 + (drawn >> 8) % 10
    return {"day": day, "low": _degrees(low, unit), "high": _degrees(high, unit), "condition": _condition(drawn)}


def _condition(drawn: int) -> str:
    return CONDITIONS[(drawn >> 24) % len(CONDITIONS)]


def _degrees(celsius: int, unit: str) -> int:
    return celsius if unit == "celsius" else round(celsius * 9 / 5 + 32)


TOOLS = (
    Tool("get_current_weather", "weather", "查询城市的当前天气", {"city": CITY, "unit": UNIT}, ("city",), current),
    Tool(
        "get_weather_forecast",
        "weather",
        "查询城市的天气预报",
        {"city": CITY, "unit": UNIT, "days": DAYS},
        ("city",),
        forecast,
    ),
)
