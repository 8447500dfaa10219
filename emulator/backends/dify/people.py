"""End users: who stands behind the `user` of a call, and `GET /end-users/{id}`."""

from __future__ import annotations

from emulator.backends import Ask
from emulator.backends.dify.apps import App
from emulator.backends.dify.records import EndUser, data_of
from emulator.backends.dify.wire import reply_json
from emulator.call import Reply
from emulator.errors import Refused
from emulator.world.clock import iso
from emulator.world.session import World

SHARED = "DEFAULT-USER"
EXAMPLES = {("app-emulator", "abc-123"): "f1e2d3c4-b5a6-7890-abcd-ef1234567890"}
"""End users whose id the document's examples name."""


def tenant_id(world: World) -> str:
    """The one workspace."""
    return world.seed.fixed_uuid("tenant")


def end_user(ask: Ask, name: str | None) -> EndUser:
    """The end user of the calling app with this name, made at first use; the shared one without a name."""
    app: App = ask.caller
    return end_user_of(ask.world, app, name)


def end_user_of(world: World, app: App, name: str | None) -> EndUser:
    """See `end_user`."""
    name = name or SHARED
    id = EXAMPLES.get((app.key, name)) or world.seed.fixed_uuid("end-user", f"{app.key}\x00{name}")
    users = data_of(world).users
    user = users.get(id)
    if user is None:
        user = users.put(EndUser(id, app.id_of(world), name, name == SHARED, world.clock.now()))
    return user


def get_end_user(ask: Ask) -> Reply:
    """`getEndUserChat`."""
    user = data_of(ask.world).users.get(ask.path["end_user_id"].lower())
    if user is None or user.app_id != ask.caller.id_in(ask):
        raise Refused("end_user_not_found")
    at = iso(user.created_at, "" if ask.observed("end_user_times") else "Z")
    return reply_json(
        {
            "id": user.id,
            "tenant_id": tenant_id(ask.world),
            "app_id": user.app_id,
            "type": "service-api" if ask.observed("end_user_type") else "service_api",
            "external_user_id": user.name,
            "name": None,
            "is_anonymous": user.anonymous,
            "session_id": user.name,
            "created_at": at,
            "updated_at": at,
        }
    )
