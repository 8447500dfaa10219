"""The store holds records in order, by index, within bounds; lists are cut into pages by pure functions."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from emulator.settings import Limits
from emulator.world.paging import beyond, by_number, by_offset
from emulator.world.store import Collection, Store, weigh

FIXED = 256
"""What a record weighs beside its texts."""


@dataclass(frozen=True, slots=True)
class Note:
    """A record as backends have them."""

    id: str
    owner: str = "a"
    text: str = ""
    data: Any = None


def store_of(records: int = 1_000, bytes: int = 10**6) -> tuple[Store, Collection[Note]]:
    store = Store(Limits(records=records, bytes=bytes))
    return store, store.collection("notes", Note, owner=lambda note: note.owner)


def ids(notes: Any) -> str:
    return "".join(note.id for note in notes)


def test_records_are_kept_in_order() -> None:
    store, notes = store_of()
    for id in "cab":
        assert notes.put(Note(id)) == Note(id)
    assert ids(notes) == "cab" and len(notes) == len(store) == 3
    assert notes.get("a") == Note("a")
    assert notes.get("z") is None


def test_a_replaced_record_keeps_its_place() -> None:
    _, notes = store_of()
    for id in "abc":
        notes.put(Note(id))
    notes.put(Note("a", text="new"))
    assert ids(notes) == "abc" and len(notes) == 3
    assert notes.get("a") == Note("a", text="new")
    assert ids(notes.where("owner", "a")) == "abc"


def test_records_cannot_be_changed() -> None:
    _, notes = store_of()
    kept = notes.put(Note("a"))
    with pytest.raises(FrozenInstanceError):
        kept.text = "new"  # type: ignore[misc]  # that is the point


def test_indexes_follow_a_change() -> None:
    _, notes = store_of()
    for id, owner in ("ax", "bx", "cy"):
        notes.put(Note(id, owner))
    notes.put(Note("a", "y"))
    assert ids(notes.where("owner", "x")) == "b"
    assert ids(notes.where("owner", "y")) == "ac", "by age, however late it came there"
    assert ids(notes) == "abc"
    assert notes.where("owner", "z") == []


def test_a_list_from_an_index_is_the_callers_own() -> None:
    _, notes = store_of()
    notes.put(Note("a"))
    notes.where("owner", "a").clear()
    assert ids(notes.where("owner", "a")) == "a"


def test_a_dropped_record_is_gone_everywhere() -> None:
    store, notes = store_of()
    notes.put(Note("a"))
    notes.put(Note("b"))
    assert notes.drop("a") == Note("a")
    assert notes.drop("a") is None
    assert notes.get("a") is None
    assert ids(notes) == ids(notes.where("owner", "a")) == "b"
    assert (len(store), store.bytes, store.evicted) == (1, weigh(Note("b")), 0)


def test_a_collection_is_declared_once() -> None:
    store, notes = store_of()
    assert store.collection("notes", Note) is notes
    assert store.collection("others", Note) is not notes


def test_the_same_id_in_two_collections() -> None:
    store, notes = store_of()
    others = store.collection("others", Note)
    notes.put(Note("a"))
    others.put(Note("a", text="x"))
    notes.drop("a")
    assert others.get("a") == Note("a", text="x") and len(store) == 1


@pytest.mark.parametrize(
    ("note", "bytes"),
    [
        (Note("a"), FIXED + 1 + 1),
        (Note("abc", "de", "x" * 100), FIXED + 3 + 2 + 100),
        (Note("a", data=b"x" * 50), FIXED + 2 + 50),
        (Note("a", data={"k": [1, 2]}), FIXED + 2 + len('{"k":[1,2]}')),
        (Note("a", data=[]), FIXED + 2),
        (Note("a", data=7), FIXED + 2),
        (Note("a", data=[10**30]), FIXED + 2 + 33),
    ],
)
def test_what_a_record_weighs(note: Note, bytes: int) -> None:
    assert weigh(note) == bytes


def test_too_many_records_push_the_oldest_out() -> None:
    store, notes = store_of(records=3)
    for id in "abcde":
        notes.put(Note(id))
    assert ids(notes) == ids(notes.where("owner", "a")) == "cde"
    assert (len(store), store.evicted) == (3, 2)


def test_the_oldest_of_all_collections_leaves() -> None:
    store, notes = store_of(records=3)
    others = store.collection("others", Note)
    notes.put(Note("a"))
    others.put(Note("b"))
    notes.put(Note("c"))
    others.put(Note("d"))
    notes.put(Note("e"))
    assert (ids(notes), ids(others)) == ("ce", "d")


def test_replacing_makes_no_room_and_takes_none() -> None:
    store, notes = store_of(records=2)
    notes.put(Note("a"))
    notes.put(Note("b"))
    for number in range(10):
        notes.put(Note("a", text=str(number)))
    assert (ids(notes), store.evicted) == ("ab", 0)


def test_too_many_bytes_push_the_oldest_out() -> None:
    store, notes = store_of(bytes=1_000)
    for id in "abc":
        notes.put(Note(id, text="x" * 100))  # 358 each
    assert (ids(notes), store.evicted) == ("bc", 1)
    assert store.bytes == 2 * 358
    notes.put(Note("d", text="x" * 600))
    assert (ids(notes), store.evicted) == ("d", 3)


def test_a_record_beyond_all_bounds_is_kept_alone() -> None:
    store, notes = store_of(bytes=1_000)
    notes.put(Note("a"))
    notes.put(Note("b", text="x" * 5_000))
    assert (ids(notes), store.evicted, len(store)) == ("b", 1, 1)
    notes.put(Note("c"))
    assert ids(notes) == "c"


def test_a_record_that_grows_pushes_others_out() -> None:
    store, notes = store_of(bytes=1_000)
    for id in "abc":
        notes.put(Note(id))
    notes.put(Note("c", text="x" * 700))
    assert ids(notes) == "c" and store.evicted == 2


class StoreMachine(RuleBasedStateMachine):
    """The store beside plain dictionaries."""

    def __init__(self) -> None:
        super().__init__()
        self.store, self.notes = store_of(records=4, bytes=2_000)
        self.model: dict[str, Note] = {}
        self.evicted = 0

    @rule(id=st.sampled_from("abcdef"), owner=st.sampled_from("xy"), size=st.sampled_from([0, 10, 500, 3_000]))
    def put(self, id: str, owner: str, size: int) -> None:
        note = Note(id, owner, "t" * size)
        new = id not in self.model
        self.notes.put(note)
        self.model[id] = note
        while len(self.model) > (4 if new else 10**6) or sum(map(weigh, self.model.values())) > 2_000:
            oldest = next(iter(self.model))
            if len(self.model) == 1:
                break
            del self.model[oldest]
            self.evicted += 1

    @rule(id=st.sampled_from("abcdef"))
    def drop(self, id: str) -> None:
        assert self.notes.drop(id) == self.model.pop(id, None)

    @invariant()
    def agrees(self) -> None:
        assert list(self.notes) == list(self.model.values())
        assert len(self.store) == len(self.model)
        assert self.store.bytes == sum(map(weigh, self.model.values()))
        assert self.store.evicted == self.evicted
        for owner in "xy":
            wanted = {note.id for note in self.model.values() if note.owner == owner}
            assert {note.id for note in self.notes.where("owner", owner)} == wanted


StoreMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
test_store_beside_a_model = StoreMachine.TestCase


# ---- Pages ----


@given(st.lists(st.integers(0, 9), max_size=12), st.integers(1, 15), st.integers(1, 6))
@settings(max_examples=100)
def test_pages_by_number(items: list[int], page: int, size: int) -> None:
    pages = [by_number(items, number, size) for number in range(1, len(items) + 2)]
    assert [item for one in pages for item in one] == items
    assert all(len(one) <= size for one in pages)
    assert by_number(items, page, size) == by_offset(items, (page - 1) * size, size)


@given(st.lists(st.integers(0, 9), max_size=12), st.booleans(), st.integers(0, 9))
@settings(max_examples=100)
def test_beyond_a_cursor(items: list[int], descending: bool, last: int) -> None:
    ordered = sorted(items, reverse=descending)
    found = beyond(ordered, last, lambda item: item, descending)
    assert found == [item for item in ordered if (item < last if descending else item > last)]


def test_a_cursor_forgets_ties() -> None:
    notes = [Note("a", text="1"), Note("b", text="2"), Note("c", text="2"), Note("d", text="3")]
    assert ids(beyond(notes, replace(notes[1]), lambda note: note.text, descending=False)) == "d"


def test_pages_beyond_the_end_are_empty() -> None:
    assert by_number([1, 2], 3, 1) == by_number([], 1, 1) == by_offset([1], 1, 5) == []
    assert by_number([1, 2], 10**300, 10**300) == []
