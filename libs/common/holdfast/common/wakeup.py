"""Wake a loop of the same process at once; its poll is only the fallback."""

from __future__ import annotations

import asyncio
from datetime import timedelta


class Signal:
    """A flag that is taken by the one who waited for it. Setting it twice before a wait wakes once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Wake the waiter, or the next one to come."""
        self._event.set()

    async def wait(self, timeout: timedelta) -> bool:
        """Wait until set or until `timeout`.

        Returns:
            True when set; the flag is then down again.
        """
        try:
            async with asyncio.timeout(timeout.total_seconds()):
                await self._event.wait()
        except TimeoutError:
            return False
        self._event.clear()
        return True
