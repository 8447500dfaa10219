"""Search hits and pages that are made up from the query or the address. Nothing is fetched, from nowhere."""

from __future__ import annotations

import random
import re

from emulator.backends.toolchat.tools.tool import Json, Result, Tool, chance, digest
from emulator.world import prose

PAGE_PATTERN = (
    r"^https?://[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){0,4}(:[0-9]{1,5})?"
    r"(/[A-Za-z0-9._~/%-]{0,200})?(\?[A-Za-z0-9._~=&%-]{0,200})?$"
)
URL: Json = {"type": "string", "pattern": PAGE_PATTERN, "description": "网页地址"}
QUERY: Json = {"type": "string", "minLength": 1, "maxLength": 200, "description": "搜索关键词"}
COUNT: Json = {"type": "integer", "minimum": 1, "maximum": 10, "default": 5, "description": "结果数量"}
MAX_LENGTH: Json = {"type": "integer", "minimum": 1, "maximum": 5000, "default": 1000, "description": "正文最大字符数"}
LIMIT: Json = {"type": "integer", "minimum": 1, "maximum": 20, "default": 10, "description": "链接数量上限"}

ORIGIN = re.compile(r"https?://[^/?\s]+")
PARAGRAPHS = (4, 12)
SECTIONS = {
    "zh": ("入门指南", "常见问题", "实践经验", "完整教程", "最新动态"),
    "en": ("a short guide", "questions and answers", "notes from practice", "the whole story", "what is new"),
}
LINK_TEXTS = ("首页", "指南", "示例", "常见问题", "更新日志", "Guide", "Examples", "Reference", "Community", "Archive")


def search(arguments: Json) -> Result:
    """`search_web`."""
    query = arguments["query"]
    return {"query": query, "results": [_hit(query, rank + 1) for rank in range(arguments["count"])]}


def _hit(query: str, rank: int) -> Result:
    key = f"{query}|{rank}"
    drawn = chance(key)
    section = drawn.choice(SECTIONS[prose.language_of(query)])
    return {
        "title": f"{query} - {section}",
        "url": f"https://example.com/{digest(key):016x}",
        "snippet": prose.answer_to(query, drawn, sentences=2),
    }


def fetch(arguments: Json) -> Result:
    """`fetch_page`."""
    url, most = arguments["url"], arguments["max_length"]
    drawn = chance(url)
    topic = prose.question(drawn, drawn.choice(("zh", "en")))
    text = _text(topic, drawn)
    return {
        "url": url,
        "status": 200,
        "title": prose.title_of(topic, drawn),
        "content": text[:most],
        "truncated": len(text) > most,
    }


def _text(topic: str, drawn: random.Random) -> str:
    return "\n\n".join(prose.answer_to(topic, drawn, sentences=5) for _ in range(drawn.randint(*PARAGRAPHS)))


def links(arguments: Json) -> Result:
    """`extract_links`."""
    url = arguments["url"]
    found = ORIGIN.match(url)
    assert found is not None
    drawn = digest(url)
    listed = [_link(found.group(), url, number) for number in range(min(arguments["limit"], 3 + drawn % 15))]
    return {"url": url, "links": listed, "total": len(listed)}


def _link(origin: str, url: str, number: int) -> Result:
    drawn = digest(f"{url}|{number}")
    return {"text": LINK_TEXTS[drawn % len(LINK_TEXTS)], "url": f"{origin}/{drawn:016x}"}


TOOLS = (
    Tool("search_web", "crawler", "搜索网页", {"query": QUERY, "count": COUNT}, ("query",), search),
    Tool("fetch_page", "crawler", "抓取网页正文", {"url": URL, "max_length": MAX_LENGTH}, ("url",), fetch),
    Tool("extract_links", "crawler", "提取网页链接", {"url": URL, "limit": LIMIT}, ("url",), links),
)
