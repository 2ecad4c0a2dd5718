"""Limits how many requests wait at one service, and for whom one makes room.

Each service has its own limit, so that one which hangs does not take the console with it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from backbone.errors import Unavailable
from backbone.web.connection_limit import ConnectionLimit, neighbourhood

MOST_AT_ONCE = 500  # requests at one service


class ServiceBusy(Unavailable):
    """As many requests wait for the service as the console lets wait."""

    code = "service_busy"
    title = "The service is busy"


class HeldRequest:
    """A request that is being passed on."""

    def __init__(self, address: str, deadline: asyncio.Timeout, monotonic: Callable[[], float]) -> None:
        self.address = neighbourhood(address)
        self.silent_since: float | None = None
        self.evicted = False
        self._deadline, self._monotonic = deadline, monotonic

    def evict(self) -> None:
        """Give up its client, for whom it waits."""
        self.evicted = True
        self._deadline.reschedule(asyncio.get_running_loop().time())

    def waits_for_client(self) -> None:
        """Its client has to send, or to take in, the next piece."""
        self.silent_since = self._monotonic()

    def waits_for_service(self) -> None:
        """The client has done so."""
        self.silent_since = None


class HeldRequests:
    """The requests at one service. Belongs to the event loop.

    Beyond the limit, those of the busiest address that have waited longest for their client make room, as connections
    do. If all wait for the service, the new one is refused.
    """

    def __init__(
        self, service: str, most: int = MOST_AT_ONCE, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._service, self._monotonic = service, monotonic
        self._limit = ConnectionLimit(most, monotonic=monotonic)
        self._held: set[HeldRequest] = set()

    @asynccontextmanager
    async def hold(self, address: str) -> AsyncIterator[HeldRequest]:
        """Hold one. Raises `ServiceBusy`, at once or when it has to make room for another."""
        held: HeldRequest | None = None
        try:
            async with asyncio.timeout(None) as deadline:
                held = HeldRequest(address, deadline, self._monotonic)
                self._held.add(held)
                try:
                    if not self._limit.admit(held, self._held):
                        raise self._busy()
                    yield held
                finally:
                    self._held.discard(held)
        except TimeoutError:
            if held is None or not held.evicted:
                raise
            raise self._busy() from None

    def _busy(self) -> ServiceBusy:
        return ServiceBusy(f"too many requests wait for the {self._service} service")
