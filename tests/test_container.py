"""Dockerfile and compose.yaml. No image is built here: what they say is read strictly, and each part of it that needs
no engine is run (the build context, the arguments, the health check, the first call). `make lint-container` has
hadolint look at it, `make test-wheel` runs a server as it would be in the container."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import yaml

from emulator.cli import TOKEN, _parser
from emulator.testing.server import ThreadedServer

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
WORDS = {"FROM", "LABEL", "ENV", "WORKDIR", "COPY", "RUN", "USER", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT"}
"""The instructions that are used; each of them is looked at below."""


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ").splitlines()
    return [(word, " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in whole)]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


FINAL = dict(stages()[-1])
ENVIRONMENT = dict(item.split("=", 1) for item in shlex.split(FINAL["ENV"]))
HEALTHCHECK: list[str] = json.loads(FINAL["HEALTHCHECK"].partition("CMD ")[2])
ENTRYPOINT: list[str] = json.loads(FINAL["ENTRYPOINT"])


def test_every_instruction_is_one_that_is_looked_at() -> None:
    assert {word for word, _ in instructions()} == WORDS
    last = [word for word, _ in stages()[-1]]
    assert len(last) == len(set(last)), "one of each, so that none is overlooked"


def test_it_is_small() -> None:
    build, final = stages()
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["classifiers"]
    for (_, image), name in ((build[0], " AS build"), (final[0], "")):
        found = re.fullmatch(rf"python:(3\.\d+)-slim{name}", image)
        assert found, image
        assert f"Programming Language :: Python :: {found[1]}" in supported
    # The environment has its interpreter's path in it.
    assert build[0][1].split()[0] == final[0][1]
    assert FINAL["COPY"] == "--from=build /opt/chat-emulator /opt/chat-emulator"
    assert "RUN" not in FINAL, "what is installed is installed in the other stage"


def test_all_versions_are_pinned() -> None:
    (run,) = (rest for word, rest in stages()[0] if word == "RUN")
    for command in run.split(" && "):
        if re.search(r"pip .*install", command):
            assert "--constraint constraints.txt" in command and "--only-binary :all:" in command
        else:
            assert re.match(r"python -m venv --without-pip|pip wheel --no-build-isolation --no-deps", command), command


def test_it_is_not_root_and_writes_nothing() -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", FINAL["USER"])
    order = [word for word, _ in stages()[-1]]
    assert order.index("COPY") < order.index("USER") < order.index("ENTRYPOINT")
    assert ENVIRONMENT["PYTHONDONTWRITEBYTECODE"] == "1"
    assert FINAL["WORKDIR"] == "/tmp"
    assert ENVIRONMENT["PATH"] == "/opt/chat-emulator/bin:$PATH"


def test_no_secret_is_in_it() -> None:
    assert not [name for name in ENVIRONMENT if re.search("TOKEN|KEY|SECRET|PASSWORD", name)]


def test_it_runs_what_the_command_line_takes() -> None:
    assert ENTRYPOINT[0] == "chat-emulator"
    for more in ([], ["dify", "--seed", "7"], SERVICES["chat-emulator"]["command"]):
        chosen = _parser().parse_args([*ENTRYPOINT[1:], *more])
        assert (chosen.command, chosen.host, str(chosen.port)) == ("serve", "0.0.0.0", FINAL["EXPOSE"])
    assert f"'127.0.0.1', {FINAL['EXPOSE']}" in HEALTHCHECK[-1]


# ---- what it is built from


def test_the_build_context_is_all_that_the_wheel_needs(tmp_path: Path) -> None:
    context, whole = tmp_path / "context", tmp_path / "whole"
    for path in in_context():
        (context / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, context / path)
    shutil.copytree(
        ROOT, whole, ignore=shutil.ignore_patterns(".git", ".venv", "node_modules", "__pycache__", "dist", ".*_cache")
    )
    assert built(context) == built(whole)


def in_context() -> Iterator[Path]:
    """What is left of the checkout by .dockerignore, where the last line that fits decides."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "a list of what comes along"
    taken = [ROOT / line[1:] for line in rules if line.startswith("!")]
    refused = [line.removeprefix("**/") for line in rules[1:] if not line.startswith("!")]
    for one in taken:
        assert one.exists(), one
        for file in [one] if one.is_file() else sorted(one.rglob("*")):
            parts = file.relative_to(ROOT).parts
            if file.is_file() and not any(fnmatch.fnmatch(part, rule) for part in parts for rule in refused):
                yield file.relative_to(ROOT)


