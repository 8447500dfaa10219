"""What a call is made to do: by header, by chat text, by what was armed, by a scenario's own words. First match wins.

`choose` looks and changes nothing; `settle` counts, spends and moves the states on, when the call was not refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from emulator.backends import Ask
from emulator.damage import can_strike_reply
from emulator.errors import Broken, Misused
from emulator.fault import Fault
from emulator.prefer import Preference, read_prefer
from emulator.service import Service
from emulator.streams.scenario import Scenario, Unfolded, asked_for
from emulator.streams.scene import Scene
from emulator.streams.when import mismatch
from emulator.world.armed import Arming
from emulator.world.journal import Entry

MOST_MISSES = 20
USELESS = "its fault could do nothing to a reply that is no stream"
ASKED = "the call itself asks for something else"


@dataclass(frozen=True, slots=True)
class Readied:
    """What an arming was made of: at most one of `scenario` and `prefer`, and any faults."""

    scenario: Scenario | str | None = None
    prefer: str | None = None
    faults: tuple[Fault, ...] = ()
    when: Any = None


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and by what. `faults` beside those of the scenario come from `arming`."""

    by: str | None = None
    preference: Preference | None = None
    scenario: Scenario | None = None
    unfolded: Unfolded | None = None
    arming: Arming | None = None
    faults: tuple[Fault, ...] = ()


def choose(service: Service, ask: Ask, entry: Entry, preference: Preference | None, named: Scenario | None) -> Choice:
    """What this call does; near misses go to its entry. Raises Misused for a scenario that is not there, Broken for one
    that cannot be used."""
    assert ask.operation is not None
    armed = _armed(ask)
    if preference is not None:
        entry.near_misses = tuple(_passed_over(ask, armed))
        return Choice("prefer", preference)
    text = _asked(ask)
    automatic = service.scenarios.automatic(ask.operation.id)
    if named is None and text is None and not armed and not automatic:
        return Choice()
    scene = scene_of(ask)
    misses: list[str] = []
    try:
        return _first(service, ask, scene, named, text, armed, misses) or Choice()
    finally:
        entry.near_misses = tuple(misses[:MOST_MISSES])


def _first(
    service: Service,
    ask: Ask,
    scene: Scene,
    named: Scenario | None,
    text: str | None,
    armed: Sequence[Arming],
    misses: list[str],
) -> Choice | None:
    for by, wanted in (("header", named), ("text", None if text is None else service.scenarios.get(text))):
        if wanted is not None and (unfolded := _played(ask, scene, wanted, misses)) is not None:
            misses += _passed_over(ask, armed)
            return Choice(by, None, wanted, unfolded)
    for arming in armed:
        choice = _of_arming(service, ask, scene, arming, misses)
        if choice is not None:
            return choice
    found, missed = service.scenarios.matching(scene)
    misses += missed
    if found is not None and (unfolded := _played(ask, scene, found, misses)) is not None:
        return Choice("when", None, found, unfolded)
    return None


def _passed_over(ask: Ask, armed: Sequence[Arming]) -> list[str]:
    """What was armed for such a call, and waits for one that asks for nothing."""
    assert ask.operation is not None
    waiting = [one.id for one in armed if one.operation in (None, ask.operation.id)]
    return [f"armed {id}: {ASKED}" for id in waiting[:MOST_MISSES]]


def _asked(ask: Ask) -> str | None:
    """The scenario that the chat text names."""
    assert ask.operation is not None
    member = ask.backend.chat_text.get(ask.operation.id)
    if member is None or not isinstance(ask.body, dict):
        return None
    return asked_for(_said(ask.body.get(member)))


def _said(value: Any) -> str:
    """The person's text in a body's member: the text itself, or the last that a user said in a list of messages."""
    if isinstance(value, list):
        said = [one.get("content") for one in value if isinstance(one, dict) and one.get("role") == "user"]
        value = said[-1] if said else None
    return value if isinstance(value, str) else ""


def _armed(ask: Ask) -> list[Arming]:
    armed = ask.session.armed
    if not armed.items:
        return []
    armed.expire(ask.session.clock.now())
    return armed.for_backend(ask.backend.name)


