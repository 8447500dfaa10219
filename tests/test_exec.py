"""`chat-emulator exec`: the command's environment, streams, signals and exit code, and that the server ends with it."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import requests  # noqa: F401  # A server imports it behind our back, in a thread; it warns of what it lacks, once.
from test_cli import COMMAND, ROOT, SPEC, run, write

from emulator.cli import main
from emulator.executing import HANDED_ON, NotDone, past_proxies
from emulator.executing import run as execute
from emulator.settings import Settings

QUICK = ("exec", "plainchat", "--")
"""The backend that starts soonest."""
LISTENER = """
import os, signal, sys, time
heard = []
for number in (1, 2, 3, 10, 12, 15):
    signal.signal(number, lambda number, frame: heard.append(number))
print("up", os.getpid(), os.environ["CHAT_EMULATOR_URL"], flush=True)
deadline = time.monotonic() + 20
while not heard and time.monotonic() < deadline:
    time.sleep(0.01)
time.sleep(0.3)  # For a second one, if there is one.
print(heard, flush=True)
sys.exit(40)
"""
"""Tells its process id and the server, then which signals came, and ends with 40."""


def python(source: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(source)]


@contextmanager
def started(*arguments: str, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """`exec` as a process of its own."""
    process = subprocess.Popen(  # type: ignore[call-overload]
        [*COMMAND, "exec", *arguments],
        **{"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[bytes]) -> str:
    assert process.stdout is not None
    readable, _, _ = select.select([process.stdout], [], [], 20)
    assert readable, "it says nothing"
    return process.stdout.readline().decode().strip()


def gone(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    with socket.socket() as sock:
        return sock.connect_ex((host, int(port))) != 0


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


# ---- Exit codes ----


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
        ("kill -PIPE $$", 141),
        ("kill -HUP $$", 129),
    ],
)
def test_its_exit_code_is_the_commands(capfd: pytest.CaptureFixture[str], command: str, code: int) -> None:
    assert main([*QUICK, "sh", "-c", command]) == code
    assert capfd.readouterr() == ("", ""), "and it says nothing"


def executable(folder: Path, text: str) -> str:
    file = write(folder, "command", text)
    file.chmod(0o755)
    return str(file)


UNSTARTABLE: dict[str, tuple[Callable[[Path], str], int, str]] = {
    "unknown": (lambda folder: "no-such-command", 127, "there is no command 'no-such-command'"),
    "no-file": (lambda folder: str(folder / "nothing"), 127, "there is no command '.*/nothing'"),
    "empty": (lambda folder: "", 127, "the command has no name"),
    "not-executable": (
        lambda folder: str(write(folder, "text", "x")),
        126,
        "'.*/text' cannot be run: Permission denied",
    ),
    "folder": (str, 126, "'.*' cannot be run: Permission denied"),
    "no-program": (lambda folder: executable(folder, "\0\1"), 126, "'.*' cannot be run: Exec format error"),
    "no-interpreter": (lambda folder: executable(folder, "#!/no/such\n"), 126, "'.*' cannot be run: what its first .*"),
}


@pytest.mark.parametrize("case", UNSTARTABLE)
def test_a_command_that_cannot_be_started(tmp_path: Path, capfd: pytest.CaptureFixture[str], case: str) -> None:
    make, code, sentence = UNSTARTABLE[case]
    assert main([*QUICK, make(tmp_path), "argument"]) == code
    out, err = capfd.readouterr()
    assert out == "" and re.fullmatch(f"error: {sentence}\n", err), err


@pytest.mark.parametrize("arguments", [[], ["--"], ["dify", "--"], ["true"], ["npm", "test"]], ids=" ".join)
def test_nothing_to_run(capfd: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["exec", *arguments]) == 2
    sentence = "say what to run: chat-emulator exec [OPTION…] [BACKEND…] -- COMMAND [ARGUMENT…]"
    assert capfd.readouterr() == ("", f"error: {sentence}\n")


def test_wrong_options_and_backends_run_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ran = tmp_path / "ran"
    with pytest.raises(SystemExit) as ended:
        main(["exec", "--sped", "0", "--", "touch", str(ran)])
    assert ended.value.code == 2
    assert main(["exec", "dfy", "--", "touch", str(ran)]) == 2
    assert "Did you mean 'dify'?" in capfd.readouterr().err
    write(tmp_path, "own.yaml", SPEC.replace("responses:", "replies:"))
    assert main(["exec", "own", "--specs", str(tmp_path), "--", "touch", str(ran)]) == 1
    assert re.search(r"own\.yaml:5(:[0-9]+)?: ", capfd.readouterr().err)
    assert not ran.exists()


def test_a_taken_port_runs_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ran = tmp_path / "ran"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["exec", "plainchat", "--port", str(port), "--", "touch", str(ran)]) == 1
    assert capfd.readouterr() == ("", f"error: cannot listen on 127.0.0.1:{port}: Address already in use\n")
    assert not ran.exists()


@pytest.mark.parametrize(("own", "code"), [(0, 1), (7, 7)])
def test_a_server_that_dies_is_told(own: int, code: int) -> None:
    with pytest.raises(NotDone, match="the emulator ended before the command did") as told:
        execute(Settings(backends=("plainchat",), port=0), ["sh", "-c", f"exit {own}"], lambda server, _: server.stop())
    assert told.value.code == code, "a command that noticed nothing has not passed"


# ---- What the command finds ----

CALLS = {
    "dify": "/conversations?user=abc-123",
    "ruoyi": "/api/ai/dify/chats?user_id=1",
    "plainchat": "/api/conversations/list/demo",
    "deskchat": "/chat/conversations/list",
    "toolchat": "/api/conversations/",
}


def test_addresses_and_keys(capfd: pytest.CaptureFixture[str]) -> None:
    source = """
        import json, os
        print(json.dumps({name: value for name, value in os.environ.items() if name.startswith("CHAT_EMULATOR_")}))
    """
    assert main(["exec", "--", *python(source)]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    url = found["CHAT_EMULATOR_URL"]
    assert re.fullmatch(r"http://127\.0\.0\.1:[1-9][0-9]*", url) and err == ""
    assert found == {
        "CHAT_EMULATOR_URL": url,
        "CHAT_EMULATOR_DIFY_URL": f"{url}/dify/v1",
        "CHAT_EMULATOR_DIFY_KEY": "app-emulator",
        "CHAT_EMULATOR_RUOYI_URL": f"{url}/ruoyi/dev-api",
        "CHAT_EMULATOR_RUOYI_KEY": "emulator-token",
        "CHAT_EMULATOR_PLAINCHAT_URL": f"{url}/plainchat",
        "CHAT_EMULATOR_PLAINCHAT_KEY": "",
        "CHAT_EMULATOR_DESKCHAT_URL": f"{url}/deskchat",
        "CHAT_EMULATOR_DESKCHAT_KEY": "",
        "CHAT_EMULATOR_TOOLCHAT_URL": f"{url}/toolchat",
        "CHAT_EMULATOR_TOOLCHAT_KEY": "emulator-token",
    }
    assert gone(url), "the server ends with the command"


def test_they_let_a_client_in(capfd: pytest.CaptureFixture[str]) -> None:
    source = f"""
        import os, urllib.request
        for name, path in {CALLS!r}.items():
            stem = f"CHAT_EMULATOR_{{name.upper()}}"
            key = os.environ[f"{{stem}}_KEY"]
            headers = {{"Authorization": f"Bearer {{key}}"}} if key else {{}}
            request = urllib.request.Request(os.environ[f"{{stem}}_URL"] + path, headers=headers)
            with urllib.request.urlopen(request) as reply:
                print(name, reply.status, reply.headers["x-emulator-operation"])
    """
    assert main(["exec", "--", *python(source)]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [[name, "200"] for name in CALLS]
    assert all(len(line.split()) == 3 for line in lines), "each is a documented operation"


def test_those_of_an_outer_exec_are_replaced(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CHAT_EMULATOR_URL", "http://outer")
    monkeypatch.setenv("CHAT_EMULATOR_DESKCHAT_KEY", "stale")
    inner = shlex.join([*COMMAND, "exec", "deskchat", "--", "sh", "-c", "echo $CHAT_EMULATOR_DESKCHAT_URL"])
    assert main(["exec", "deskchat", "--", "sh", "-c", f'echo "$CHAT_EMULATOR_DESKCHAT_URL"; {inner}']) == 0
    outer, nested = capfd.readouterr().out.splitlines()
    assert len({outer, nested, "http://outer/deskchat"}) == 3
    assert main(["exec", "deskchat", "--", "sh", "-c", 'test -z "$CHAT_EMULATOR_DESKCHAT_KEY"']) == 0


def test_a_backend_of_ones_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "my-bot.yaml", SPEC)
    command = ["sh", "-c", 'echo "$CHAT_EMULATOR_MY_BOT_URL[$CHAT_EMULATOR_MY_BOT_KEY]"']
    assert main(["exec", "my-bot", "--specs", str(tmp_path), "--", *command]) == 0
    assert re.fullmatch(r"http://127\.0\.0\.1:[0-9]+/my-bot\[\]\n", capfd.readouterr().out)
    write(tmp_path, "my_bot.yaml", SPEC)
    assert main(["exec", "my-bot", "my_bot", "--specs", str(tmp_path), "--", *command]) == 2
    assert "both have the variable CHAT_EMULATOR_MY_BOT_URL" in capfd.readouterr().err


def test_options_of_serve(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "dify/mine.yaml", "description: x\nsteps:\n  - say: Mine.\n")
    options = ["--speed", "0", "--seed", "7", "--profile", "observed", "--key", "dify:mine=app-emulator-flow"]
    source = """
        import json, os, urllib.request
        base = os.environ["CHAT_EMULATOR_URL"]
        def get(path, **headers):
            with urllib.request.urlopen(urllib.request.Request(base + path, headers=headers)) as reply:
                return json.load(reply)
        session = get("/_emulator/sessions/default")
        print(session["seed"], session["speed"], session["profile"], session["clock"]["kind"])
        print(get("/v1/info", Authorization="Bearer mine")["name"])
        print("mine" in get("/_emulator/backends")["backends"][0]["scenarios"])
    """
    assert main(["exec", "dify", *options, "--scenarios", str(tmp_path), "--", *python(source)]) == 0
    assert capfd.readouterr().out == "7 0.0 observed virtual\nOrder Desk\nTrue\n"


def test_beyond_loopback_the_command_has_the_token(capfd: pytest.CaptureFixture[str]) -> None:
    source = """
        import os, urllib.request
        base = os.environ["CHAT_EMULATOR_URL"]
        headers = {"Authorization": "Bearer " + os.environ["CHAT_EMULATOR_TOKEN"]}
        print(urllib.request.urlopen(urllib.request.Request(base + "/_emulator/health", headers=headers)).status, base)
    """
    assert main(["exec", "plainchat", "--host", "0.0.0.0", "--", *python(source)]) == 0
    assert re.fullmatch(r"200 http://127\.0\.0\.1:[0-9]+\n", capfd.readouterr().out)
    assert main([*QUICK, "sh", "-c", 'test -z "${CHAT_EMULATOR_TOKEN+x}"']) == 0


def test_reload(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, "own.yaml", SPEC)
    source = f"""
        import os, pathlib, time, urllib.request
        file = pathlib.Path({str(tmp_path)!r}, "own.yaml")
        file.write_text(file.read_text().replace("/hello", "/again"))
        for _ in range(100):
            try:
                print(urllib.request.urlopen(os.environ["CHAT_EMULATOR_OWN_URL"] + "/again").status)
                break
            except OSError:
                time.sleep(0.1)
    """
    assert main(["exec", "own", "--specs", str(tmp_path), "--reload", "--", *python(source)]) == 0
    assert capfd.readouterr() == ("200\n", f"{tmp_path}/own.yaml: taken\n")


def test_loud_on_request(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["exec", "dify", "--verbose", "--", "sh", "-c", "echo only this"]) == 0
    out, err = capfd.readouterr()
    assert out == "only this\n"
    assert "app-emulator-agent" in err and re.search(
        r"^  CHAT_EMULATOR_DIFY_URL=http://\S+/dify/v1$", err, re.MULTILINE
    )


# ---- Proxies ----

PROXY = {"HTTPS_PROXY": "http://proxy.example:8080"}
HERE = "127.0.0.1,localhost,::1"


@pytest.mark.parametrize(
    ("environment", "changes"),
    [
        ({}, {}),
        ({"NO_PROXY": "a.example"}, {}),
        ({"HTTPS_PROXY": ""}, {}),
        ({"npm_config_proxy": "http://proxy.example"}, {}),
        (PROXY, {"NO_PROXY": HERE, "no_proxy": HERE}),
        ({"all_proxy": "socks5://proxy.example"}, {"NO_PROXY": HERE, "no_proxy": HERE}),
        (PROXY | {"NO_PROXY": ".corp, a.b"}, {"NO_PROXY": f".corp,a.b,{HERE}", "no_proxy": f".corp,a.b,{HERE}"}),
        (PROXY | {"no_proxy": "a"}, {"NO_PROXY": f"a,{HERE}", "no_proxy": f"a,{HERE}"}),
        (PROXY | {"no_proxy": "a", "NO_PROXY": "b"}, {"NO_PROXY": f"b,{HERE}", "no_proxy": f"a,{HERE}"}),
        (
            PROXY | {"no_proxy": "localhost,127.0.0.1"},
            dict.fromkeys(["NO_PROXY", "no_proxy"], "localhost,127.0.0.1,::1"),
        ),
        (PROXY | {"NO_PROXY": "*"}, {}),
        (PROXY | {"NO_PROXY": "*", "no_proxy": "a"}, {"no_proxy": f"a,{HERE}"}),
    ],
)
def test_loopback_goes_past_proxies(environment: dict[str, str], changes: dict[str, str]) -> None:
    assert past_proxies(environment) == changes


@pytest.mark.parametrize("client", ["urllib.request", "requests", "httpx"])
def test_clients_go_past_a_proxy_that_takes_no_calls(client: str) -> None:
    get = "urlopen" if client == "urllib.request" else "get"
    source = f"import os, {client}\n{client}.{get}(os.environ['CHAT_EMULATOR_URL'] + '/_emulator/health')"
    nowhere = "http://127.0.0.1:9"
    proxies = {"http_proxy": nowhere, "HTTP_PROXY": nowhere, "ALL_PROXY": nowhere, "no_proxy": "", "NO_PROXY": ""}
    done = run(*QUICK, *python(source), **proxies)
    assert (done.returncode, done.stderr) == (0, "")
    without = "import os\nfor name in ('no_proxy', 'NO_PROXY'): os.environ.pop(name, None)\n" + source
    assert run(*QUICK, *python(without), **proxies).returncode == 1, "the proxy stands in the way otherwise"


# ---- Streams and what else it inherits ----


def test_streams_pass_through_untouched() -> None:
    sent = bytes(range(256)) * 4096
    done = subprocess.run(
        [*COMMAND, *QUICK, "sh", "-c", "cat; printf '\\377\\0err' >&2"],
        input=sent,
        cwd=ROOT,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"\xff\0err")
    assert done.stdout == sent


def test_in_the_middle_of_a_pipe() -> None:
    line = f"yes | {shlex.join([*COMMAND, *QUICK])} head -n 3 | tr y n"
    done = subprocess.run(["sh", "-c", line], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("n\nn\nn\n", "")


def test_other_open_files_reach_the_command(tmp_path: Path) -> None:
    line = f"exec 5>{shlex.quote(str(tmp_path / 'five'))}; {shlex.join([*COMMAND, *QUICK])} sh -c 'echo here >&5'"
    assert subprocess.run(["sh", "-c", line], cwd=ROOT, timeout=30, check=False).returncode == 0
    assert (tmp_path / "five").read_text() == "here\n"


FOUND = """
    import json, os, resource, signal
    blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    ignored = [one for one in range(1, 32) if one not in (9, 19) and signal.getsignal(one) == signal.SIG_IGN]
    descriptors = sorted(int(one) for one in os.listdir("/dev/fd"))[:-1]
    print(json.dumps([blocked, ignored, descriptors, os.getpgrp(), os.getcwd()]))
    print(resource.getrlimit(resource.RLIMIT_NOFILE))
