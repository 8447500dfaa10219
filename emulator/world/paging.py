"""The ways in which lists are cut into pages. Pure functions over lists that are already in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def beyond(items: Sequence[T], last: T, rank: Callable[[T], Any], descending: bool) -> list[T]:
    """The items strictly beyond `last` by `rank`: a cursor that forgets ties, as a database comparison does."""
    edge = rank(last)
    if descending:
        return [item for item in items if rank(item) < edge]
    return [item for item in items if rank(item) > edge]


def by_number(items: Sequence[T], page: int, size: int) -> list[T]:
    """Page `page` (from 1) of `size` items; empty beyond the end."""
    start = (page - 1) * size
    return list(items[start : start + size])


def by_offset(items: Sequence[T], offset: int, limit: int) -> list[T]:
    """`limit` items from `offset` on."""
    return list(items[offset : offset + limit])
