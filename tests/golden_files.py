"""Golden files: replies to the byte, in `golden/<backend>/<name>.txt` (status and headers as they were sent, an empty
line, the body). With CHAT_EMULATOR_GOLDEN=write they are written anew, never in CI."""

from __future__ import annotations

import os
from pathlib import Path

import httpx

FOLDER = Path(__file__).parent / "golden"
HOST = "emulator.test"
WRITE = os.environ.get("CHAT_EMULATOR_GOLDEN") == "write" and "CI" not in os.environ


def written(reply: httpx.Response) -> bytes:
    """A reply as its file has it."""
    head = "\n".join([str(reply.status_code), *(f"{name}: {value}" for name, value in reply.headers.multi_items())])
    return head.encode() + b"\n\n" + reply.content


def hold(backend: str, name: str, sent: bytes) -> None:
    """Hold what was sent against its file."""
    file = FOLDER / backend / f"{name}.txt"
    if WRITE:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(sent)
    assert file.read_bytes() == sent


def names(backend: str) -> set[str]:
    """The names of a backend's files."""
    return {file.stem for file in (FOLDER / backend).iterdir()}


def read(backend: str, name: str) -> tuple[int, list[tuple[str, str]], bytes]:
    """Status, headers and body of a file."""
    head, body = (FOLDER / backend / f"{name}.txt").read_bytes().split(b"\n\n", 1)
    status, *lines = head.decode().split("\n")
    pairs = [line.split(": ", 1) for line in lines]
    return int(status), [(name, value) for name, value in pairs], body
