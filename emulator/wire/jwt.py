"""JSON Web Tokens signed with HMAC-SHA-256, by PyJWT. The only algorithm: nothing in a token chooses another.

Says whether a token was signed with the key, and what it claims; whether its time is over is asked by the caller, who
knows the session's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

ALGORITHM = "HS256"


def sign(claims: Mapping[str, Any], key: bytes) -> str:
    """The token that makes these claims."""
    import jwt

    return jwt.encode(dict(claims), key, ALGORITHM)


def read(token: str, key: bytes) -> dict[str, Any] | None:
    """The claims of a token that was signed with `key`; None for anything else."""
    import jwt

    # Whatever the claims are, only the signature is asked here.
    asked = {"verify_signature": True} | dict.fromkeys(UNASKED, False)
    try:
        claims: dict[str, Any] = jwt.decode(token, key, [ALGORITHM], options=asked)  # type: ignore[arg-type]
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        return None
    return claims


UNASKED = ("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss", "verify_sub", "verify_jti")
