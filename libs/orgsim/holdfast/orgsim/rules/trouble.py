"""Rows that are refused for no reason of their own: locks, maintenance. Scripts say which."""

from __future__ import annotations

from holdfast.orgsim.rules.batch import Batch


def trouble(batch: Batch) -> None:
    """Let the org's scripted faults refuse rows."""
    for strike in batch.org.row_troubles:
        strike(batch)
