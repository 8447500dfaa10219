"""Measure calls a second, CPU time a call and start-up, beside a bare Starlette route: `make bench-quick`.

Two servers in processes of their own, with the same uvicorn: the emulator answering a validated, stateful
`GET /dify/v1/conversations`, and a Starlette route that answers JSON of the same size. They are loaded in turn, from
this process, over a few kept connections on loopback; medians and their ratio are printed. The CPU time is the truer
figure: waiting for a core that others use does not count, nor does waiting for this process to call again.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import uvloop

ROOT = Path(__file__).parent.parent
CALL = "/dify/v1/conversations?user=abc-123&limit=20"
KEY = {"Authorization": "Bearer app-emulator"}
TARGET = 0.3
WARM_SECONDS = 0.5


def main() -> int:
    """Measure and print; returns the exit code."""
    chosen = _arguments()
    if chosen.be == "bare":
        return serve_bare(chosen.size)
    if chosen.be == "emulator":
        return serve_emulator()

    with ExitStack() as stack:
        emulator = stack.enter_context(spawned("--be", "emulator"))
        size = len(fetch(emulator.url + CALL))
        bare = stack.enter_context(spawned("--be", "bare", "--size", str(size)))
        pairs = [
            (load(bare, chosen.seconds, chosen.connections), load(emulator, chosen.seconds, chosen.connections))
            for _ in range(chosen.pairs)
        ]
    show_calls(pairs, size, chosen)

    starts = [(start_bare(), start_emulator("/_emulator/health"), start_emulator(CALL)) for _ in range(chosen.starts)]
    show_starts(starts)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the emulator beside a bare Starlette route.")
    parser.add_argument("--pairs", type=int, default=5, help="how often each is loaded (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=1.5, help="of load each time (default: %(default)s)")
    parser.add_argument("--connections", type=int, default=4, help="kept open (default: %(default)s)")
    parser.add_argument("--starts", type=int, default=5, help="how often each is started (default: %(default)s)")
    parser.add_argument("--be", choices=("bare", "emulator"), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, default=0, help=argparse.SUPPRESS)
    return parser.parse_args()


# ---- the two servers, in processes of their own


def serve_bare(size: int) -> int:
    """Serve one Starlette route with about `size` bytes of JSON, under the emulator's uvicorn."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    value = {"text": "x" * (size - len('{"text":""}'))}

    async def endpoint(request: Request) -> JSONResponse:
        return JSONResponse(value)

    return _serve(Starlette(routes=[Route("/dify/v1/conversations", endpoint)]))


def serve_emulator() -> int:
    """Serve the emulator's dify backend, with all it needs opened beforehand."""
    from emulator import create_app

    app = create_app(backends=("dify",), speed=0.0)
    app.warm()
    return _serve(app)


def _serve(app: Any) -> int:
    from emulator.server import listen, make_server

    sock = listen("127.0.0.1", 0)
    server = make_server(app)

    def ready() -> None:
        print(f"ready http://127.0.0.1:{sock.getsockname()[1]}", flush=True)
        threading.Thread(target=_tell_time, daemon=True).start()

    server.run_with(ready, [sock])
    return 0


def _tell_time() -> None:
    """Answer each line on stdin with the CPU seconds that this process has used."""
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


@dataclass(frozen=True, slots=True)
class Spawned:
    """A server process: its address, and what tells the CPU seconds it has used."""

    url: str
    cpu: Callable[[], float]


@contextmanager
def spawned(*arguments: str) -> Iterator[Spawned]:
    """This script as a server."""
    with process([sys.executable, __file__, *arguments]) as (server, url):
        yield Spawned(url, lambda: _ask_time(server))


def _ask_time(server: subprocess.Popen[str]) -> float:
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write("\n")
    server.stdin.flush()
    return float(server.stdout.readline())


@contextmanager
def process(command: Sequence[str]) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process and its address, once it has said `ready`; ended afterwards."""
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None
        try:
            word, _, url = server.stdout.readline().strip().partition(" ")
            if word != "ready":
                raise RuntimeError(f"{' '.join(command)} did not start")
            yield server, url
        finally:
            server.terminate()


# ---- the load


class Caller(asyncio.Protocol):
    """One kept connection that calls again as soon as it is answered."""

    LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)

    def __init__(self, request: bytes, failed: Callable[[str], None]) -> None:
        self.answered = 0
        self._request = request
        self._failed = failed
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Call for the first time."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by inheritance
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Count a whole answer and call again."""
        self._received += data
        head, blank, body = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        length = self.LENGTH.search(head + b"\r\n")
        if not head.startswith(b"HTTP/1.1 200 ") or length is None:
            self._failed(self._received[:300].decode("latin-1"))
            return
        if len(body) < int(length[1]):
            return
        self.answered += 1
        self._received = b""
        self._transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        """Nobody closes a kept connection while it is in use."""
        if not self._transport.is_closing():
            self._failed("the connection was lost")

    def close(self) -> None:
        """Stop calling."""
        self._transport.abort()


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one load: calls a second, and the server's CPU microseconds a call."""

    calls: float
    cpu: float


