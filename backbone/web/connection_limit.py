"""Limits how many connections a server holds, and chooses which to close when one more comes.

While there is capacity, an address may have any number. When there is none, the address with the most connections
gives way: those of its connections that have waited longest for their client are closed, some at once, so that a
flood costs little. A connection is never closed in this way while we are working for it.
"""

import ipaddress
import math
import resource
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Protocol, TypeVar

from backbone.telemetry import CONNECTIONS_CLOSED, get_logger

MAX_CONNECTIONS = 2_000
OTHER_FILES = 200  # file descriptors that a process may need for the log, the database, mails and webhooks
AT_ONCE = 20  # a twentieth of an address's connections is closed at once
QUIET_S = 60.0  # seconds between two log entries about it
FLOODS = frozenset({"crowded", "not_read"})  # reasons that no well-behaved client causes in numbers

log = get_logger("http")


class HeldConnection(Protocol):
    """A connection, as the limit sees it."""

    address: str

    @property
    def silent_since(self) -> float | None:
        """When we began to wait for its client (any monotonic clock); None while its client waits for us."""
        ...

    def evict(self) -> None:
        """Close it now."""
        ...


Line = TypeVar("Line", bound=HeldConnection)


class ConnectionLimit:
    """Belongs to the event loop of one server. `most`: connections at once."""

    def __init__(
        self, most: int = MAX_CONNECTIONS, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._most = most
        self._monotonic = monotonic
        self._said = -math.inf
        self._closed: Counter[str] = Counter()

    def admit(self, new: Line, lines: set[Line]) -> bool:
        """Make room for `new`, which is already among `lines`; closed connections are removed from it.

        False: there is no room.
        """
        if len(lines) <= self._most:
            return True
        victims = self._victims(new, lines)
        for line in victims:
            lines.discard(line)
            line.evict()
        self.closed("crowded", lines, len(victims))
        return bool(victims)

    def closed(self, why: str, lines: Collection[object], count: int = 1) -> None:
        """Count connections that the server closed by itself. A flood is logged once; the metric has the numbers."""
        CONNECTIONS_CLOSED.labels(why).inc(count)
        if why not in FLOODS:
            return
        self._closed[why] += count
        now = self._monotonic()
        if now - self._said >= QUIET_S:
            log.warning("closed connections that waited for their clients", open=len(lines), **self._closed)
            self._said = now
            self._closed.clear()

    def _victims(self, new: Line, lines: Collection[Line]) -> list[Line]:
        silent: dict[str, list[tuple[float, Line]]] = {}
        for line in lines:
            since = line.silent_since
            if line is not new and since is not None:
                silent.setdefault(line.address, []).append((since, line))
        if not silent:
            return []
        counts = Counter(line.address for line in lines)
        found = silent[max(silent, key=lambda address: counts[address])]
        found.sort(key=lambda pair: pair[0])
        return [line for _, line in found[: max(1, len(found) // AT_ONCE)]]


def neighbourhood(address: str) -> str:
    """The part of an address that counts as one client; for IPv6 a /64 network, since one customer has all of it."""
    if ":" not in address:
        return address
    try:
        packed = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(packed.ipv4_mapped or ipaddress.IPv6Network((packed, 64), strict=False))


def room_for_connections(files: int = 1) -> int:
    """How many connections this process can hold; raises its limit on open files if that is allowed.

    `files`: how many files each connection needs.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_CONNECTIONS * files + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(hard, wanted)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, (soft - OTHER_FILES) // files))