def scene_of(ask: Ask) -> Scene:
    """What a scenario can know of this call."""
    assert ask.operation is not None
    story = ask.world.story
    return Scene(
        operation=ask.operation.id,
        method=ask.call.method,
        url=ask.call.path,
        headers=ask.call.headers,
        path=ask.path,
        query=ask.query,
        body=ask.body,
        nth=story.calls.get(ask.operation.id, 0) + 1,
        turn=ask.backend.turn(ask) if ask.operation.id in ask.backend.chat_text else 1,
        plays=story.plays,
        states=story.states,
        session=ask.session.name,
        seed=ask.world.seed,
        now=ask.session.clock.now(),
    )


def _played(ask: Ask, scene: Scene, scenario: Scenario, misses: list[str]) -> Unfolded | None:
    """What a scenario comes to for this call; None, with the reason among the misses, where it cannot be played."""
    assert ask.operation is not None
    if scenario.operation not in (None, ask.operation.id):
        misses.append(f"{scenario.name}: it is for {scenario.operation}")
        return None
    if ask.operation.id in ask.backend.chat_text:
        return scenario.unfold(scene)
    try:
        unfolded = scenario.unfold(scene)
    except (Broken, Misused) as error:
        # It may speak of what only a call that it is for has.
        misses.append(f"{scenario.name}: {error}")
        return None
    if unfolded.answers:
        misses.append(f"{scenario.name}: {ask.operation.id} gives no answer that it could be played in")
        return None
    return unfolded


def _of_arming(service: Service, ask: Ask, scene: Scene, arming: Arming, misses: list[str]) -> Choice | None:
    """What an arming makes of this call; None, with the reason among the misses, where it is not for it."""
    assert ask.operation is not None
    ready: Readied = arming.ready
    label = f"armed {arming.id}"
    if arming.operation not in (None, ask.operation.id):
        misses.append(f"{label}: it is for {arming.operation}")
        return None
    missed = None if ready.when is None else mismatch(ready.when, scene)
    if missed is not None:
        misses.append(f"{label}: {missed}")
        return None
    if ready.prefer is not None:
        try:
            preference = read_prefer(ready.prefer, ask.operation, service.document)
        except Misused as error:
            misses.append(f"{label}: {error.detail}")
            return None
        return Choice("armed", preference, arming=arming, faults=ready.faults)
    if ready.scenario is None:
        answers = ask.operation.id in ask.backend.chat_text
        if arming.operation is None and not answers and not can_strike_reply(ready.faults):
            misses.append(f"{label}: {USELESS}")
            return None
        return Choice("armed", arming=arming, faults=ready.faults)
    scenario = service.scenarios.get(ready.scenario) if isinstance(ready.scenario, str) else ready.scenario
    own: list[str] = []
    unfolded = _played(ask, scene, scenario, own)
    misses += [f"{label}: {one}" for one in own]
    if unfolded is None:
        return None
    return Choice("armed", None, scenario, unfolded, arming, ready.faults)


def settle(ask: Ask, entry: Entry, choice: Choice) -> None:
    """The call was not refused: count it, note what was chosen, spend what was armed, move the states on."""
    assert ask.operation is not None
    story = ask.world.story
    story.calls[ask.operation.id] = story.calls.get(ask.operation.id, 0) + 1
    entry.chosen_by = choice.by
    if choice.preference is not None:
        entry.scenario = str(choice.preference)
    sources: list[tuple[Fault, str]] = []
    if choice.scenario is not None and choice.unfolded is not None:
        name = entry.scenario = choice.scenario.name
        story.played(name, choice.unfolded.becomes)
        sources += [(fault, f"scenario {name}") for fault in (*choice.unfolded.faults, *ask.faults)]
    if choice.arming is not None:
        entry.chosen_by = f"armed {choice.arming.id}"
        ask.session.armed.spend(choice.arming)
        sources += [(fault, f"armed {choice.arming.id}") for fault in choice.faults]
    ask.faults[:] = [fault for fault, _ in sources]
    entry.faults = tuple({"name": fault.name, "source": source} for fault, source in sources)
