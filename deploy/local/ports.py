"""TCP ports of 127.0.0.1 for servers that have to be told where to listen.

A port that the system gives out (port 0) is its own again as soon as it is let go: before the server listens there, or
while it is being restarted, any outgoing connection of this machine may take it. So these ports lie outside the
system's range, and each is kept from the other processes that choose one here: by a UDP socket of the same number,
which ends with the process that holds it.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections import deque
from pathlib import Path

LOWEST, HIGHEST = 10_000, 65_535
SYSTEM_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")  # Linux; see ip(7)
TRIES = 10_000
KEPT = 256  # so many of the ports chosen here, the newest, are kept from others

_kept: deque[socket.socket] = deque()


def free_port() -> int:
    """A port that nobody listens on, and that nobody is likely to."""
    return free_ports(1)


def free_ports(count: int) -> int:
    """The first of `count` such ports in a row. Raises OSError if none are found."""
    lowest, highest = _ours()
    for _ in range(TRIES):
        first = random.randint(lowest, highest - count + 1)
        with contextlib.suppress(OSError), contextlib.ExitStack() as row:
            held = [row.enter_context(_hold(first + place)) for place in range(count)]
            row.pop_all()
            _keep(held)
            return first
    raise OSError(f"no {count} free ports of 127.0.0.1 between {lowest} and {highest}")


def port_is_open(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _ours() -> tuple[int, int]:
    """The first and the last port to choose from: the larger part that the system's own range leaves."""
    try:
        low, high = map(int, SYSTEM_RANGE.read_text().split())
    except (OSError, ValueError):
        low, high = 49_152, HIGHEST  # as RFC 6335 has it, and macOS
    below, above = (LOWEST, low - 1), (max(high + 1, LOWEST), HIGHEST)
    larger = max(below, above, key=lambda part: part[1] - part[0])
    return larger if larger[1] - larger[0] >= KEPT else (LOWEST, HIGHEST)


def _hold(port: int) -> socket.socket:
    """Hold a port; raises OSError if somebody has it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: what has ended is free
        probe.bind(("127.0.0.1", port))
    with contextlib.ExitStack() as failing:
        held = failing.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        held.bind(("127.0.0.1", port))
        failing.pop_all()
    return held


def _keep(held: list[socket.socket]) -> None:
    _kept.extend(held)
    while len(_kept) > KEPT:
        _kept.popleft().close()
