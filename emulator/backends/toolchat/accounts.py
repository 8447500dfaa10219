"""Accounts and tokens: who is let in, registering, logging in and out.

Sources: DESIGN.md (keys and people there from the start), FACTS.md 004 (auth). A token is a JWT of 24 hours; it ends by
the session's clock, or when it is handed back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from emulator.backends import Ask
from emulator.backends.toolchat.records import Revoked, User, data_of
from emulator.backends.toolchat.wire import success
from emulator.call import Reply
from emulator.errors import Refused
from emulator.wire import jwt
from emulator.wire.bearer import credentials
from emulator.world.session import World

TOKEN_SECONDS = 24 * 3600
SEEDED: Mapping[str, User] = {
    user.username: user
    for user in (
        User(1, "demo", "demo@example.com", "demo-password"),
        User(2, "guest", "guest@example.com", "guest-password"),
    )
}
"""The accounts that are there from the start. Nothing can change them, so they can be put back at any time."""
KEYS: Mapping[str, str] = {"emulator-token": "demo", "emulator-token-guest": "guest"}
"""Tokens that are not JWTs, do not end and cannot be handed back → whose they are."""
USER_COUNT = "user-id"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls. `jti` and `expires` are those of the token, None for a key."""

    user: User
    jti: str | None = None
    expires: float = 0.0


def authenticate(ask: Ask) -> Caller | None:
    """The caller, None where nobody has to be known. Raises Refused."""
    operation = ask.operation
    assert operation is not None
    if operation.path.endswith("/") and not ask.call.path.endswith("/") and ask.observed("slash_redirect"):
        raise Refused("moved", _with_slash(ask))
    if operation.raw.get("security") == []:
        return None
    found = credentials(ask.call.headers)
    if found is None or found.scheme != "bearer" or not found.token:
        raise Refused("token_missing")
    name = KEYS.get(found.token) or ask.settings.keys.get(ask.backend.name, {}).get(found.token)
    if name is not None:
        user = user_named(ask.world, name)
        if user is None:
            raise Refused("token_invalid")
        return Caller(user)
    return _bearer(ask, found.token)


def _bearer(ask: Ask, token: str) -> Caller:
    """Whose JWT this is. Raises Refused."""
    claims = jwt.read(token, token_key(ask.world)) or {}
    subject, jti, expires = claims.get("sub"), claims.get("jti"), claims.get("exp")
    if not isinstance(subject, str) or not isinstance(jti, str) or not isinstance(expires, int | float):
        raise Refused("token_invalid")
    user = user_named(ask.world, str(claims.get("username")))
    if user is None or str(user.id) != subject:
        raise Refused("token_invalid")
    if ask.world.clock.now() >= expires:
        raise Refused("token_expired")
    if data_of(ask.world).revoked.get(jti) is not None:
        raise Refused("token_revoked")
    return Caller(user, jti, expires)


def token_key(world: World) -> bytes:
    """What tokens of this world are signed with."""
    return world.seed.fixed("token-key", size=32)


def seed_accounts(world: World) -> None:
    """Put the accounts that are there from the start, and count on from them."""
    world.seed.counters[USER_COUNT] = len(SEEDED)
    for user in SEEDED.values():
        data_of(world).users.put(user)


def user_named(world: World, name: str) -> User | None:
    """The account with this name. One that is there from the start is, even after the store had to let it go."""
    found = data_of(world).users.where("username", name)
    if found:
        return found[0]
    seeded = SEEDED.get(name)
    return None if seeded is None else data_of(world).users.put(seeded)


def register(ask: Ask) -> Reply:
    """`registerUser`."""
    users, body = data_of(ask.world).users, ask.body
    emails = {user.email.casefold() for user in SEEDED.values()}
    if user_named(ask.world, body["username"]) is not None:
        raise Refused("username_taken")
    if body["email"].casefold() in emails or users.where("email", body["email"].casefold()):
        raise Refused("email_taken")
    # Counted and not looked up: the record with the highest number can have left.
    counters = ask.world.seed.counters
    counters[USER_COUNT] = counters.get(USER_COUNT, len(SEEDED)) + 1
    user = users.put(User(counters[USER_COUNT], body["username"], body["email"], body["password"]))
    return success({"id": user.id, "username": user.username}, "注册成功")


def login(ask: Ask) -> Reply:
    """`loginUser`."""
    user = user_named(ask.world, ask.body["username"])
    if user is None or user.password != ask.body["password"]:
        raise Refused("wrong_credentials")
    shown = {"id": user.id, "username": user.username, "role": user.role}
    token = jwt.sign(_claims(ask.world, user), token_key(ask.world))
    return success({"access_token": token, "token_type": "bearer", "user": shown}, "登录成功")


def _claims(world: World, user: User) -> dict[str, Any]:
    now = int(world.clock.now())
    return {
        "sub": str(user.id),
        "username": user.username,
        "role": user.role,
        "iat": now,
        "exp": now + TOKEN_SECONDS,
        "jti": world.seed.next("token").hex(),
    }


def logout(ask: Ask) -> Reply:
    """`logoutUser`: the token is worth nothing from now on. A key stays good, or nobody could go on."""
    caller: Caller = ask.caller
    if caller.jti is not None:
        data_of(ask.world).revoked.put(Revoked(caller.jti, caller.expires))
    return success(message="登出成功")


def me(ask: Ask) -> Reply:
    """`getCurrentUser`."""
    user: User = ask.caller.user
    shown = {"id": user.id, "username": user.username, "email": user.email}
    return success({**shown, "role": user.role, "is_active": user.is_active})


def _with_slash(ask: Ask) -> str:
    query = ask.call.query.decode("latin-1")
    return f"{ask.call.origin}{ask.call.mount}{ask.call.path}/" + (f"?{query}" if query else "")
