"""The recorded describes that come with the org."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import Any

import orjson


@cache
def recorded() -> dict[str, dict[str, Any]]:
    """Each recorded describe by its object; `Global` is describeGlobal. They are shared: copy what is to be changed."""
    folder = resources.files("holdfast.orgsim.schema") / "recorded"
    return {
        item.name.removesuffix(".json"): orjson.loads(item.read_bytes())
        for item in folder.iterdir()
        if item.name.endswith(".json")
    }
