"""The commands that a person types. Owns words, exit codes and what is printed where.

Exit codes: 0 fine, 1 failed or findings, 2 usage; `exec` has those of its command. `serve` prints one line on stdout,
`ready http://…`; all else goes to stderr. Heavy parts are imported by the command that needs them.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emulator import __version__
from emulator.errors import Broken, Misused
from emulator.settings import PROFILES, Settings, read_clock

if TYPE_CHECKING:
    from emulator.app import App
    from emulator.testing.server import ThreadedServer

FINE, FAILED, USAGE = 0, 1, 2
TOKEN = "CHAT_EMULATOR_TOKEN"
"""The environment variable with the token of the control API. No option: a command line can be read by everybody."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    try:
        parser = _parser()
        words = list(sys.argv[1:] if arguments is None else arguments)
        # What is behind `--` is somebody else's command line.
        at = words.index("--") if words[:1] == ["exec"] and "--" in words else len(words)
        chosen = parser.parse_args(words[:at], argparse.Namespace(command_line=words[at + 1 :]))
        if chosen.command is None:
            parser.print_help(sys.stderr)
            return USAGE
        code: int = chosen.run(chosen)
        return code
    except Misused as error:
        available = f"\n  there are: {', '.join(error.available)}" if error.available else ""
        return _complain(f"{error.detail}{available}", USAGE)
    except Broken as error:
        return _complain(str(error), FAILED)
    except BrokenPipeError:
        # `chat-emulator routes | head`: the reader has enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINE
    except KeyboardInterrupt:
        return 130


def _complain(text: str, code: int) -> int:
    print(f"{_paint('error:', '31')} {text}", file=sys.stderr)
    return code


def _paint(text: str, colour: str) -> str:
    if os.environ.get("NO_COLOR") or not sys.stderr.isatty():
        return text
    return f"\x1b[{colour}m{text}\x1b[0m"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chat-emulator", description="A stand-in for chat backends.")
    parser.add_argument("--version", action="version", version=f"chat-emulator {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="answer calls",
        description="Answer calls until it is stopped.",
        epilog=f"Beyond loopback the control API asks for a bearer token: {TOKEN}, or one that is made up and printed.",
    )
    _serving(serve, port=8787)
    serve.set_defaults(run=_serve)

    execute = commands.add_parser(
        "exec",
        help="answer calls while a command runs",
        usage="chat-emulator exec [OPTION…] [BACKEND…] -- COMMAND [ARGUMENT…]",
        description="Answer calls while COMMAND runs, and end with its exit code. The command finds addresses and keys "
        "in CHAT_EMULATOR_URL, CHAT_EMULATOR_<BACKEND>_URL and CHAT_EMULATOR_<BACKEND>_KEY.",
    )
    _serving(execute, port=0)
    execute.add_argument("-v", "--verbose", action="store_true", help="tell addresses, keys and variables on stderr")
    execute.set_defaults(run=_exec)

    routes = commands.add_parser("routes", help="list what is served", description="List every operation served.")
    routes.add_argument("backends", nargs="*", metavar="BACKEND")
    _folders(routes)
    routes.set_defaults(run=_routes)

    check = commands.add_parser("check", help="look for mistakes in specs and scenarios")
    _folders(check)
    check.set_defaults(run=_check)

    scenarios = commands.add_parser(
        "scenarios",
        help="list what an answer can be made to do",
        description="List all scenarios; with a NAME explain one, and show what it sends for the spec's own example.",
    )
    scenarios.add_argument("name", nargs="?", metavar="NAME")
    scenarios.add_argument("--backend", metavar="BACKEND", help="only those of this backend; play it there")
    scenarios.add_argument("--schema", action="store_true", help="print the JSON Schema of a scenario file")
    scenarios.add_argument("--seed", type=int, default=0, help="seed of what is shown (default: %(default)s)")
    _folders(scenarios)
    scenarios.set_defaults(run=_scenarios)
    _conform_options(commands.add_parser("conform", help="hold a backend against its spec", description=CONFORM))
    return parser


CONFORM = """Call a backend, the emulator or a real one, and hold its replies against the spec. Says first what it will
call. Needs the extra: pip install 'CLONE_OR_WHEEL[contract]'. Exit codes: 0 nothing found, 1 findings or nothing tried,
2 wrong use."""
BASE = """base of the backend, as documented; the spec's paths are added to it. dify: https://HOST/v1, ruoyi:
https://HOST/dev-api, plainchat, deskchat and toolchat: https://HOST; the emulator: http://127.0.0.1:8787/dify/v1 …"""


