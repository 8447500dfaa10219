"""What the assistant does of its own accord: which tool a question wants, and how the answer tells what it gave.

The same question at the same turn of a conversation with the same model gets the same answer, streamed or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from emulator.backends.toolchat.records import Conversation
from emulator.backends.toolchat.tools import TOOLS, run
from emulator.backends.toolchat.tools.arithmetic import Malformed, evaluate
from emulator.backends.toolchat.tools.crawler import PAGE_PATTERN
from emulator.streams.steps import Say, Step, ToolCall, ToolResult, Wait
from emulator.world import prose
from emulator.world.phrases import Language
from emulator.world.seed import Seed

READ_CHARACTERS = 600
FIRST_SECONDS = 0.35
THINKING_SECONDS = 1.2
TOOL_SECONDS = 0.6
LONGEST_QUERY = 80

Arguments = dict[str, Any]
Result = Mapping[str, Any]

WEATHER = re.compile(r"天气|气温|预报|\b(?:weather|forecast)\b", re.IGNORECASE)
AHEAD: Mapping[re.Pattern[str], int | None] = {
    re.compile(r"明天|\btomorrow\b", re.IGNORECASE): 1,
    re.compile(r"后天"): 2,
    re.compile(r"周|星期|\bweek(?:end)?\b", re.IGNORECASE): 7,
    re.compile(r"([2-7])\s*(?:天|days?\b)", re.IGNORECASE): None,
    re.compile(r"未来|几天|预报|\b(?:forecast|next|days)\b", re.IGNORECASE): 3,
}
"""Weather to come → how many days of it; None is the number that stands there."""
FAHRENHEIT = re.compile(r"华氏|fahrenheit", re.IGNORECASE)
CHINESE_NOISE = re.compile(
    "今天|今晚|明天|后天|现在|最近|目前|未来|这周|本周|下周|周末|这几天|几天|[0-9]+ *天|这边|那边|的|市"
    "|你好|请问|请|帮我|帮忙|告诉我|我想知道|想知道|我想|我要|我|查询|查一下|查查|查|看一下|看看|看|问一下|一下|去|在"
)
"""What stands beside the name of a city and is no part of it."""
CHINESE_NAME = re.compile("[\u4e00-\u9fff]{2,6}$")
ENGLISH_CITY = re.compile(r"\b(?:in|for|at|of)\s+([A-Z][A-Za-z'-]{1,20}(?:\s[A-Z][A-Za-z'-]{1,20}){0,2})")
CALCULATES = re.compile(r"计算|算|等于|多少|=|\b(?:calculate|compute|what is|what's|how much)\b", re.IGNORECASE)
ARITHMETIC = re.compile(r"[0-9.+*/() -]{3,200}")
OPERATION = re.compile(r"[0-9)] *[+*/-]")
SIGNS = str.maketrans("×÷（）＋－＊／−", "*/()+-*/-")
SEARCHES = re.compile(
    r"(?:搜索|搜一下|搜|查找|查一下|查询)(?:一下)?|\b(?:search(?: the web)?(?: for)?|look up|find out about)\b",
    re.IGNORECASE,
)
SENTENCE_END = re.compile(r"[。！？!?\n]")
PAGE = re.compile(PAGE_PATTERN.strip("^$"))

SKIES: Mapping[str, str] = {
    "晴": "clear",
    "多云": "cloudy",
    "阴": "overcast",
    "小雨": "light rain",
    "大雨": "heavy rain",
    "雪": "snow",
}
UNITS: Mapping[str, str] = {"celsius": "°C", "fahrenheit": "°F"}
LOOKS_UP: Mapping[Language, str] = {"zh": "我查一下。", "en": "Let me look that up. "}
WORKS_OUT: Mapping[Language, str] = {"zh": "我算一下。", "en": "Let me work that out. "}
THOUGHTS: Mapping[Language, tuple[str, ...]] = {
    "zh": (
        "用户在问“{topic}”。先弄清楚最需要的是什么，再用几句话回答。",
        "问题是关于“{topic}”的。有合适的工具就先用工具，然后简短地说明结果。",
        "先想想“{topic}”的重点，避免说得太多。",
    ),
    "en": (
        'The user asks about "{topic}". A short answer with one concrete step will help most.',
        'This is about "{topic}". If a tool fits I use it first, then I say what came out in plain words.',
        'I should keep to the point of "{topic}" and not say too much.',
    ),
}


@dataclass(frozen=True, slots=True)
class Skill:
    """One tool that the assistant knows when to use: `read` finds its arguments in a question, None when it is no
    question for it; `lead` is said before the call, `tell` says in words what the tool gave."""

    tool: str
    read: Callable[[str], Arguments | None]
    tell: Callable[[Result, Language], str]
    lead: Mapping[Language, str]


def answer(seed: Seed, conversation: Conversation, question: str, tools_enabled: bool) -> tuple[Step, ...]:
    """The steps of the answer to the next question of a conversation."""
    language = prose.language_of(question)
    first = Wait(THINKING_SECONDS if conversation.thinking_enabled else FIRST_SECONDS)
    chosen = choose(question[:READ_CHARACTERS]) if tools_enabled else None
    if chosen is None:
        rng = seed.rng("answer", f"{conversation.model}\x00{conversation.turns}\x00{question}")
        return (first, Say(prose.answer_to(question, rng)))
    skill, arguments = chosen
    result = run(TOOLS[skill.tool], arguments)
    return (
        first,
        Say(skill.lead[language]),
        ToolCall(skill.tool, arguments),
        Wait(TOOL_SECONDS),
        ToolResult(result),
        Wait(FIRST_SECONDS),
        Say(skill.tell(result, language)),
    )


def thought(seed: Seed, question: str) -> str:
    """What the assistant thinks before it answers."""
    rng = seed.rng("thought", question)
    topic = prose.title_of(question, rng)
    return rng.choice(THOUGHTS[prose.language_of(question)]).format(topic=topic)


def choose(question: str) -> tuple[Skill, Arguments] | None:
    """The tool that a question wants, and its arguments; None when it wants none."""
    for skill in SKILLS:
        arguments = skill.read(question)
        if arguments is not None:
            return skill, arguments
    return None


def _page(question: str) -> Arguments | None:
    found = PAGE.search(question)
    return None if found is None else {"url": found.group()}


def _now(question: str) -> Arguments | None:
    return None if WEATHER.search(question) is None else _place(question)


def _ahead(question: str) -> Arguments | None:
    days = _days_ahead(question) if WEATHER.search(question) is not None else None
    return None if days is None else {**_place(question), "days": days}


def _days_ahead(question: str) -> int | None:
    """For how many days to come a question asks; None when it asks about now."""
    for pattern, days in AHEAD.items():
        found = pattern.search(question)
        if found is not None:
            return int(found.group(1)) if days is None else days
    return None


def _place(question: str) -> Arguments:
    place: Arguments = {"city": _city(question)}
    if FAHRENHEIT.search(question) is not None:
        place["unit"] = "fahrenheit"
    return place


def _city(question: str) -> str:
    """The city that a question names; Beijing, in its language, when it names none."""
    found = ENGLISH_CITY.search(question)
    if found is not None:
        return found.group(1)
    named = CHINESE_NAME.search(CHINESE_NOISE.sub("", WEATHER.split(question)[0]))
    if named is not None:
        return named.group()
    return "北京" if prose.language_of(question) == "zh" else "Beijing"


def _sum(question: str) -> Arguments | None:
    text = question.translate(SIGNS)
    asks = CALCULATES.search(text) is not None
    for found in ARITHMETIC.finditer(text):
        expression = found.group().strip()
        if OPERATION.search(expression) is not None and (asks or expression == text.strip()) and _sound(expression):
            return {"expression": expression}
    return None


def _sound(expression: str) -> bool:
    try:
        evaluate(expression)
    except Malformed:
        return False
    except ZeroDivisionError:
        return True
    return True


def _query(question: str) -> Arguments | None:
    found = SEARCHES.search(question)
    if found is None:
        return None
    rest = SENTENCE_END.split(question[found.end() :])[0]
    query = " ".join(rest.split()).strip(" ,.:;，、：；\"'“”")[:LONGEST_QUERY].strip()
    return {"query": query, "count": 3} if query else None


def _tell_page(result: Result, language: Language) -> str:
    gist = result["content"].split("\n")[0]
    return f"这个网页讲的是“{result['title']}”。{gist}" if language == "zh" else f"“{result['title']}”: {gist}"


def _tell_now(result: Result, language: Language) -> str:
    unit = UNITS[result["unit"]]
    if language == "zh":
        return (
            f"{result['city']}现在{result['condition']}，气温 {result['temperature']}{unit}，"
            f"湿度 {result['humidity']}%，风速每小时 {result['wind_speed']} 公里。"
        )
    return (
        f"In {result['city']} it is {SKIES[result['condition']]} now, {result['temperature']}{unit}, with "
        f"{result['humidity']}% humidity and wind of {result['wind_speed']} km/h."
    )


def _tell_ahead(result: Result, language: Language) -> str:
    unit = UNITS[result["unit"]]
    if language == "zh":
        lines = [
            f"- 第 {day['day']} 天：{day['condition']}，{day['low']} 至 {day['high']}{unit}" for day in _days(result)
        ]
        return f"{result['city']}的天气预报：\n\n" + "\n".join(lines)
    lines = [
        f"- day {day['day']}: {SKIES[day['condition']]}, {day['low']} to {day['high']}{unit}" for day in _days(result)
    ]
    return f"The forecast for {result['city']}:\n\n" + "\n".join(lines)


def _days(result: Result) -> list[Mapping[str, Any]]:
    days: list[Mapping[str, Any]] = result["forecast"]
    return days


def _tell_sum(result: Result, language: Language) -> str:
    if result["error"] is not None:
        return "这个式子没有结果：除数不能为零。" if language == "zh" else "That has no value: it divides by zero."
    value = f"{result['value']:.12g}"
    return f"{result['expression']} = {value}。" if language == "zh" else f"{result['expression']} = {value}."


def _tell_hits(result: Result, language: Language) -> str:
    lead = "找到了这些结果：" if language == "zh" else "This is what I found:"
    return f"{lead}\n\n" + "\n".join(f"- [{hit['title']}]({hit['url']})" for hit in result["results"])


SKILLS = (
    Skill("fetch_page", _page, _tell_page, LOOKS_UP),
    Skill("get_weather_forecast", _ahead, _tell_ahead, LOOKS_UP),
    Skill("get_current_weather", _now, _tell_now, LOOKS_UP),
    Skill("calculate", _sum, _tell_sum, WORKS_OUT),
    Skill("search_web", _query, _tell_hits, LOOKS_UP),
)
"""In the order in which they are asked."""
