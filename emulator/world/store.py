"""One session's records of one backend: collections of immutable records, bounded and counted.

A record is a frozen dataclass with an `id`; a change replaces it. Collections keep insertion order and the indexes
they were declared with. When the store holds too many records or bytes, the oldest leave first and are counted.
Paging is in `paging.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import fields
from typing import Any, Generic, Protocol, TypeVar

from emulator.jsontext import compact
from emulator.settings import Limits


class Record(Protocol):
    """What every record has."""

    @property
    def id(self) -> Any:
        """Its key in the collection."""
        ...


R = TypeVar("R", bound=Record)


class Collection(Generic[R]):
    """Records of one kind by id, in the order they were first put."""

    __slots__ = ("_indexes", "_keys", "_mixed", "_records", "_store", "kind", "name")

    def __init__(self, store: Store, name: str, kind: type[R], keys: Mapping[str, Callable[[R], Hashable]]) -> None:
        self.name = name
        self.kind = kind
        self._store = store
        self._keys = keys
        self._records: dict[Any, R] = {}
        self._indexes: dict[str, dict[Hashable, dict[Any, None]]] = {index: {} for index in keys}
        # Keys of indexes under which a record came that is older than the last one there.
        self._mixed: set[tuple[str, Hashable]] = set()

    def get(self, id: Any) -> R | None:
        """The record with this id, or None."""
        return self._records.get(id)

    def put(self, record: R) -> R:
        """Add the record, or replace the one with its id. Returns it."""
        old = self._records.get(record.id)
        self._records[record.id] = record
        for index, key in self._keys.items():
            entries = self._indexes[index]
            new_key = key(record)
            if old is not None:
                old_key = key(old)
                if old_key == new_key:
                    continue
                self._unlink(index, old_key, record.id)
                if new_key in entries:
                    self._mixed.add((index, new_key))
            entries.setdefault(new_key, {})[record.id] = None
        self._store._weigh(self, record, old)
        return record

    def drop(self, id: Any) -> R | None:
        """Take the record out and return it, or None when there is none."""
        record = self._records.pop(id, None)
        if record is None:
            return None
        for index, key in self._keys.items():
            self._unlink(index, key(record), id)
        self._store._unweigh(self, record)
        return record

    def where(self, index: str, key: Hashable) -> list[R]:
        """The records that the index holds under `key`, oldest first, however late one came under this key."""
        records, entries = self._records, self._indexes[index]
        if (index, key) in self._mixed:
            self._mixed.discard((index, key))
            found = entries[key]
            entries[key] = dict.fromkeys(id for id in records if id in found)
        return [records[id] for id in entries.get(key, ())]

    def copy(self, store: Store) -> Collection[R]:
        """The same records, to be kept by another store."""
        other = Collection[R](store, self.name, self.kind, self._keys)
        other._records = dict(self._records)
        other._indexes = {
            index: {key: dict(ids) for key, ids in entries.items()} for index, entries in self._indexes.items()
        }
        other._mixed = set(self._mixed)
        return other

    def _unlink(self, index: str, key: Hashable, id: Any) -> None:
        entries = self._indexes[index]
        ids = entries.get(key)
        if ids is not None:
            ids.pop(id, None)
            if not ids:
                del entries[key]
                self._mixed.discard((index, key))

    def __iter__(self) -> Iterator[R]:
        return iter(self._records.values())

    def __len__(self) -> int:
        return len(self._records)


class Store:
    """All collections of one backend in one session, and their bounds.

    `evicted` counts the records that left because the store was full.
    """

    __slots__ = ("_bytes", "_collections", "_limits", "_weights", "evicted")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._collections: dict[str, Collection[Any]] = {}
        self._weights: dict[tuple[str, Any], int] = {}
        self._bytes = 0
        self.evicted = 0

    def collection(self, name: str, kind: type[R], **keys: Callable[[R], Hashable]) -> Collection[R]:
        """Declare (once) and return a collection of `kind`, indexed by each of `keys`."""
        found = self._collections.get(name)
        if found is None:
            found = self._collections[name] = Collection[R](self, name, kind, keys)
        return found

    @property
    def collections(self) -> Mapping[str, Collection[Any]]:
        """Those declared so far, by name."""
        return self._collections

    def records(self) -> Iterator[tuple[str, Any]]:
        """Name of the collection and record, the oldest first: the order in which they would leave."""
        for name, id in self._weights:
            yield name, self._collections[name].get(id)

    def copy(self) -> Store:
        """Another store with the same records in the same order. What is put into one is not in the other."""
        other = Store(self._limits)
        other._collections = {name: one.copy(other) for name, one in self._collections.items()}
        other._weights, other._bytes, other.evicted = dict(self._weights), self._bytes, self.evicted
        return other

    def _weigh(self, collection: Collection[Any], record: Any, old: Any) -> None:
        key = (collection.name, record.id)
        weight = weigh(record)
        # Re-inserting would change the age; a replaced record keeps its place in line.
        self._bytes += weight - self._weights.get(key, 0)
        self._weights[key] = weight
        if old is None or self._bytes > self._limits.bytes:
            while len(self._weights) > self._limits.records or self._bytes > self._limits.bytes:
                name, id = next(iter(self._weights))
                if (name, id) == key and len(self._weights) == 1:
                    break
                self._collections[name].drop(id)
                self.evicted += 1

    def _unweigh(self, collection: Collection[Any], record: Any) -> None:
        self._bytes -= self._weights.pop((collection.name, record.id), 0)

    @property
    def bytes(self) -> int:
        """Roughly how many bytes the records hold."""
        return self._bytes

    def __len__(self) -> int:
        return len(self._weights)


def weigh(record: Any) -> int:
    """Roughly the bytes a record holds: a fixed part, and its texts, bytes and JSON."""
    total = 256
    for member in fields(record):
        value = getattr(record, member.name)
        if isinstance(value, str | bytes):
            total += len(value)
        elif isinstance(value, dict | list | tuple) and value:
            total += _length(value)
    return total


def _length(value: Any) -> int:
    try:
        return len(compact(value))
    except TypeError:
        # Integers beyond 64 bits inside of dataclasses.
        return len(repr(value))