def _same(caller: Caller) -> Caller:
    return caller


def load(server: Spawned, seconds: float, connections: int) -> Figures:
    """Load a server for some seconds, after warming it up."""
    address = urlsplit(server.url)
    lines = [f"GET {CALL} HTTP/1.1", f"Host: {address.netloc}", *(f"{name}: {value}" for name, value in KEY.items())]
    request = ("\r\n".join(lines) + "\r\n\r\n").encode()

    async def run() -> Figures:
        loop = asyncio.get_running_loop()
        broken: asyncio.Future[None] = loop.create_future()

        def failed(what: str) -> None:
            if not broken.done():
                broken.set_exception(RuntimeError(what))

        callers = [Caller(request, failed) for _ in range(connections)]
        for caller in callers:
            await loop.create_connection(partial(_same, caller), address.hostname or "", address.port or 0)
        await asyncio.wait([broken], timeout=WARM_SECONDS)
        answered, used, began = sum(caller.answered for caller in callers), server.cpu(), time.perf_counter()
        await asyncio.wait([broken], timeout=seconds)
        took, used = time.perf_counter() - began, server.cpu() - used
        answered = sum(caller.answered for caller in callers) - answered
        for caller in callers:
            caller.close()
        if broken.done():
            broken.result()
        if not answered:
            raise RuntimeError(f"{server.url} did not answer")
        return Figures(answered / took, used / answered * 1e6)

    return uvloop.run(run())


def fetch(url: str) -> bytes:
    """The body of one GET, past any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, headers=KEY), timeout=30) as reply:
        body: bytes = reply.read()
    return body


# ---- start-up


BARE = """
import socket
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

async def endpoint(request):
    return JSONResponse({})

class Server(uvicorn.Server):
    async def startup(self, sockets=None):
        await super().startup(sockets)
        print(f"ready http://127.0.0.1:{sock.getsockname()[1]}", flush=True)

sock = socket.create_server(("127.0.0.1", 0))
app = Starlette(routes=[Route("/", endpoint)])
Server(uvicorn.Config(app, http="httptools", loop="uvloop", ws="none", lifespan="off", log_config=None)).run([sock])
"""


def start_bare() -> float:
    """Milliseconds from spawning a bare Starlette, without anything of the emulator's, to its first byte."""
    return _start([sys.executable, "-c", BARE], "/")


def start_emulator(path: str) -> float:
    """Milliseconds from spawning `chat-emulator serve dify` to the first byte of an answer."""
    return _start([sys.executable, "-m", "emulator", "serve", "dify", "--port", "0"], path)


def _start(command: Sequence[str], path: str) -> float:
    began = time.perf_counter()
    with process(command) as (_, url):
        fetch(url + path)
        return (time.perf_counter() - began) * 1000


# ---- what is printed


def show_calls(pairs: Sequence[tuple[Figures, Figures]], size: int, chosen: argparse.Namespace) -> None:
    """Medians of the loads, and the ratios: more is better in both columns."""
    print(f"GET {CALL}\n{size} bytes, {chosen.connections} connections, {chosen.pairs} × {chosen.seconds:g} s each\n")
    print(f"{'':<18}{'calls/s':>10}{'CPU µs/call':>14}")
    for name, column in (("bare Starlette", 0), ("emulator", 1)):
        calls = statistics.median(pair[column].calls for pair in pairs)
        cpu = statistics.median(pair[column].cpu for pair in pairs)
        print(f"{name:<18}{calls:>10.0f}{cpu:>14.1f}")
    by_calls = [emulator.calls / bare.calls for bare, emulator in pairs]
    by_cpu = [bare.cpu / emulator.cpu for bare, emulator in pairs]
    print(f"{'ratio':<18}{statistics.median(by_calls):>10.2f}{statistics.median(by_cpu):>14.2f}   target {TARGET}")
    print(f"{'  from … to':<18}{_span(by_calls):>10}{_span(by_cpu):>14}\n")


def _span(values: Sequence[float]) -> str:
    return f"{min(values):.2f}…{max(values):.2f}"


def show_starts(starts: Sequence[tuple[float, float, float]]) -> None:
    """Medians of the starts."""
    names = ("bare Starlette", "emulator, health", "emulator, validated call")
    print("spawn → first byte, ms")
    for name, values in zip(names, zip(*starts, strict=True), strict=True):
        print(f"{name:<26}{statistics.median(values):>6.0f}   {min(values):.0f}…{max(values):.0f}")


if __name__ == "__main__":
    sys.exit(main())
