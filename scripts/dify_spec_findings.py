"""Run the published Dify document against the emulator and list what schemathesis finds, grouped.

    .venv/bin/python scripts/dify_spec_findings.py FILE [--seed 1] [--examples 50]

FILE is the document: JSON, or a page that holds it. docs/dify-spec-findings.md explains the findings.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

from contract import ROOT, bearer, serving

BACKEND = "dify"


def main() -> int:
    """Print the findings; returns 0, for they are no mistakes of ours."""
    parser = argparse.ArgumentParser(description="Run the published Dify document against the emulator.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--examples", type=int, default=50)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dify-spec-") as name:
        folder = Path(name)
        document = read_document(chosen.file.read_text("utf-8"))
        spec = folder / "published.json"
        spec.write_text(json.dumps(document, ensure_ascii=False), "utf-8")
        show(*findings(run(spec, chosen.seed, chosen.examples, folder)))
    return 0


def read_document(text: str) -> dict[str, Any]:
    """The JSON object that begins with `openapi`, whatever stands around it."""
    start = text.index('"openapi"')
    document: dict[str, Any] = json.JSONDecoder().raw_decode(text[text.rindex("{", 0, start) :])[0]
    return document


def run(spec: Path, seed: int, examples: int, folder: Path) -> Path:
    """schemathesis' events, a line each. Its settings are its own, not ours of schemathesis.toml."""
    report, plain = folder / "events.ndjson", folder / "plain.toml"
    plain.write_text("max-stream-events = 100000\n[cache]\nenabled = false\n")
    with serving(BACKEND, folder / "server.log") as url:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(plain), "--no-color", "run", str(spec)),
            *("--url", f"{url}/{BACKEND}/v1", "--header", f"Authorization: Bearer {bearer(BACKEND)}"),
            *("--checks", "all", "--phases", "examples,coverage,fuzzing,stateful", "--workers", "1"),
            *("--max-examples", str(examples), "--seed", str(seed), "--generation-database", "none"),
            *("--continue-on-failure", "--report", "ndjson", "--report-ndjson-path", str(report)),
        ]
        subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=False)
    return report


def findings(report: Path) -> tuple[int, dict[tuple[str, int], set[str]]]:
    """How many calls were made, and check and status → operations where it failed with that status."""
    calls, found = 0, defaultdict(set)
    with report.open(encoding="utf-8") as lines:
        for line in lines:
            recorder = json.loads(line).get("ScenarioFinished", {}).get("recorder", {})
            calls += len(recorder.get("interactions", {}))
            for case, checks in recorder.get("checks", {}).items():
                sent = recorder["cases"][case]["value"]
                for check in checks:
                    if check["status"] == "failure":
                        status = recorder["interactions"][case]["response"]["status_code"]
                        found[check["name"], status].add(f"{sent['method']} {sent['path']}")
    return calls, found


def show(calls: int, found: dict[tuple[str, int], set[str]]) -> None:
    """A block for each check and status."""
    for (check, status), operations in sorted(found.items()):
        print(f"{check}, status {status}: {len(operations)}")
        for operation in sorted(operations):
            print(f"    {operation}")
    print(f"{sum(map(len, found.values()))} findings in {calls} calls")


if __name__ == "__main__":
    sys.exit(main())
