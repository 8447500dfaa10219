"""Tokens: what we sign others can verify, and only what was signed with the key is read."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.wire import jwt

KEY = b"k" * 32
CLAIMS = {"sub": "1", "exp": 1767225600, "name": "李"}

RFC_KEY = base64.urlsafe_b64decode(
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow=="
)
RFC_TOKEN = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
"""RFC 7515, appendix A.1."""


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed(header: object, claims: object, key: bytes = KEY) -> str:
    """A token as any other program would make it."""
    text = f"{part(header)}.{part(claims)}"
    signature = base64.urlsafe_b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest())
    return f"{text}.{signature.rstrip(b'=').decode()}"


def test_the_token_of_the_standard_is_read() -> None:
    assert jwt.read(RFC_TOKEN, RFC_KEY) == {"iss": "joe", "exp": 1300819380, "http://example.com/is_root": True}


def test_a_token_is_what_the_standard_says() -> None:
    header, claims, signature = jwt.sign({"a": 1}, KEY).split(".")
    assert base64.urlsafe_b64decode(header + "=") == b'{"alg":"HS256","typ":"JWT"}'
    assert base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)) == b'{"a":1}'
    expected = hmac.new(KEY, f"{header}.{claims}".encode(), hashlib.sha256).digest()
    assert base64.urlsafe_b64decode(signature + "=") == expected


@given(st.dictionaries(st.text(max_size=9), st.none() | st.booleans() | st.integers() | st.text(max_size=9)))
def test_claims_come_back(claims: dict[str, object]) -> None:
    assert jwt.read(jwt.sign(claims, KEY), KEY) == claims


FOREIGN = {
    "another key": signed({"alg": "HS256"}, CLAIMS, b"another"),
    "no signature": jwt.sign(CLAIMS, KEY).rpartition(".")[0] + ".",
    "no algorithm": f"{part({'alg': 'none'})}.{part(CLAIMS)}.",
    "another algorithm": signed({"alg": "HS512"}, CLAIMS),
    "a header that is no object": signed(["HS256"], CLAIMS),
    "claims that are no object": signed({"alg": "HS256"}, [1]),
    "two parts": "a.b",
    "four parts": jwt.sign(CLAIMS, KEY) + ".x",
    "nothing": "",
    "dots": "...",
    "letters beyond ASCII": "ä.ö.ü",
    "half a pair": "\ud800.\ud800.\ud800",
}


@pytest.mark.parametrize("token", FOREIGN.values(), ids=FOREIGN)
def test_what_was_not_signed_is_not_read(token: str) -> None:
    assert jwt.read(token, KEY) is None


@pytest.mark.parametrize("payload", ["[" * 100_000, "{", "\xff"])
def test_what_was_signed_and_is_no_json_is_not_read(payload: str) -> None:
    text = f"{part({'alg': 'HS256'})}.{base64.urlsafe_b64encode(payload.encode('latin-1')).rstrip(b'=').decode()}"
    signature = base64.urlsafe_b64encode(hmac.new(KEY, text.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
    assert jwt.read(f"{text}.{signature}", KEY) is None
