"""Write docs/openapi-versions.md from the rules, the specs and the generators: `python scripts/rendition_docs.py`.
A test holds them together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from emulator.contract.rendition import to_30, to_31
from emulator.contract.rendition.render import EXTENSION, LOST, PATCHES, VERSIONS, render
from emulator.source import load

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs" / "openapi-versions.md"
CLIENTS = ROOT / "examples" / "generated-clients"

HEAD = """# OpenAPI 3.2, 3.1 and 3.0

The specs are OpenAPI 3.2, because only 3.2 can say what one event of a stream is. Many tools do not read it yet, so
each spec is served in older versions too. Made by `scripts/rendition_docs.py`.

```console
$ curl 'http://127.0.0.1:8787/dify/openapi.json?version=3.1'
$ curl 'http://127.0.0.1:8787/dify/openapi.yaml?version=3.0'
```

The same goes for the control API: `/_emulator/openapi.json?version=3.1`. Without `version` a spec comes as it is.
{asked}
Anything else is a 400 that names what there is. A spec of your own (`--specs`) comes in its own version and in older
ones.

A rendition is valid OpenAPI of its version and accepts every request, reply and value that the spec accepts: what a
version cannot say is left out or said more widely, never more strictly. What was lost, where, and what stands there
instead is told in `info.{extension}` of each rendition. Extensions (`x-…`) are kept. One thing is taken for granted:
that whole numbers are written without a fraction (3.1 takes `1.0` for an integer, a strict reader of 3.0 does not).

Changes that lose nothing are not told: `type: [string, 'null']` becomes `nullable`, `const` an `enum` of one value,
numbers in `exclusiveMinimum` a limit and a word, keywords beside `$ref` an `allOf`, `if` an `anyOf`, and examples of
streams the text that comes over the wire.
"""
TABLE = "| lost | in its place |\n|---|---|\n"
GENERATORS = """
## Clients generated from them

`make test-generated` generates a client of every backend with two generators, from specs that a running emulator
serves, compiles it and lets it call the emulator: writes, lists, refusals and streams. The code is in
`examples/generated-clients/`.

- **openapi-typescript {typescript}** with openapi-fetch {fetch} reads 3.1. All {count} operations are there, each event
  of a stream has its type under `components["schemas"]`, and `parseAs: "stream"` gives the stream as it comes. It is
  run with `--default-non-nullable=false` (else members with a default have to be sent) and `--empty-objects-unknown`
  (else open objects are empty ones). openapi-fetch does not see `parseAs` in a call with a value of an enum in its
  body, unless the body is a variable with its type.
- **openapi-python-client {python}** reads 3.0; of 3.1 it cannot merge a `const` with the type that it narrows. All
  {count} operations are there. Its functions wait for the whole answer: a stream is the text of all its events. To
  read it as it comes, its `_get_kwargs` go to httpx; `sendChatMessage` of dify needs that, since the generator expects
  JSON of what can be JSON or a stream. Where an operation takes several kinds of body, it uses a name that it does not
  import; a hook in `config.yaml` mends that. Of these replies it has no type, only status and bytes:

| backend | operation | statuses | why |
|---|---|---|---|
"""


def main() -> None:
    """Write the file."""
    FILE.write_text(text(), "utf-8")


def text() -> str:
    """The whole page."""
    asked = "; ".join(f"{version} may be written {_list(PATCHES[version])}" for version in VERSIONS) + "."
    parts = [HEAD.format(asked=asked, extension=EXTENSION)]
    for version, before, lost in (("3.1", "3.2", to_31.LOST), ("3.0", "3.1", to_30.LOST)):
        parts.append(f"\n## What {version} cannot say of {before}\n\n" + TABLE)
        parts += [f"| {what} | {instead} |\n" for what, instead in lost.values()]
    parts.append("\n## What is lost of each spec\n\nIn 3.0 all of it, in 3.1 what is marked.\n")
    specs = {file.stem: load(file) for file in sorted((ROOT / "specs").glob("*.yaml"))}
    control = load(ROOT / "emulator" / "control" / "openapi.yaml")
    for name, raw in {**specs, "the control API": control}.items():
        parts.append(f"\n### {name}\n\n{_of(raw)}")
    parts.append(_generators(sum(_operations(raw) for raw in specs.values())))
    return "".join(parts)


def _of(raw: dict[str, Any]) -> str:
    """What one spec loses, each kind once with its places."""
    places: dict[str, list[str]] = {}
    in_31 = {loss.lost for loss in render(raw, "3.1").losses}
    for loss in render(raw, "3.0").losses:
        places.setdefault(loss.lost, []).append(loss.at)
    lines = []
    for lost, where in places.items():
        mark = " (3.1 too)" if lost in in_31 else ""
        lines.append(f"- {LOST[lost][0]}{mark}\n" + "".join(f"    - `{at}`\n" for at in where))
    return "".join(lines)


def _generators(count: int) -> str:
    node = json.loads((CLIENTS / "typescript" / "package.json").read_text("utf-8"))
    pinned = (CLIENTS / "python" / "requirements.txt").read_text("utf-8").split()
    python = next(line.partition("==")[2] for line in pinned if line.startswith("openapi-python-client=="))
    told = GENERATORS.format(
        typescript=node["devDependencies"]["openapi-typescript"],
        fetch=node["dependencies"]["openapi-fetch"],
        python=python,
        count=count,
    )
    left_out = json.loads((CLIENTS / "left-out.json").read_text("utf-8"))
    rows = [
        f"| {one['backend']} | `{one['operation']}` | {_list(one['statuses'])} | {one['why']} |\n" for one in left_out
    ]
    return told + "".join(rows)


def _operations(raw: dict[str, Any]) -> int:
    return sum("operationId" in one for item in raw["paths"].values() for one in item.values())


def _list(words: Any) -> str:
    return ", ".join(words)


if __name__ == "__main__":
    main()
