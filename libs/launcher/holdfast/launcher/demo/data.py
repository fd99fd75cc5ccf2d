"""Where the demo's data is: `demo/data` of the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from holdfast.common.errors import HoldfastError, Kind

CHECKOUT = Path(__file__).parents[5]


def demo_data() -> Path:
    """The folder with `npsp-1k` and `dotgov`; `HOLDFAST_DEMO_DATA` names another one.

    Raises:
        HoldfastError: It is not there, as in an installation from wheels.
    """
    folder = Path(os.environ.get("HOLDFAST_DEMO_DATA", CHECKOUT / "demo" / "data"))
    if not (folder / "npsp-1k").is_dir() or not (folder / "dotgov").is_dir():
        raise HoldfastError(
            Kind.NOT_FOUND,
            f"The demo's data are not in {folder}. Run from a checkout, or set HOLDFAST_DEMO_DATA.",
        )
    return folder
