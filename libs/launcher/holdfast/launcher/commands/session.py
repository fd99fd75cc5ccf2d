"""Opens the API for a command, and names what is in it. Imports no HTTP client until one is needed."""

# Help is instant because commands import what they need when they run.
# ruff: noqa: PLC0415

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from holdfast.launcher.commands.api import Api


def open_api(address: str, data: Path) -> Api:
    """The API that the options, the environment or the data folder name. Raises CommandError (NO_ACCESS)."""
    from holdfast.launcher.commands.api import connect

    return connect(address, os.environ.get("HOLDFAST_TOKEN", "").strip(), data)


def path(*parts: str) -> str:
    """A path under `/v1` whose parts are names or ids as people write them."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)
