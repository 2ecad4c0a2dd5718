"""Keeps those gauges true that only a look at the log and the tables can tell: how far each service is behind, and what
is due. `/v1/status` looks too, but who collects metrics does not ask it."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from backbone.errors import TouchlineError
from backbone.telemetry import get_logger

EVERY_S = 5.0
LEAVE_S = 2.0  # how long a stop waits for a look under way

log = get_logger("touchline.gauges")


class Looked(Protocol):
    """What sets its gauges when it is asked for its status."""

    name: str

    def status(self) -> Mapping[str, Any]:
        """See `backbone.web.app.Service`."""
        ...


class StatusMetrics:
    """Asks every service for its status now and then, in a thread of its own. What cannot be told now stays as it
    was."""

    def __init__(self, services: Sequence[Looked]) -> None:
        self._services = services
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="gauges", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stopping.set()
        self._thread.join(LEAVE_S)

    def _run(self) -> None:
        while not self._stopping.wait(EVERY_S):
            for service in self._services:
                try:
                    with suppress(TouchlineError):  # the log or the database is away: others say so
                        service.status()
                except Exception:
                    log.exception("a service cannot tell its status", service=service.name)
