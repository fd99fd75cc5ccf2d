"""How long to go on trying what fails. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from holdfast.common.errors import HoldfastError, Kind

LONGEST_PAUSE = timedelta(minutes=1)
# A defect of ours may be tied to a moment, but not often.
INTERNAL_TRIES = 3


@dataclass(frozen=True)
class Failures:
    """How often, and for how long, something failed without progress."""

    count: int
    lasting: timedelta


@dataclass(frozen=True)
class Patience:
    """Decides between trying again and giving up.

    Attributes:
        first: Pause after the first failure; doubles each time.
        passing: Give up after failing for so long; never because a limit of the org is used up.
    """

    first: timedelta
    passing: timedelta

    def pause(self, error: HoldfastError, so_far: Failures) -> timedelta | None:
        """How long to wait before the next try; None to give up."""
        if error.kind is Kind.INTERNAL:
            worth_it = so_far.count + 1 < INTERNAL_TRIES
        else:
            worth_it = error.kind is Kind.LIMIT or (error.transient and so_far.lasting < self.passing)
        if not worth_it:
            return None
        return error.retry_after or min(LONGEST_PAUSE, self.first * float(2 ** min(so_far.count, 30)))
