"""Users and tokens: who is let in, and logging in.

Sources: FACTS.md 000 (Auth), DESIGN.md (keys and people there from the start). A token is a JWT of one day; it ends by
the session's clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from emulator.backends import Ask
from emulator.backends.ruoyi.wire import JSON, stamp
from emulator.call import Reply
from emulator.contract.door import Unreadable, media_type, read_multipart, read_query
from emulator.errors import Refused
from emulator.jsontext import compact
from emulator.wire import jwt
from emulator.wire.bearer import credentials
from emulator.wire.fastapi import Detailed
from emulator.wire.fastapi_body import missing
from emulator.world.session import World

TOKEN_SECONDS = 24 * 3600
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
REQUIRED = ("username", "password")


@dataclass(frozen=True, slots=True)
class User:
    """An account of RuoYi. Nothing here can change one, so they are no records."""

    id: int
    name: str
    password: str
    department: str


USERS: Mapping[int, User] = {
    user.id: user for user in (User(1, "admin", "admin123", "研发部门"), User(2, "ry", "admin123", "测试部门"))
}
NAMES: Mapping[str, User] = {user.name: user for user in USERS.values()}
KEYS: Mapping[str, str] = {"emulator-token": "admin"}
"""Tokens that are no JWTs and do not end → whose they are."""


DIFY_PATHS = "/api/ai/dify/"
"""Operations that name no current user: some revisions let them in without a token (see `Settings.tokenless`)."""


def authenticate(ask: Ask) -> User:
    """The user whose token the call carries. Raises Refused."""
    found = credentials(ask.call.headers)
    if found is None and ask.backend.name in ask.settings.tokenless and ask.call.path.find(DIFY_PATHS) >= 0:
        return NAMES["admin"]
    if found is None or found.scheme != "bearer":
        raise Refused("not_authenticated")
    token = found.token or ""
    name = KEYS.get(token) or ask.settings.keys.get(ask.backend.name, {}).get(token)
    return _bearer(ask, token) if name is None else NAMES[name]


def _bearer(ask: Ask, token: str) -> User:
    """Whose JWT this is. Raises Refused."""
    claims = jwt.read(token, _key(ask.world))
    if claims is None:
        raise Refused("token_expired")
    expires = claims.get("exp")
    if not isinstance(expires, int | float) or ask.world.clock.now() >= expires:
        raise Refused("token_expired")
    user = NAMES.get(str(claims.get("user_name")))
    if user is None or str(user.id) != claims.get("user_id"):
        raise Refused("token_invalid")
    return user


def _key(world: World) -> bytes:
    """What tokens of this world are signed with."""
    return world.seed.fixed("token-key", size=32)


def login(ask: Ask) -> Reply:
    """`POST /login`: form fields username and password; code and uuid are the captcha's, which is off."""
    form = _form(ask)
    absent = [name for name in REQUIRED if not form.get(name)]
    if absent:
        raise Detailed([missing(name) for name in absent])
    user = NAMES.get(form["username"])
    if user is None:
        raise Refused("no_such_user")
    if user.password != form["password"]:
        raise Refused("wrong_password")
    now = ask.world.clock.now()
    claims = {
        "user_id": str(user.id),
        "user_name": user.name,
        "dept_name": user.department,
        "session_id": ask.world.seed.uuid("login"),
        "login_info": None,
        "exp": int(now) + TOKEN_SECONDS,
    }
    token = jwt.sign(claims, _key(ask.world))
    body = {"code": 200, "msg": "登录成功", "success": True, "time": stamp(now), "token": token}
    return Reply(200, JSON, compact(body))


def _form(ask: Ask) -> Mapping[str, str]:
    """The plain fields of a form; none of a body that is no form. Raises Refused for a broken one."""
    content_type = ask.call.headers.get("content-type", "")
    try:
        if media_type(content_type) == FORM:
            return {name: values[-1] for name, values in read_query(ask.call.body).items()}
        if media_type(content_type) == MULTIPART:
            parts = read_multipart(ask.call.body, content_type)
            return {part.name: part.data.decode("utf-8", "replace") for part in parts if part.filename is None}
    except Unreadable as error:
        raise Refused("undecodable") from error
    return {}
