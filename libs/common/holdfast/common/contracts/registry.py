"""All public events, found in the modules of this package."""

from __future__ import annotations

import re
from importlib import import_module
from inspect import getmembers, isclass

from holdfast.common.contracts.base import PublicEvent

PRODUCERS = ("connections", "differ", "extractor", "history", "scheduler")
_TYPE = re.compile(r"holdfast\.([a-z]+)\.[a-z_]+\.[a-z_]+\.v[1-9][0-9]*")


def all_events() -> list[type[PublicEvent]]:
    """Every public event, sorted by type.

    Raises:
        ValueError: A type is malformed, names another producer than its module, or is taken twice.
    """
    found: dict[str, type[PublicEvent]] = {}
    for producer in PRODUCERS:
        module = import_module(f"holdfast.common.contracts.{producer}")
        for _, event in getmembers(module, isclass):
            if issubclass(event, PublicEvent) and event.__module__ == module.__name__:
                _check(event, producer, found)
                found[event.TYPE] = event
    return [found[name] for name in sorted(found)]


def _check(event: type[PublicEvent], producer: str, found: dict[str, type[PublicEvent]]) -> None:
    match = _TYPE.fullmatch(event.TYPE)
    if match is None or match.group(1) != producer:
        raise ValueError(f"{event.__name__}: {event.TYPE!r} is not a type of {producer}")
    if event.TYPE in found:
        raise ValueError(f"{event.TYPE} is declared twice")
