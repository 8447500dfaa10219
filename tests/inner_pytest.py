"""Runs pytest in a process and a folder of its own, with the plugin and nothing else that happens to be installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PLUGIN = "emulator.testing.plugin"
SECONDS = 55


@dataclass(frozen=True)
class Run:
    """What a run of pytest gave. `counts` is what its last line counts: passed, failed, errors."""

    code: int
    output: str
    counts: dict[str, int]

    def section(self, test: str) -> str:
        """What is printed about a test that failed, up to the next."""
        found = re.search(
            rf"^_+ (?:ERROR at \w+ of )?{re.escape(test)} _+$(.*?)(?=^(?:_{{3,}} |={{3,}}))", self.output, WHOLE
        )
        assert found is not None, self.output
        return found[1]


WHOLE = re.MULTILINE | re.DOTALL


def run_pytest(folder: Path, text: str, *arguments: str, plugins: Sequence[str] = (), ini: str = "") -> Run:
    """Run pytest over one file of this text. Warnings are errors, output is as without a terminal."""
    (folder / "test_inner.py").write_text(text, "utf-8")
    (folder / "pytest.ini").write_text(f"[pytest]\nfilterwarnings = error\n{ini}", "utf-8")
    chosen = [word for name in (PLUGIN, *plugins) for word in ("-p", name)]
    return run(folder, *chosen, "-p", "no:cacheprovider", *arguments)


def run(folder: Path, *arguments: str) -> Run:
    """Run pytest in a folder as it is."""
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "CHAT_EMULATOR_"))
    }
    environment |= {
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    output = done.stdout + done.stderr
    last = next((line for line in reversed(output.splitlines()) if re.search(r" in [0-9.]+s", line)), "")
    counts = {
        name.removesuffix("s"): int(count) for count, name in re.findall(r"(\d+) (\w+)", last.partition(" in ")[0])
    }
    return Run(done.returncode, output, counts)
