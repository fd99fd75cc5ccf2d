"""Rows that are refused for no reason of their own: locks, maintenance. Scripts say which."""

from __future__ import annotations

from holdfast.orgsim.rules.batch import Batch
from holdfast.orgsim.saving.outcomes import error_of


def trouble(batch: Batch) -> None:
    """Let the org's scripted faults refuse rows."""
    for strike in batch.org.row_troubles:
        strike(batch)


def unsaid_trouble(batch: Batch) -> None:
    """The same for undeletes and merges, which no rule looks at before; one refusal takes back the whole call.

    Raises:
        ApiError: the first refusal.
    """
    if batch.operation in ("undelete", "merge"):
        trouble(batch)
        if batch.refusals:
            raise error_of(batch.refusals.frame().row(0, named=True))
