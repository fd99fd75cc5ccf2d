"""Tells the person at the terminal what the stack is doing."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str], None]
"""Receives one short line per step that takes noticeable time (a download, an archive)."""


def silent(_line: str) -> None:
    """Report nothing."""
