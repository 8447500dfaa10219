"""What can go wrong on the wire, as data. A fault damages what is sent, never what is stored or judged.

Owns the names of faults, what each takes, and where in an answer it strikes. Applying them is in `damage.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LAST = -1
"""The event that ends an answer, as an address."""

CUTS = frozenset({"reset", "truncate", "stall", "refuse"})
"""Faults after which the client gets nothing more."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault. It strikes at `event` (counted from 0; `LAST` is the terminal one) or after `byte` bytes of the body;
    without either where its kind says. As a step of an answer it strikes where it stands."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    event: int | None = None
    byte: int | None = None
