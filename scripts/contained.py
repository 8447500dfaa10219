"""Run an installed chat-emulator the way its container does, where there is no engine to build one.

The command line, environment and health check are those of the Dockerfile, the limits those of compose.yaml: another
user without capabilities and without a way to gain any, a file system read-only but for a small `/tmp`, no home.
What needs root (another user, a mount namespace) is left out where there is none, and that is said.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

DOCKERFILE = Path(__file__).parent.parent / "Dockerfile"
HOST = "127.0.0.2"
"""Loopback, but not the address that the control API trusts: it asks for the token, as behind 0.0.0.0."""
TOKEN = "contained-for-a-test"
USER = "65532"
SECONDS = 30

UNSHARE = ("unshare", "--mount", "--propagation", "private")
CONFINE = """
set -eu
mount -t tmpfs -o size=16m,mode=1777 tmpfs "$SCRATCH"
mount -o remount,bind,ro /
cd "$SCRATCH"
exec setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --no-new-privs \\
  --inh-caps=-all,+dac_read_search --ambient-caps=-all,+dac_read_search --bounding-set=-all,+dac_read_search "$@"
"""
"""Everything but reading is taken away. Reading stays, because this Python may lie in a folder of root's own."""

CALLS = """
import json, os, sys, urllib.error, urllib.request, uuid
url, token = sys.argv[1:]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def call(path, data=None, **headers):
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with opener.open(urllib.request.Request(url + path, data, named), timeout=20) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()

key = {"Authorization": "Bearer app-emulator"}
question = {"inputs": {}, "query": "Hi", "user": "abc-123", "response_mode": "streaming"}
status, body = call("/dify/v1/chat-messages", json.dumps(question).encode(), Content_Type="application/json", **key)
assert status == 200 and b"message_end" in body, (status, body[-200:])
mark = uuid.uuid4().hex
head = 'Content-Disposition: form-data; name='
parts = [head + '"user"\\r\\n\\r\\nabc-123', head + '"file"; filename="a.png"\\r\\nContent-Type: image/png\\r\\n\\r\\n']
form = "".join(f"--{mark}\\r\\n{part}\\r\\n" for part in parts[:1]) + f"--{mark}\\r\\n{parts[1]}"
upload = form.encode() + b"\\x89PNG\\r\\n\\x1a\\n" + bytes(6_000_000) + f"\\r\\n--{mark}--\\r\\n".encode()
status, body = call("/dify/v1/files/upload", upload, Content_Type=f"multipart/form-data; boundary={mark}", **key)
assert status == 201, (status, body[:300])
assert call("/_emulator/health")[0] == 401
assert call("/_emulator/health", Authorization=f"Bearer {token}")[0] == 200
"""


class Failed(Exception):
    """One sentence about what went wrong."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the Dockerfile says of a run."""

    entrypoint: list[str]
    healthcheck: list[str]
    environment: dict[str, str]


def read() -> Said:
    """The last stage of the Dockerfile."""
    text = re.sub(r"\\\n", " ", DOCKERFILE.read_text("utf-8")).rpartition("\nFROM ")[2]
    said = dict(line.partition(" ")[::2] for line in text.splitlines() if line and not line.startswith(("#", " ")))
    return Said(
        json.loads(said["ENTRYPOINT"]),
        json.loads(said["HEALTHCHECK"].partition("CMD ")[2]),
        dict(item.split("=", 1) for item in shlex.split(said["ENV"])),
    )


def try_it(venv: Path, scratch: Path, name: str) -> None:
    """Start the server of a virtual environment so, call it, and end it. `scratch` is what it may write to. Raises
    Failed."""
    said = read()
    scratch.mkdir()
    environment = {
        **said.environment,
        "PATH": f"{venv}/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "TMPDIR": str(scratch),
        "HOME": "/nonexistent",
        "CHAT_EMULATOR_TOKEN": TOKEN,
    }
    confined = _can_confine(environment)
    command = [str(venv / "bin" / said.entrypoint[0]), *said.entrypoint[1:], "--host", HOST, "--port", "0"]
    server = subprocess.Popen(
        [*_confined(scratch), *command] if confined else command,
        cwd=scratch,
        env=environment | {"SCRATCH": str(scratch), "USER_ID": USER},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        ready = server.stdout.readline()
        url = ready.removeprefix("ready ").strip()
        if not url.startswith("http://"):
            raise Failed(f"{name}: as in the container it does not start: {server.communicate(timeout=SECONDS)[1]}")
        if confined:
            _look_at(server.pid)
        _check_health(said, venv, url, name)
        done = subprocess.run([sys.executable, "-c", CALLS, url, TOKEN], timeout=SECONDS, check=False)
        if done.returncode:
            raise Failed(f"{name}: as in the container a call fails")
        # What an engine sends to end a container.
        server.send_signal(signal.SIGTERM)
        _, complaints = server.communicate(timeout=SECONDS)
    finally:
        server.kill()
        server.wait()
    if server.returncode or "Traceback" in complaints:
        raise Failed(f"{name}: ended with code {server.returncode}: {complaints}")
    how = f"as user {USER}, read-only but for its /tmp" if confined else "as this user: there is no root to confine it"
    print(f"container: {name}: answers {how}; the Dockerfile's health check agrees", flush=True)


def _confined(scratch: Path) -> list[str]:
    return [*UNSHARE, "sh", "-c", CONFINE, str(scratch)]


def _can_confine(environment: dict[str, str]) -> bool:
    if os.geteuid() != 0:
        return False
    tried = [*UNSHARE, "sh", "-c", "mount -o remount,bind,ro / && setpriv --dump"]
    try:
        done = subprocess.run(tried, env=environment, capture_output=True, timeout=SECONDS, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _look_at(pid: int) -> None:
    """Raise Failed unless the process is what it was meant to be."""
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines())
    # 4 is the bit of CAP_DAC_READ_SEARCH.
    asked = {"Uid": "\t".join([USER] * 4), "NoNewPrivs": "1", "CapEff": f"{4:016x}", "CapBnd": f"{4:016x}"}
    found = {word: status[word].strip() for word in asked}
    if found != asked:
        raise Failed(f"the process is not confined: {found}")


def _check_health(said: Said, venv: Path, url: str, name: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    python, *options, code = said.healthcheck
    for where, healthy in ((int(port), True), (9, False)):
        asked = code.replace("'127.0.0.1', 8787", f"{host!r}, {where}")
        if asked == code:
            raise Failed("the health check asks somewhere else than this program thinks")
        done = subprocess.run(
            [str(venv / "bin" / python), *options, asked], capture_output=True, timeout=SECONDS, check=False
        )
        if (done.returncode == 0) is not healthy:
            told = textwrap.shorten(done.stderr.decode(), 300)
            raise Failed(f"{name}: the health check says {done.returncode} of port {where}: {told}")
