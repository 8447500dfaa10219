"""The only source of randomness, ids and generated data.

Every value derives from (seed, kind, key, n) by BLAKE2b, never from a shared sequence, so one more draw of one kind
moves nothing else. `n` counts the draws of a kind and key in this session; kinds and keys are few and fixed (never a
client's text), so the counters stay small.
"""

from __future__ import annotations

import random
import uuid
from hashlib import blake2b
from typing import Any


class Seed:
    """Values for one realm (a backend) of one session. `counters` is shared state that a snapshot carries."""

    __slots__ = ("counters", "number", "realm")

    def __init__(self, number: int, realm: str, counters: dict[str, int] | None = None) -> None:
        self.number = number
        self.realm = realm
        self.counters: dict[str, int] = {} if counters is None else counters

    def fixed(self, kind: str, key: str = "", size: int = 16) -> bytes:
        """`size` bytes that depend on the seed, `kind` and `key` only: the same at every call."""
        text = f"{self.number}\x00{self.realm}\x00{kind}\x00{key}"
        return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=size).digest()

    def next(self, kind: str, key: str = "", size: int = 16) -> bytes:
        """`size` bytes, new at each call of this kind and key, the same in every run."""
        name = f"{kind}\x00{key}"
        n = self.counters.get(name, 0)
        self.counters[name] = n + 1
        return self.fixed(kind, f"{key}\x00{n}", size)

    def uuid(self, kind: str, key: str = "") -> str:
        """A new version 4 UUID."""
        return as_uuid(self.next(kind, key))

    def fixed_uuid(self, kind: str, key: str = "") -> str:
        """The one UUID of `kind` and `key`."""
        return as_uuid(self.fixed(kind, key))

    def rng(self, kind: str, key: str = "") -> random.Random:
        """A generator of its own for `kind` and `key`, always starting alike."""
        return random.Random(self.fixed(kind, key))

    def faker(self, kind: str, key: str = "", locale: str = "en_US") -> Any:
        """A Faker for one locale that starts alike for `kind` and `key`. Use it at once, and only to create things:
        the object is shared by everyone who asks for the locale."""
        fake = _faker(locale)
        fake.seed_instance(int.from_bytes(self.fixed(kind, key, 8), "big"))
        return fake


def as_uuid(digest: bytes) -> str:
    """Sixteen bytes as the text of a version 4 UUID."""
    return str(uuid.UUID(bytes=digest, version=4))


_FAKERS: dict[str, Any] = {}


def _faker(locale: str) -> Any:
    """Faker is imported when the first thing is made, not at start: it costs 60 ms."""
    fake = _FAKERS.get(locale)
    if fake is None:
        from faker import Faker

        fake = _FAKERS[locale] = Faker(locale)
    return fake
