"""The mutants themselves: there are enough of them, they break what they say, and a kill is what it says."""

from __future__ import annotations

import collections
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from example_calls import SERVICES
from registry import by_hand, changed, generic, leaves, other_type
from runner import Running, Server, samples
from survivors import REASONS
from wrapping import Mutant

pytest.importorskip("schemathesis")
sys.path.append(str(Path(__file__).parent.parent.parent / "scripts"))
from mutants import ROOT, good_enough, share

FEWEST_KINDS = 5


@pytest.fixture(scope="module", params=list(SERVICES))
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    made = Server(request.param)
    with made.running():
        yield made


@pytest.fixture(scope="module")
def mutants(server: Server) -> list[Mutant]:
    name = server.service.name
    return [*generic(name, server.service, samples(server)), *(one for one in by_hand() if one.backend == name)]


def test_each_operation_has_five_kinds(server: Server, mutants: list[Mutant]) -> None:
    kinds = collections.defaultdict(set)
    for mutant in mutants:
        kinds[mutant.operation].add(mutant.kind.rstrip(" 12"))
    assert kinds.keys() == server.service.document.operations.keys()
    assert {id: sorted(found) for id, found in kinds.items() if len(found) < FEWEST_KINDS} == {}


def test_each_has_a_name_and_an_aim(mutants: list[Mutant]) -> None:
    names = collections.Counter(mutant.name for mutant in mutants)
    assert [name for name, count in names.items() if count > 1] == []
    assert [mutant.name for mutant in mutants if not mutant.spec | mutant.checks] == []


def test_every_reason_is_of_a_mutant(server: Server, mutants: list[Mutant]) -> None:
    for pattern, why in REASONS:
        assert why.endswith(".")
        if pattern.startswith(f"^{server.service.name}/"):
            assert any(re.search(pattern, mutant.name) for mutant in mutants), pattern


def test_a_kill_and_a_survivor() -> None:
    server = Server("plainchat")
    with server.running():
        run = Running(server, seed=1, examples=2)
        (mutant,) = (one for one in by_hand() if one.name == "plainchat/sendChatMessage/end missing")
        caught = run.verdict(mutant)
        assert (caught.checks, caught.killed) == (("text_ending",), True)
        # The same fault does not count for who aims at something else, nor does no fault.
        elsewhere = run.verdict(replace(mutant, checks=frozenset({"paging_honoured"})))
        assert (elsewhere.checks, elsewhere.killed) == ((), False)
        assert elsewhere.others == ("text_ending in POST /api/chat",)
        sound = run.verdict(replace(mutant, after=lambda call, answer: answer))
        assert (sound.others, sound.killed, run.sound()) == ((), False, {})


@pytest.mark.parametrize(
    ("sample", "operations", "shares"),
    [
        (40, {"a": 9}, {"a": 40}),
        (100, {"a": 26, "b": 30, "c": 9, "d": 11, "e": 14}, {"a": 29, "b": 33, "c": 10, "d": 12, "e": 16}),
        (3, {"a": 1, "b": 1, "c": 1}, {"a": 1, "b": 1, "c": 1}),
    ],
)
def test_a_sample_is_shared_by_operations(sample: int, operations: dict[str, int], shares: dict[str, int]) -> None:
    assert share(sample, operations) == shares
    assert sum(shares.values()) == sample


def test_goals_are_for_all_mutants_and_reasons_for_each() -> None:
    caught = {"mutant": "plainchat/sendChatMessage/end missing", "spec": [], "checks": ["text_ending"]}
    survivor = {"mutant": "plainchat/sendChatMessage/unheard of", "spec": [], "checks": []}
    assert good_enough([caught], some=True)
    assert not good_enough([caught], some=False)
    assert not good_enough([{**caught, "spec": ["x"]}, survivor], some=True)
    assert good_enough([{**caught, "spec": ["x"]}], some=False)


def test_a_sample_is_listed() -> None:
    command = [sys.executable, str(ROOT / "scripts/mutants.py"), "--backend", "plainchat", "--sample", "5", "--list"]
    listed = subprocess.run(command, text=True, stdout=subprocess.PIPE, check=True).stdout.splitlines()
    assert [line for line in listed[:-1] if not line.startswith("plainchat/")] == []
    assert (len(set(listed[:-1])), listed[-1].split(" of ")[0]) == (5, "5 mutants")


def test_only_the_operation_aimed_at_is_broken() -> None:
    server = Server("plainchat")
    with server.running():
        (mutant,) = (one for one in by_hand() if one.name == "plainchat/listConversations/order reversed")
        url = f"{server.url}/plainchat/api/conversations/list/demo"
        whole = httpx.get(url, verify=False).json()["conversations"]
        server.wrapped.mutant = mutant
        assert httpx.get(url, verify=False).json()["conversations"] == whole[::-1]
        history = f"{server.url}/plainchat/api/conversations/{whole[0]['id']}/history?username=demo"
        while_broken = httpx.get(history, verify=False).json()
        server.wrapped.mutant = None
        assert httpx.get(history, verify=False).json() == while_broken


def test_places_in_json() -> None:
    value = {"a": [{"b": 1}, {"b": 2}], "c": {}}
    assert list(leaves(value)) == [(("a", 0, "b"), 1), (("c",), {})]
    assert changed(value, ("a", 0, "b"), other_type) == {"a": [{"b": "1 pieces"}, {"b": "2 pieces"}], "c": {}}
    assert changed(value, ("x", "y"), other_type) == value
