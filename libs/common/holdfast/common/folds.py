"""Folded streams that a process remembers, so that a command reads what is new and not the whole stream."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

CAPACITY = 64


class Fold(NamedTuple):
    """A stream as it was up to one event.

    Attributes:
        version: That event's.
        witness: What the store says of that event. If it says something else later, it is another stream.
        state: The fold of all events up to it; never changed in place.
    """

    version: int
    witness: tuple[object, ...]
    state: Any


class Folds:
    """The folds of the streams used last. Losing one costs a longer read and nothing else."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._folds: OrderedDict[str, Fold] = OrderedDict()

    def get(self, stream: str) -> Fold | None:
        """What is remembered of the stream."""
        if stream in self._folds:
            self._folds.move_to_end(stream)
        return self._folds.get(stream)

    def put(self, stream: str, fold: Fold) -> None:
        """Remember a fold of committed events."""
        self._folds[stream] = fold
        self._folds.move_to_end(stream)
        if len(self._folds) > self._capacity:
            self._folds.popitem(last=False)