"""


@pytest.mark.parametrize("before", ["", "trap '' HUP INT USR1; "], ids=["plain", "ignoring"])
def test_the_command_finds_what_it_would_find_without_us(before: str) -> None:
    bare, within = shlex.join(python(FOUND)), shlex.join([*COMMAND, *QUICK, *python(FOUND)])
    done = subprocess.run(
        ["sh", "-c", f"ulimit -S -n 500; {before}{bare}; {within}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    lines = done.stdout.splitlines()
    assert lines[2:] == lines[:2] and lines[1].startswith("(500, "), done.stderr


# ---- Signals ----


@pytest.mark.parametrize("number", sorted(HANDED_ON), ids=lambda one: one.name)
def test_a_signal_reaches_the_command_once_and_the_command_decides(number: signal.Signals) -> None:
    with started("plainchat", "--", *python(LISTENER)) as process:
        url = line_of(process).split()[2]
        assert not gone(url)
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (out.decode(), err) == (f"[{int(number)}]\n", b"")
    assert process.returncode == 40
    assert gone(url)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda one: one.name)
def test_a_signal_that_ends_the_command_ends_everything(number: signal.Signals) -> None:
    with started("plainchat", "--", "sh", "-c", "echo $$ $CHAT_EMULATOR_URL; exec sleep 50") as process:
        pid, url = line_of(process).split()
        begun = time.monotonic()
        process.send_signal(number)
        _, err = process.communicate(timeout=10)
        assert time.monotonic() - begun < 8
    assert (process.returncode, err) == (128 + number, b"")
    assert not is_there(int(pid)) and gone(url)


def test_a_killed_group_leaves_nothing() -> None:
    with started(
        "plainchat", "--", "sh", "-c", "echo $$ $CHAT_EMULATOR_URL; sleep 50; true", start_new_session=True
    ) as one:
        pid, url = line_of(one).split()
        os.killpg(one.pid, signal.SIGKILL)
        one.communicate(timeout=10)
    deadline = time.monotonic() + 5
    while (
        is_there(int(pid)) and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z" and time.monotonic() < deadline
    ):
        time.sleep(0.01)
    assert not is_there(int(pid)) or Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    assert gone(url)


def test_streams_under_way_do_not_hold_it_up() -> None:
    """A process that the command leaves behind may still be reading."""
    body = '{"inputs":{},"query":"/scenario long-answer","user":"u","response_mode":"streaming"}'
    reader = f"""
        import os, urllib.request
        headers = {{"Authorization": "Bearer app-emulator", "Content-Type": "application/json"}}
        url = os.environ["CHAT_EMULATOR_DIFY_URL"] + "/chat-messages"
        with urllib.request.urlopen(urllib.request.Request(url, {body.encode()!r}, headers)) as reply:
            reply.readline()
            if os.fork() == 0:
                os.close(1)
                reply.read()
            else:
                print("read", flush=True)
    """
    with started("dify", "--", *python(reader)) as process:
        assert line_of(process) == "read"
        begun = time.monotonic()
        assert process.wait(timeout=10) == 0
        assert time.monotonic() - begun < 8


@pytest.mark.parametrize("system", ["with sigwaitinfo", "without"])
def test_a_key_in_the_terminal_reaches_the_command_once(system: str) -> None:
    # As on macOS, which has no sigwaitinfo.
    start = "import signal, sys\n" + ("" if system == "with sigwaitinfo" else "del signal.sigwaitinfo\n")
    start += "from emulator.cli import main\nsys.exit(main(sys.argv[1:]))"
    ours, theirs = pty.openpty()
    with ExitStack() as open_now:
        open_now.callback(os.close, ours)
        process = subprocess.Popen(
            # setsid -c would do it as well, but is not everywhere.
            [sys.executable, "-c", ON_TERMINAL, sys.executable, "-c", start, *QUICK, *python(LISTENER)],
            cwd=ROOT,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
        )
        os.close(theirs)
        shown = read_until(ours, b"up ")
        os.write(ours, b"\x03")
        shown += read_until(ours, b"]")
        assert process.wait(timeout=20) == 40
    assert b"[2]" in shown, shown
    assert b"Traceback" not in shown and b"error" not in shown


ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def read_until(terminal: int, what: bytes) -> bytes:
    found = b""
    deadline = time.monotonic() + 20
    while what not in found:
        assert time.monotonic() < deadline, found
        if select.select([terminal], [], [], 0.1)[0]:
            found += os.read(terminal, 4096)
    return found


def test_the_command_may_read_the_terminal() -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ON_TERMINAL, *COMMAND, *QUICK, "sh", "-c", "echo ready; read line; echo got $line"],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    read_until(ours, b"ready")
    os.write(ours, b"typed\n")
    assert b"got typed" in read_until(ours, b"got typed")
    assert process.wait(timeout=10) == 0
    os.close(ours)


@pytest.mark.parametrize(("ignored", "code"), [(False, 143), (True, 9)])
def test_asked_to_end_while_starting_it_runs_nothing(ignored: bool, code: int) -> None:
    command = ["sh", "-c", "exit 9"] if ignored else ["no-such-command"]
    # In a process of its own, because the threads of a test runner take signals as well.
    source = f"""
        import os, signal
        from emulator.executing import run
        from emulator.settings import Settings
        if {ignored}:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        settings = Settings(backends=("plainchat",), port=0)
        print(run(settings, {command}, lambda *_: os.kill(os.getpid(), signal.SIGTERM)))
        print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL)
    """
    done = subprocess.run(python(source), cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == (f"{code}\nset() True\n", "")


def test_where_the_end_of_children_is_ignored() -> None:
    ignoring = (
        "import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", ignoring, *COMMAND, *QUICK, "sh", "-c", "exit 9"], cwd=ROOT, timeout=30, check=False
    )
    assert done.returncode == 9


# ---- Many at once ----


def test_many_at_once_do_not_meet() -> None:
    command = [*QUICK, "sh", "-c", 'echo "$CHAT_EMULATOR_URL"; sleep 1']
    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(lambda _: run(*command), range(6)))
    assert [(one.returncode, one.stderr) for one in done] == [(0, "")] * 6
    assert len({one.stdout for one in done}) == 6


def test_a_command_with_many_threads(capfd: pytest.CaptureFixture[str]) -> None:
    source = """
        import json, os, threading, urllib.request
        body = json.dumps({"inputs": {}, "query": "Hi", "user": "u", "response_mode": "streaming"}).encode()
        answers = []
        def ask(name):
            url = f"{os.environ['CHAT_EMULATOR_URL']}/_s/{name}/dify/v1/chat-messages"
            key = os.environ["CHAT_EMULATOR_DIFY_KEY"]
            headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            for _ in range(5):
                with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as reply:
                    text = reply.read().decode()
                events = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]
                answers.append("".join(event.get("answer", "") for event in events))
        threads = [threading.Thread(target=ask, args=(f"s{n}",)) for n in range(16)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(len(answers), len(set(answers)))
    """
    before = threading.active_count()
    assert main(["exec", "dify", "--speed", "0", "--", *python(source)]) == 0
    assert capfd.readouterr() == ("80 1\n", "")
    assert threading.active_count() <= before + 1, "no server is left (a warm-up may still be under way)"
