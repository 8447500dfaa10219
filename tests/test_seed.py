"""Values derive from seed, kind, key and number, and are the same on every machine: some are pinned."""

from __future__ import annotations

import re
import uuid

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from emulator.backends.dify.people import EXAMPLES
from emulator.service import Service, spec_files
from emulator.settings import Settings
from emulator.world.seed import Seed, as_uuid
from emulator.world.session import Sessions

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
KINDS = st.text(max_size=8)


def test_pinned_values() -> None:
    """A change here changes every id that anybody has written down."""
    seed = Seed(0, "dify")
    assert seed.fixed("sign", "a", 8).hex() == "59234f38e03e6e3c"
    assert seed.fixed_uuid("app", "app-emulator") == "0c80654b-6676-4749-b8f9-b8d600ac8c36"
    assert [seed.uuid("conversation") for _ in range(2)] == [
        "2912e19f-8055-4aab-91f2-8efe2dc7bd55",
        "5c9a86e7-3da0-4892-a9e5-b8cc97019c12",
    ]
    assert Seed(7, "dify").uuid("conversation") == "25e09a0e-ecb5-49c1-b5d1-7689945c5935"
    assert Seed(0, "ruoyi").uuid("conversation") == "54c4dfbf-fc99-4a7b-a73a-119cfed6f952"
    assert seed.rng("answer", "x").randint(0, 10**9) == 343801499


def test_pinned_worlds() -> None:
    """The first conversation that a newcomer sees."""
    service = Service("dify", spec_files(Settings())["dify"], Settings())
    world = Sessions(Settings(speed=0)).get("any").world("dify", service.backend.populate)
    data = world.data
    seeded = [one.id for one in data.conversations if one.title is not None]
    assert seeded[0] == "2912e19f-8055-4aab-91f2-8efe2dc7bd55"
    assert len(seeded) == 21, "three apps, two users, five and two conversations"
    assert data.users.get(EXAMPLES["app-emulator", "abc-123"]).name == "abc-123"


@given(KINDS, KINDS, st.integers(1, 64))
@example("\ud800", "\x00", 64)
def test_fixed_values_depend_on_their_names_alone(kind: str, key: str, size: int) -> None:
    seed = Seed(3, "a")
    value = seed.fixed(kind, key, size)
    seed.next(kind, key)
    assert len(value) == size
    assert seed.fixed(kind, key, size) == value == Seed(3, "a").fixed(kind, key, size)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Seed(0, "a"), Seed(1, "a")),
        (Seed(0, "a"), Seed(-1, "a")),
        (Seed(0, "a"), Seed(0, "b")),
        (Seed(1, "1"), Seed(11, "")),
    ],
)
def test_seed_and_realm_matter(one: Seed, other: Seed) -> None:
    assert one.fixed("k") != other.fixed("k")
    assert one.uuid("k") != other.uuid("k")
    assert one.rng("k").random() != other.rng("k").random()


def test_kind_and_key_do_not_run_together() -> None:
    seed = Seed(0, "a")
    assert seed.fixed("ab", "c") != seed.fixed("a", "bc")
    assert seed.uuid("ab", "c") != seed.uuid("a", "bc")


@given(st.lists(st.sampled_from(["message", "task", "file"]), max_size=20))
def test_one_more_draw_of_a_kind_moves_nothing_else(kinds: list[str]) -> None:
    mixed, alone = Seed(0, "a"), Seed(0, "a")
    drawn = [mixed.uuid(kind) for kind in kinds if mixed.next("noise")]
    for kind in dict.fromkeys(kinds):
        wanted = [alone.uuid(kind) for _ in range(kinds.count(kind))]
        assert [value for value, its in zip(drawn, kinds, strict=True) if its == kind] == wanted


def test_draws_are_new_each_time() -> None:
    seed = Seed(0, "a")
    assert len({seed.uuid("k") for _ in range(1_000)}) == 1_000
    assert seed.uuid("k", "1") != seed.uuid("k", "2")


def test_counters_carry_the_state() -> None:
    seed = Seed(0, "a")
    first = [seed.uuid("k") for _ in range(3)]
    counters = dict(seed.counters)
    then = [seed.uuid("k") for _ in range(3)]
    assert [Seed(0, "a", counters).uuid("k")] == then[:1]
    restored = Seed(0, "a", {})
    assert [restored.uuid("k") for _ in range(6)] == first + then
    shared: dict[str, int] = {}
    one, other = Seed(0, "a", shared), Seed(0, "a", shared)
    assert [one.uuid("k"), other.uuid("k")] == first[:2]


def test_generators_start_alike_and_are_their_own() -> None:
    seed = Seed(0, "a")
    one, other = seed.rng("k", "x"), seed.rng("k", "x")
    assert [one.random() for _ in range(3)] == [other.random() for _ in range(3)]
    assert seed.rng("k", "y").random() != seed.rng("k", "x").random()
    assert seed.counters == {}


@given(st.binary(min_size=16, max_size=16))
def test_ids_are_version_4_uuids(digest: bytes) -> None:
    text = as_uuid(digest)
    assert UUID4.fullmatch(text)
    assert uuid.UUID(text).version == 4


def test_faker_starts_alike() -> None:
    seed = Seed(0, "a")
    names = [seed.faker("author", "x").name(), seed.faker("city").city(), seed.faker("author", "x").name()]
    assert names[0] == names[2]
    assert seed.faker("author", "y").name() != names[0]
    assert Seed(1, "a").faker("author", "x").name() != names[0]
    chinese = seed.faker("author", "x", "zh_CN").name()
    assert not chinese.isascii() and seed.faker("author", "x", "zh_CN").name() == chinese
