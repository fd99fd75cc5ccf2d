"""The org's clock: real time plus an offset that the admin API moves, or a frozen instant."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta


class OrgClock:
    """Time as the org sees it. Runs at real speed until it is frozen."""

    def __init__(self) -> None:
        self._offset = timedelta(0)
        self._frozen: datetime | None = None

    def now(self) -> datetime:
        """The present, aware UTC."""
        if self._frozen is not None:
            return self._frozen
        return datetime.fromtimestamp(time.time(), UTC) + self._offset

    @property
    def frozen(self) -> bool:
        """Whether it stands still."""
        return self._frozen is not None

    def advance(self, by: timedelta) -> None:
        """Move the clock; backwards with a negative duration."""
        if self._frozen is not None:
            self._frozen += by
        else:
            self._offset += by

    def set(self, at: datetime, *, frozen: bool = False) -> None:
        """Set the clock to `at`; with `frozen` it then stands still until it is set or advanced."""
        self._frozen = at if frozen else None
        self._offset = at - datetime.fromtimestamp(time.time(), UTC)


def stamp(at: datetime) -> str:
    """A datetime as it is stored: UTC, whole seconds, `…T00:00:00.000Z`."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z").rjust(24, "0")
