"""Groups: list, create, change, delete. Source: FACTS.md 003, Groups."""

from __future__ import annotations

from dataclasses import replace

from emulator.backends import Ask
from emulator.backends.deskchat import times
from emulator.backends.deskchat.conversations import given, mark_deleted, move
from emulator.backends.deskchat.lookup import active_conversations, default_group, find_group, listed_groups
from emulator.backends.deskchat.records import DEFAULT_GROUP, Group, data_of
from emulator.backends.deskchat.shapes import grouped_conversation, listed_group
from emulator.backends.deskchat.wire import success
from emulator.call import Reply
from emulator.errors import Refused
from emulator.wire.numbers import next_number


def list_groups(ask: Ask) -> Reply:
    """`listGroups`: by `sort`, then by age; with the active conversations of each, the one updated last first."""
    shown = []
    for group in listed_groups(ask.world):
        entry = listed_group(group, group.id == DEFAULT_GROUP)
        if ask.query["include_chats"]:
            inside = active_conversations(ask.world, group.id)
            inside.sort(key=lambda one: (one.updated_at, one.number), reverse=True)
            entry["conversations"] = [grouped_conversation(ask, one) for one in inside]
        shown.append(entry)
    return success("获取分组列表成功", shown)


def create_group(ask: Ask) -> Reply:
    """`createGroup`: names need not be unique."""
    body, world = ask.body, ask.world
    now = world.clock.now()
    created = data_of(world).groups.put(
        Group(
            id=next_group_number(ask),
            name=body["name"],
            description=body.get("description"),
            color=body.get("color"),
            sort=int(body.get("sort") or 0),
            created_at=now,
            updated_at=now,
        )
    )
    return success(
        "分组创建成功", {"id": created.id, "name": created.name, "created_at": times.shown(created.created_at)}
    )


def next_group_number(ask: Ask) -> int:
    """Numbers of groups begin behind the default group's."""
    return DEFAULT_GROUP + next_number(ask.world, "group")


def update_group(ask: Ask) -> Reply:
    """`updateGroup`: what is there and not null is applied; the default group can be changed, too."""
    found = find_group(ask.world, ask.path["group_id"])
    changes = given(ask.body, ("name", "description", "color", "sort"))
    if "sort" in changes:
        changes["sort"] = int(changes["sort"])
    if changes:
        found = data_of(ask.world).groups.put(replace(found, **changes, updated_at=ask.world.clock.now()))
    return success("分组更新成功", {"id": found.id, "name": found.name, "updated_at": times.shown(found.updated_at)})


def delete_group(ask: Ask) -> Reply:
    """`deleteGroup`: its conversations are deleted, or go to the default group."""
    world = ask.world
    group = find_group(world, ask.path["group_id"])
    if group.id == DEFAULT_GROUP:
        # The contract refuses this number before; the rule holds without it, too.
        raise Refused("default_group")
    for conversation in active_conversations(world, group.id):
        if ask.query["delete_chats"]:
            mark_deleted(world, conversation)
        else:
            move(world, conversation, default_group(world).id)
    data_of(world).groups.put(replace(group, status="deleted", updated_at=world.clock.now()))
    return success("分组删除成功")
