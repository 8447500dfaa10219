"""What mkdocs does here beside what it does by itself: pages that are made, pages from the root of the repository.

Called by mkdocs (see `hooks` in mkdocs.yml). Links that lead out of `docs/` become links to pages, or plain words where
there is no page.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

# mkdocs loads a hook by its path, and knows nothing of its neighbours.
sys.path.insert(0, str(Path(__file__).parent))

import backend_pages

ROOT = Path(__file__).parent.parent
FROM_ROOT = {
    "README.md": "index.md",
    "README.zh-CN.md": "zh.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""File of the repository → page. The first is a page of its own words."""
LIST = f"{backend_pages.FOLDER}/index.md"
OPERATIONS = "<!-- the operations of the control API -->"
LINK = re.compile(r"(?<!!)\[(?P<words>[^\]\[]+)\]\((?P<to>[^()\s#]+)(?P<part>#[^()\s]*)?\)")


def on_config(config: Any) -> None:
    """Adds the pages of the backends to `nav`."""
    backends = [path for path in backend_pages.pages() if path != LIST]
    for section in config["nav"]:
        (pages,) = section.values()
        if LIST in pages:
            pages += backends


def on_files(files: Any, config: Any) -> Any:
    """Adds what is not in `docs/`."""
    from mkdocs.structure.files import File

    for path, text in backend_pages.pages().items():
        files.append(File.generated(config, path, content=text))
    for name, page in FROM_ROOT.items():
        if name != "README.md":
            files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Puts in what is made, and leads links to where things are on the site."""
    if OPERATIONS in markdown:
        markdown = markdown.replace(OPERATIONS, backend_pages.control_operations())
    name = next((name for name, to in FROM_ROOT.items() if to == page.file.src_uri), f"docs/{page.file.src_uri}")
    return relinked(markdown, name)


def relinked(markdown: str, name: str) -> str:
    """The Markdown of a file of the repository, its links led to pages. Code is left alone."""
    parts = re.split(r"(^ *```.*?^ *```$|`[^`\n]+`(?!\]))", markdown, flags=re.MULTILINE | re.DOTALL)
    # Every second part is code.
    parts[::2] = [LINK.sub(lambda found: _led(found, name), part) for part in parts[::2]]
    return "".join(parts)


def _led(found: re.Match[str], name: str) -> str:
    to, words = found["to"], found["words"]
    if "://" in to or to.startswith("mailto:"):
        return found[0]
    folder = Path(name).parent
    target = (ROOT / folder / to).resolve()
    if not target.is_relative_to(ROOT):
        return found[0]
    inside = target.relative_to(ROOT)
    page = FROM_ROOT.get(str(inside)) or (str(inside.relative_to("docs")) if inside.is_relative_to("docs") else None)
    if page is None:
        return words if target.exists() else found[0]
    up = "../" * (len(folder.relative_to("docs").parts) if folder.is_relative_to("docs") else 0)
    return f"[{words}]({up}{page}{found['part'] or ''})"