def _conform_options(conform: argparse.ArgumentParser) -> None:
    conform.add_argument("backend", metavar="BACKEND", help="name of the spec")
    conform.add_argument("--url", metavar="URL", help=BASE)
    conform.add_argument("--header", action="append", default=[], metavar="'NAME: VALUE'", help="sent with every call")
    conform.add_argument(
        "--only", action="append", default=[], metavar="OPERATION", help="this one; may be given again"
    )
    conform.add_argument("--read-only", action="store_true", help="call only what changes nothing")
    conform.add_argument("--budget", type=int, metavar="N", help="requests at most; then it stops and says so")
    conform.add_argument("--yes", action="store_true", help="do not ask before calling another machine")
    conform.add_argument("--list", action="store_true", help="say what would be called, and call nothing")
    conform.add_argument("--seed", type=int, default=0, help="the same seed makes the same calls (default: 0)")
    conform.add_argument(
        "--examples", type=int, default=50, metavar="N", help="for an operation (default: %(default)s)"
    )
    conform.add_argument(
        "--phases", default="examples,coverage,fuzzing,stateful", metavar="NAMES", help="default: %(default)s"
    )
    conform.add_argument("--timeout", type=float, default=30.0, metavar="S", help="seconds for a reply (default: 30)")
    conform.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit report")
    conform.add_argument("--report", type=Path, metavar="FILE.html", help="write a page to read")
    conform.add_argument("--specs", type=_folder, metavar="DIR", help="own specs, over the bundled ones")
    conform.set_defaults(run=_conform)


def _serving(parser: argparse.ArgumentParser, port: int) -> None:
    add = parser.add_argument
    add("backends", nargs="*", metavar="BACKEND", help="backends to serve (default: all)")
    add("--host", default="127.0.0.1", help="address to bind (default: %(default)s)")
    add("--port", type=_port, default=port, help="port, 0 for a free one (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of all data (default: %(default)s)")
    add("--speed", type=_speed, default=1.0, help="2 is twice as fast, 0 does not wait (default: 1)")
    add("--profile", choices=PROFILES, default="documented", help="default: %(default)s")
    add("--clock", type=_clock, help="virtual, real or an ISO time (default: virtual at speed 0, else real)")
    add("--check-replies", action="store_true", help="hold all replies and events against the spec")
    add("--key", action="append", default=[], metavar="BACKEND:KEY=ACCOUNT", help="let one more key in")
    add("--tokenless", action="append", default=[], metavar="BACKEND", help="ask for no token (ruoyi)")
    add("--origin", action="append", metavar="ORIGIN", help="browsers may call from here only")
    add("--reload", action="store_true", help="pick up changed specs and scenarios, keeping state")
    _folders(parser)


