"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """Of one call of `run.py`.

    Attributes:
        folder: For everything that is written; removed at the end.
        large: The large sizes too.
        quick: Sizes that only show that it works.
        peer_s: Seconds a peer may take for its repeated runs.
    """

    folder: Path
    large: bool = False
    quick: bool = False
    peer_s: float = 30
