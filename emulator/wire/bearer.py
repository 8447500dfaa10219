"""The `Authorization: Bearer …` header, read once for all backends. Source: RFC 6750 §2.1."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an Authorization header holds. `scheme` is in lower case; `token` is None when there is no blank in it."""

    scheme: str
    token: str | None


def credentials(headers: Mapping[str, str]) -> Credentials | None:
    """The credentials of a call; None without the header. `headers` have lower-case names."""
    header = headers.get("authorization")
    if header is None:
        return None
    scheme, blank, token = header.partition(" ")
    return Credentials(scheme.lower(), token.strip() if blank else None)