def _folders(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--specs", type=_folder, metavar="DIR", help="own specs, over the bundled ones")
    parser.add_argument("--scenarios", type=_folder, metavar="DIR", help="own scenarios, over the bundled ones")
    parser.add_argument("--modules", type=_folder, metavar="DIR", help="own behaviour, NAME.py for the spec NAME.yaml")


def _port(text: str) -> int:
    if not text.isdigit() or not 0 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = -1.0
    if speed != 0 and not 0.001 <= speed <= 1_000_000:
        raise argparse.ArgumentTypeError(f"expected 0, or a number from 0.001 to 1000000, got {text!r}")
    return speed


def _clock(text: str) -> str:
    try:
        read_clock(text)
    except Misused as error:
        raise argparse.ArgumentTypeError(error.detail) from None
    return text


def _folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {text!r}")
    return folder


def _keys(items: Sequence[str]) -> dict[str, dict[str, str]]:
    keys: dict[str, dict[str, str]] = {}
    for item in items:
        backend, colon, rest = item.partition(":")
        key, equals, account = rest.rpartition("=")
        if not (backend and colon and key and equals and account):
            raise Misused("Malformed key", f"Expected --key BACKEND:KEY=ACCOUNT, got {item!r}.")
        keys.setdefault(backend, {})[key] = account
    return keys


def _settings(chosen: argparse.Namespace) -> Settings:
    return Settings(
        backends=tuple(chosen.backends),
        host=chosen.host,
        port=chosen.port,
        seed=chosen.seed,
        speed=chosen.speed,
        profile=chosen.profile,
        clock=chosen.clock,
        specs=chosen.specs,
        scenarios=chosen.scenarios,
        modules=chosen.modules,
        reload=chosen.reload,
        check_replies=chosen.check_replies,
        origins=tuple(chosen.origin) if chosen.origin else ("*",),
        keys=_keys(chosen.key),
        tokenless=tuple(chosen.tokenless),
        # An empty one is none: so Compose passes on what is not set.
        token=os.environ.get(TOKEN) or None,
    )


def _serve(chosen: argparse.Namespace) -> int:
    settings = _settings(chosen)
    from emulator.app import create_app
    from emulator.server import address_of, cannot_listen, listen, make_server, raise_file_limit

    _log_warnings()
    app = create_app(settings)
    try:
        sock = listen(settings.host, settings.port)
    except OSError as error:
        return _complain(cannot_listen(settings.host, settings.port, error), FAILED)
    raise_file_limit()
    url = address_of(sock)
    server = make_server(app)

    def ready() -> None:
        print(f"ready {url}", flush=True)
        # After the ready line: nobody waits for the banner, nor for what the first call would have to open.
        _in_background(lambda: print(banner(app, url), file=sys.stderr, flush=True), lambda: _after_ready(app))

    server.run_with(ready, [sock])
    return FINE


def _exec(chosen: argparse.Namespace) -> int:
    if not chosen.command_line:
        return _complain("say what to run: chat-emulator exec [OPTION…] [BACKEND…] -- COMMAND [ARGUMENT…]", USAGE)
    settings = _settings(chosen)
    from emulator.executing import NotDone, run

    _log_warnings()

    def ready(server: ThreadedServer, variables: Mapping[str, str]) -> None:
        if chosen.verbose:
            shown = "\n".join(f"  {name}={value}" for name, value in variables.items())
            print(f"{banner(server.app, server.url)}\n\n{shown}\n", file=sys.stderr, flush=True)
        _in_background(lambda: _after_ready(server.app))

    try:
        return run(settings, chosen.command_line, ready)
    except NotDone as error:
        return _complain(str(error), error.code)


def _log_warnings() -> None:
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def _in_background(*parts: Callable[[], None]) -> None:
    import threading

    threading.Thread(target=lambda: [part() for part in parts], daemon=True).start()


def _after_ready(app: App) -> None:
    if app.settings.reload:
        from emulator.reload import Reloader

        Reloader(app.services.values(), lambda line: print(line, file=sys.stderr, flush=True)).start()
    try:
        app.warm()
    except Broken as error:
        _complain(str(error), FAILED)


def banner(app: App, url: str) -> str:
    """What a person sees at start: addresses, keys, and where to look."""
    shown = url.replace("0.0.0.0", "127.0.0.1")
    settings = app.settings
    how = f"seed {settings.seed} · speed {settings.speed:g} · {settings.profile} · clock {settings.clock_kind()}"
    lines = [
        f"chat-emulator {__version__} · {how}",
        f"look at {_paint(shown + '/', '36')}",
    ]
    for name, service in app.services.items():
        lines.append(f"\n  {_paint(name, '1')}  {shown}/{name}{service.bases()[0]}")
        if len(app.services) == 1:
            lines.append(f"  {' ' * len(name)}  {shown}{service.bases()[0] or '/'}")
        lines += [f"    {one.value:<22} {one.what}" for one in service.backend.credentials]
    if app.token is not None:
        lines.append(f"\n  control API: Authorization: Bearer {app.token}")
    return "\n".join(lines)


def _routes(chosen: argparse.Namespace) -> int:
    from tabulate import tabulate

    from emulator.app import open_services

    settings = Settings(
        backends=tuple(chosen.backends), specs=chosen.specs, scenarios=chosen.scenarios, modules=chosen.modules
    )
    services = open_services(settings)
    rows = []
    for name, service in services.items():
        base = f"/{name}{service.bases()[0]}"
        for operation in service.document.operations.values():
            how = "stateful" if operation.id in service.backend.behaviours else "from its schema"
            rows.append((name, operation.method, base + operation.path, operation.id, how))
        rows += [
            (name, one.method, f"/{name}{one.path}", "", f"extra: {one.summary}") for one in service.backend.extras
        ]
    print(tabulate(rows, headers=("backend", "method", "path", "operation", "answered"), tablefmt="simple"))
    counted = sum(len(service.document.operations) for service in services.values())
    print(f"\n{counted} operations of {len(services)} backend{'s' * (len(services) != 1)}")
    return FINE


def _check(chosen: argparse.Namespace) -> int:
    from emulator.checking import check

    checked = check(Settings(specs=chosen.specs, scenarios=chosen.scenarios, modules=chosen.modules))
    for line in checked.findings:
        print(line)
    counted = f"{checked.specs} specs and {checked.scenarios} scenarios checked"
    print(f"{counted}, {len(checked.findings)} findings", file=sys.stderr)
    return FAILED if checked.findings else FINE


def _scenarios(chosen: argparse.Namespace) -> int:
    from emulator import showing

    settings = Settings(specs=chosen.specs, scenarios=chosen.scenarios, modules=chosen.modules, seed=chosen.seed)
    if chosen.schema:
        showing.show_schema(sys.stdout)
    elif chosen.name is None:
        showing.show_all(settings, chosen.backend, sys.stdout)
    else:
        showing.show_one(settings, chosen.name, chosen.backend, sys.stdout)
    return FINE


def _conform(chosen: argparse.Namespace) -> int:
    from emulator.conform.command import Asked, conform

    return conform(
        Asked(
            backend=chosen.backend,
            url=chosen.url,
            headers=chosen.header,
            seed=chosen.seed,
            examples=chosen.examples,
            phases=chosen.phases,
            junit=chosen.junit,
            page=chosen.report,
            specs=chosen.specs,
            read_only=chosen.read_only,
            budget=chosen.budget,
            yes=chosen.yes,
            only=chosen.only,
            list=chosen.list,
            timeout=chosen.timeout,
        )
    )
