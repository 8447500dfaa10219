"""The settings object: read, change. Source: FACTS.md 003, In the seed but absent."""

from __future__ import annotations

from dataclasses import replace

from emulator.backends import Ask
from emulator.backends.deskchat.conversations import given
from emulator.backends.deskchat.records import Preferences, data_of
from emulator.backends.deskchat.wire import success
from emulator.call import Reply

MEMBERS = ("preferences", "default_config", "auto_save", "theme")


def get_settings(ask: Ask) -> Reply:
    """`getSettings`: the defaults, as long as nobody has changed them."""
    return _shown("获取设置成功", _current(ask))


def update_settings(ask: Ask) -> Reply:
    """`updateSettings`: each member that is there and not null is replaced as a whole."""
    changed = replace(_current(ask), **given(ask.body, MEMBERS))
    return _shown("设置更新成功", data_of(ask.world).preferences.put(changed))


def _current(ask: Ask) -> Preferences:
    return data_of(ask.world).preferences.get("settings") or Preferences()


def _shown(message: str, one: Preferences) -> Reply:
    return success(
        message,
        {
            "preferences": one.preferences or {},
            "default_config": one.default_config or {},
            "auto_save": one.auto_save,
            "theme": one.theme,
        },
    )
