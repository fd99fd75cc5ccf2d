"""Scenarios: scripts with a name, kept beside the code."""

from __future__ import annotations

from importlib import resources
from typing import Any

import orjson

from holdfast.orgsim.errors import ApiError


def scenarios() -> dict[str, str]:
    """Each scenario's name and what it is about."""
    return {name: str(script["comment"]) for name, script in sorted(_all().items())}


def scenario(name: str) -> dict[str, Any]:
    """The script of that name.

    Raises:
        ApiError: 400 BAD_FAULT.
    """
    known = _all()
    if name not in known:
        raise ApiError(400, "BAD_FAULT", f"scenario {name!r} is unknown; known are {', '.join(sorted(known))}")
    return known[name]


def _all() -> dict[str, dict[str, Any]]:
    folder = resources.files("holdfast.orgsim.faults") / "scenarios"
    items = [item for item in folder.iterdir() if item.name.endswith(".json")]
    return {item.name.removesuffix(".json"): orjson.loads(item.read_bytes()) for item in items}
