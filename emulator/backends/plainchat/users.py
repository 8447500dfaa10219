"""Users: registering, checking a password, and what the document does not tell. Source: FACTS.md 001, Users."""

from __future__ import annotations

from emulator.backends import Ask
from emulator.backends.plainchat.records import User, data_of
from emulator.backends.plainchat.wire import reply_json
from emulator.call import Reply
from emulator.errors import Refused
from emulator.world.clock import iso


def register(ask: Ask) -> Reply:
    """`registerUser`."""
    users = data_of(ask.world).users
    name, password = ask.body["username"], ask.body["password"]
    if users.get(name) is not None:
        raise Refused("user_exists")
    users.put(User(name, password))
    return reply_json({"message": "用户注册成功！"})


def login(ask: Ask) -> Reply:
    """`loginUser`: says whether name and password belong together, and hands out nothing."""
    user = data_of(ask.world).users.get(ask.body["username"])
    if user is None or user.password != ask.body["password"]:
        raise Refused("wrong_password")
    return reply_json({"message": "登录成功"})


def user_info(ask: Ask) -> Reply:
    """`GET /api/user/user_info/{username}`, not in the document."""
    user = data_of(ask.world).users.get(ask.path["username"])
    if user is None:
        raise Refused("user_not_found")
    return reply_json({"code": 200, "message": "获取用户信息成功", "data": {"username": user.id}})


def health(ask: Ask) -> Reply:
    """`GET /health`, not in the document."""
    now = iso(ask.world.clock.now())
    return reply_json({"status": "healthy", "timestamp": now, "service": "chatbot-backend"})
