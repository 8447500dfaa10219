"""What can be set for a whole server. One frozen value, made once from flags or by a caller.

Owns names, defaults and bounds of settings; reads no environment and no file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, get_args

from emulator.errors import Misused
from emulator.times import moment

Profile = Literal["documented", "observed"]
ClockKind = Literal["virtual", "real"]

PROFILES: tuple[str, ...] = get_args(Profile)
CLOCKS: tuple[str, ...] = get_args(ClockKind)
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{8,200}=*")
"""A bearer token as RFC 6750 writes it, and not too short."""
MOST_PORT = 65_535
CLOCK_WORDS = "virtual, real or an ISO 8601 time from 1971 to 9998 such as 2026-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one server keeps or reads, so that no input makes it grow without end."""

    body_bytes: int = 105 * 1024 * 1024
    """Longest request body; a longer one is refused with 413 before it is read whole."""
    text_body_bytes: int = 4 * 1024 * 1024
    """Longest request body that is no multipart upload."""
    records: int = 100_000
    """Records a session keeps for one backend; the oldest leave first and are counted."""
    bytes: int = 256 * 1024 * 1024
    """Bytes of records and uploads a session keeps for one backend; the oldest leave first."""
    sessions: int = 1_000
    """Sessions kept; the one unused for longest leaves first."""
    total_bytes: int = 1024 * 1024 * 1024
    """Bytes that all sessions keep together, roughly; the session unused for longest leaves first."""
    journal_entries: int = 1_000
    """Entries a session's journal keeps."""
    journal_bytes: int = 16 * 1024 * 1024
    """Bytes that a session's journal keeps, roughly; the oldest entries leave first."""
    journal_body_bytes: int = 16 * 1024
    """Bytes of a body that a journal entry keeps."""
    idle_seconds: float = 24 * 3600.0
    """Seconds after which a session that nobody used leaves, unless a stream of it is under way."""
    snapshot_bytes: int = 256 * 1024 * 1024
    """Longest text of a snapshot that is read."""
    send_seconds: float = 60.0
    """How long a client may take to read one frame before its stream is ended."""
    stall_seconds: float = 3_600.0
    """How long a stalled answer is held for its client before the connection is dropped."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a server.

    `backends` empty means all there are. `specs`, `scenarios` and `modules` are folders of one's own: `NAME.yaml`,
    `NAME/*.yaml` and `NAME.py` there add to the bundled ones, and win over those of the same name. `speed` is a
    multiplier of stream time (2 = twice as fast, 0 = no waiting). `clock` is `virtual`, `real` or an ISO 8601 time at
    which a virtual clock starts; None means virtual at speed 0, else real. Anything else raises Misused.
    `keys` adds credentials: backend → key → account, where the account is one the backend has (dify: an app's key there
    from the start). `origins` are the origins that browsers may call backends from, `*` is any. `tokenless` names
    backends whose operations need no token where the running system is known to come in both ways (ruoyi: the Dify
    group). `token` is the bearer token, of 8 to 200 characters, that the control API asks for where `host` is not
    loopback; None makes one up. `check_replies` holds every reply and event against the spec, and journals and logs
    each breach.
    """

    backends: tuple[str, ...] = ()
    host: str = "127.0.0.1"
    port: int = 8787
    seed: int = 0
    speed: float = 1.0
    profile: Profile = "documented"
    clock: str | None = None
    specs: Path | None = None
    scenarios: Path | None = None
    modules: Path | None = None
    reload: bool = False
    check_replies: bool = False
    origins: tuple[str, ...] = ("*",)
    keys: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tokenless: tuple[str, ...] = ()
    token: str | None = field(default=None, repr=False)
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        for name in ("specs", "scenarios", "modules"):
            if isinstance(getattr(self, name), str):
                object.__setattr__(self, name, Path(getattr(self, name)))
        if not _whole(self.port) or not 0 <= self.port <= MOST_PORT:
            raise Misused("Bad port", f"Expected a port from 0 to {MOST_PORT}, got {_quoted(self.port)}.")
        if not _whole(self.seed):
            raise Misused("Bad seed", f"Expected an integer as seed, got {_quoted(self.seed)}.")
        speed: object = self.speed
        # A number that is none (NaN) is in no range.
        if isinstance(speed, bool) or not isinstance(speed, int | float) or not (speed == 0 or 0.001 <= speed <= 1e6):
            raise Misused("Bad speed", f"Expected 0 or a speed from 0.001 to 1000000, got {_quoted(speed)}.")
        if self.clock is not None:
            read_clock(self.clock)
        if self.token is not None and not TOKEN.fullmatch(self.token):
            # Not quoted: it may be somebody's secret.
            raise Misused("Bad token", "Expected a token of 8 to 200 letters, digits and . _ ~ + / -, got another.")

    def clock_kind(self) -> ClockKind:
        """The clock a new session starts with."""
        return self._clock()[0]

    def clock_start(self) -> float | None:
        """Unix seconds at which a new session's virtual clock starts, None for the usual start."""
        return self._clock()[1]

    def _clock(self) -> tuple[ClockKind, float | None]:
        return read_clock(self.clock or ("virtual" if self.speed == 0 else "real"))


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _quoted(value: object) -> str:
    return repr(value)[:80]


def read_clock(text: str) -> tuple[ClockKind, float | None]:
    """Kind and start of a clock, from `virtual`, `real` or an ISO 8601 time (a virtual clock that starts there). Raises
    Misused for anything else."""
    match text:
        case "virtual" | "real":
            return text, None
        case _:
            try:
                return "virtual", moment(text)
            except ValueError:
                raise Misused("Bad clock", f"Expected {CLOCK_WORDS}, got {text[:80]!r}.", CLOCKS) from None
