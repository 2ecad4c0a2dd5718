"""Spreads mails evenly, where a mail server is to get only so many a second."""

import asyncio

# What one may take longer to the mail server than those after it, which then come closer together.
LATE_S = 0.03


class Pace:
    """Lets one after the other go, so that no second of the mail server's sees more than `rate`; None: all at once.

    Belongs to one event loop.
    """

    def __init__(self, rate: float | None) -> None:
        self._gap = 0.0 if rate is None else (1 + LATE_S) / rate
        self._lock = asyncio.Lock()
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait for a turn. One that is cancelled costs the others nothing."""
        if not self._gap:
            return
        async with self._lock:
            now = asyncio.get_running_loop().time()
            if self._free_at > now:
                await asyncio.sleep(self._free_at - now)
            self._free_at = max(now, self._free_at) + self._gap
