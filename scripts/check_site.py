"""Look into the documentation that was built: `python scripts/check_site.py site`, the second half of `make docs`.

mkdocs has complained about links and orphans by then. Here it is seen that the site needs no other server, that every
page can be searched, and that what is made from specs is there.
"""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

from emulator.app import open_services
from emulator.settings import Settings

ROOT = Path(__file__).parent.parent
LOADS = {"link": "href", **dict.fromkeys(("audio", "iframe", "img", "script", "source", "video"), "src")}
"""Elements that make a browser fetch something, and where they say what."""
ELSEWHERE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
IN_STYLES = re.compile(r"(?:@import\s+|url\(\s*)[\"']?((?:https?:)?//[^\"')\s]+)")


class Loads(HTMLParser):
    """What a page makes a browser fetch from another server."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        said = dict(attrs)
        if tag == "link" and said.get("rel") in ("canonical", "next", "prev", "alternate"):
            return
        address = said.get(LOADS.get(tag, "")) or ""
        if ELSEWHERE.match(address):
            self.found.append(address)


def main(site: Path) -> int:
    """The exit code: 1 with a line for each finding."""
    findings = [*_loads(site), *_search(site), *_made(site)]
    for finding in findings:
        print(f"docs: {finding}", file=sys.stderr)
    pages = len(list(site.rglob("*.html")))
    print(f"docs: {pages} pages in {site}/, {sum(1 for one in site.rglob('*') if one.is_file())} files, all their own")
    return 1 if findings else 0


def _loads(site: Path) -> list[str]:
    found = []
    for page in sorted(site.rglob("*.html")):
        parser = Loads()
        parser.feed(page.read_text("utf-8"))
        found += [f"{page.relative_to(site)} loads {address}" for address in parser.found]
    for style in sorted(site.rglob("*.css")):
        text = style.read_text("utf-8")
        found += [f"{style.relative_to(site)} loads {address}" for address in IN_STYLES.findall(text)]
    return found


def _search(site: Path) -> list[str]:
    index = json.loads((site / "search" / "search_index.json").read_text("utf-8"))
    places = {entry["location"].partition("#")[0] for entry in index["docs"]}
    pages = {page.parent.relative_to(site).as_posix().removeprefix(".") for page in site.rglob("index.html")}
    missing = sorted(page for page in pages if (f"{page}/" if page else "") not in places)
    return [f"{page}/ cannot be searched" for page in missing]


def _made(site: Path) -> list[str]:
    found = []
    for name, service in open_services(Settings()).items():
        text = (site / "backends" / name / "index.html").read_text("utf-8")
        words = [*service.document.operations, *service.scenarios.names()]
        words += [one.value for one in service.backend.credentials] + [one.name for one in service.backend.differences]
        found += [f"backends/{name}/ says nothing of {word}" for word in words if f"<code>{word}</code>" not in text]
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