def built(source: Path) -> dict[str, int]:
    """Name → checksum of what is in the wheel of a folder."""
    dist = source.parent / f"{source.name}-dist"
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(dist)]
    subprocess.run(command, cwd=source, capture_output=True, check=True)
    (wheel,) = dist.iterdir()
    return {item.filename: item.CRC for item in zipfile.ZipFile(wheel).infolist()}


# ---- health


def healthy(address: str) -> bool:
    host, port = address.removeprefix("http://").split(":")
    code = HEALTHCHECK[-1].replace("'127.0.0.1', 8787", f"{host!r}, {port}")
    done = subprocess.run([sys.executable, *HEALTHCHECK[1:-1], code], capture_output=True, timeout=30, check=False)
    return done.returncode == 0


def test_the_health_check_needs_neither_a_tool_nor_a_token() -> None:
    assert HEALTHCHECK[0] == "python"
    # Not this machine's first address: so the control API asks for a token, as in the container.
    with ThreadedServer(host="127.0.0.2", speed=0) as server:
        assert server.app.token is not None
        url = server.url
        assert healthy(url)
    assert not healthy(url), "nobody listens there any more"


def test_the_health_check_sees_a_server_that_fails() -> None:
    class Failing(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(503)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing."""

    with HTTPServer(("127.0.0.1", 0), Failing) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        assert not healthy(f"http://127.0.0.1:{server.server_port}")
        server.shutdown()


# ---- compose.yaml


def test_the_server_of_compose_has_little_power() -> None:
    server = SERVICES["chat-emulator"]
    assert server["read_only"] is True and server["tmpfs"] == ["/tmp"]
    assert server["cap_drop"] == ["ALL"] and server["security_opt"] == ["no-new-privileges:true"]
    assert server["build"] == "." and "privileged" not in server and "user" not in server
    assert server["ports"] == [f"127.0.0.1:{FINAL['EXPOSE']}:{FINAL['EXPOSE']}"], "not for the whole network"


def test_compose_passes_the_token_on_and_knows_none() -> None:
    assert SERVICES["chat-emulator"]["environment"] == {TOKEN: f"${{{TOKEN}:-}}"}


def test_only_known_words_are_in_compose() -> None:
    assert set(COMPOSE) == {"services"}
    server = {"build", "image", "command", "ports", "environment", "read_only", "tmpfs", "cap_drop", "security_opt"}
    assert set(SERVICES["chat-emulator"]) == server
    caller = {"image", "profiles", "depends_on", "environment", "entrypoint", "command"}
    assert set(SERVICES["first-call"]) == caller
    assert SERVICES["first-call"]["image"] == SERVICES["chat-emulator"]["image"]


def test_the_first_call_of_another_container_is_answered() -> None:
    caller = SERVICES["first-call"]
    assert caller["depends_on"] == {"chat-emulator": {"condition": "service_healthy"}}
    assert caller["entrypoint"] == ["python", "-c"]
    with ThreadedServer(speed=0, host="127.0.0.2") as server:
        url = caller["environment"]["CHAT_URL"].replace(f"http://chat-emulator:{FINAL['EXPOSE']}", server.url)
        environment = {"CHAT_URL": url, "no_proxy": "127.0.0.2", "PYTHONIOENCODING": "utf-8"}
        done = subprocess.run(
            [sys.executable, "-c", *caller["command"]],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=30,
            check=True,
        )
    assert done.stdout.startswith('data: {"event":"message"') and '"event":"message_end"' in done.stdout
