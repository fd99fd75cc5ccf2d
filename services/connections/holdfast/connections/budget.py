"""What of an org's daily API calls may be granted to whom, and when there will be more. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

Purpose = Literal["records", "census", "files", "restore"]

# Share of the job's own limit up to which work of a purpose may call: files stop first, then censuses, then
# records. A restore minds no limit but the org's.
SHARES: Mapping[Purpose, int] = {"files": 90, "census": 95, "records": 100, "restore": 100}
# An org that has not been heard of for long may have used more meanwhile: the first answers will tell.
CAUTIOUS_CALLS = 10
WINDOW = timedelta(hours=24)
_HOUR = timedelta(hours=1)


@dataclass(frozen=True)
class Budget:
    """What is known of an org's calls.

    Attributes:
        used: Calls of 24 hours by everybody, as the org last said, and ours that it has not told of.
        limit: 0 while the org has not told.
        held: Granted, and not yet reported.
        fresh: The org was heard of lately.
        own: Holdfast's calls by hour, oldest first.
    """

    used: int
    limit: int
    held: int
    fresh: bool
    own: Sequence[tuple[datetime, int]] = ()

    def ceiling(self, purpose: Purpose, percent: int, reserve_percent: int) -> int:
        """Calls, by everybody, at which work of this purpose stops."""
        if purpose == "restore":
            return self.limit
        return self.limit * min(percent, 100 - reserve_percent) * SHARES[purpose] // 10_000

    def left(self, ceiling: int) -> int:
        """Calls that can still be granted below `ceiling`."""
        return max(0, ceiling - self.used - self.held)

    def own_calls(self, now: datetime) -> int:
        """Holdfast's calls that may still count."""
        return sum(calls for hour, calls in self.own if hour + WINDOW + _HOUR > now)

    def granted(self, wanted: int, ceiling: int) -> int:
        """How many of the calls wanted are granted: near the ceiling others shall get some too."""
        if not self.limit:
            return min(wanted, CAUTIOUS_CALLS)
        left = self.left(ceiling)
        most = max(1, left // 2) if left else 0
        return min(wanted, most if self.fresh else min(most, CAUTIOUS_CALLS))

    def free_at(self, ceiling: int, now: datetime) -> datetime | None:
        """When Holdfast's own calls that age out make room below `ceiling`; None if they do not suffice.

        Calls are known by the hour, so that each counts until the end of its hour is 24 hours ago.
        """
        excess = self.used + self.held + 1 - ceiling
        if excess <= 0:
            return now
        for hour, calls in self.own:
            gone_at = hour + _HOUR + WINDOW
            if gone_at <= now:
                continue
            excess -= calls
            if excess <= 0:
                return gone_at
        return None


def share_of_slots(limit: int, wanted: int, others: Sequence[tuple[int, int]]) -> int:
    """Requests that a process may have under way.

    Args:
        limit: Of the org.
        wanted: By the process.
        others: (wanted, held) of each other process. What they hold too much, they give back when they ask next.
    """
    share, left = 0, limit
    wants = sorted([wanted, *(other for other, _ in others)])
    for place, want in enumerate(wants):
        # Whoever wants less than an even share leaves the rest to the others.
        share = left // (len(wants) - place)
        if want >= wanted:
            break
        left -= min(want, share)
    free = limit - sum(held for _, held in others)
    return max(0, min(wanted, max(1, share), free))
