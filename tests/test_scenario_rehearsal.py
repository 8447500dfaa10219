"""Playing without a server: the examples of the specs are accepted, and every step can be played in every dialect."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from test_scenario_files import WORDS

from emulator.app import open_services
from emulator.call import Reply, Stream
from emulator.contract.document import Operation
from emulator.rehearsal import Rehearsal
from emulator.settings import Settings
from emulator.streams.steps import Respond, Say

REHEARSALS = {name: Rehearsal(service) for name, service in open_services(Settings()).items()}


def answering() -> Iterator[Any]:
    for name, rehearsal in REHEARSALS.items():
        for id in rehearsal.service.backend.chat_text:
            yield pytest.param(rehearsal, rehearsal.service.document.operations[id], id=f"{name}-{id}")


@pytest.mark.parametrize(("rehearsal", "operation"), list(answering()))
def test_an_example_is_accepted_and_played_alike_each_time(rehearsal: Rehearsal, operation: Operation) -> None:
    first, again = (rehearsal.play(operation, (Say("Hello there"),)) for _ in range(2))
    assert first is not None and again is not None
    assert first.reply.status == 200
    assert [frame.bytes for frame in first.frames] == [frame.bytes for frame in again.frames]
    assert rehearsal.streams(operation) is isinstance(first.reply, Stream)
    body = first.reply.body if isinstance(first.reply, Reply) else b"".join(frame.bytes for frame in first.frames)
    assert b"Hello" in body


def test_those_that_stream_come_first() -> None:
    for rehearsal in REHEARSALS.values():
        streaming = [rehearsal.streams(operation) for operation in rehearsal.answering()]
        assert streaming[0] and streaming == sorted(streaming, reverse=True)


@pytest.mark.parametrize(("rehearsal", "operation"), list(answering()))
def test_every_step_can_be_played(rehearsal: Rehearsal, operation: Operation) -> None:
    for name, (_, step) in WORDS.items():
        if not isinstance(step, Respond):
            assert rehearsal.play(operation, (step,)) is not None, name


def test_the_scene_is_that_of_a_first_call() -> None:
    for rehearsal in REHEARSALS.values():
        for operation in rehearsal.service.document.operations.values():
            scene = rehearsal.scene(operation)
            assert (scene.operation, scene.nth, scene.states, scene.plays) == (operation.id, 1, {}, {})
