"""Endpoints that do not answer, as this process sees it: in its log, as a metric, and in `/v1/status`.

An endpoint is silent once a webhook has waited for `QUIET_S` while nothing else from there has come. It is heard again
with its next answer. Until then its webhooks go out one at a time, so this also says why they do.
"""

from collections.abc import Callable
from typing import NamedTuple

from backbone.telemetry import get_logger
from services.actions.delivery.fair_share import QUIET_S
from services.actions.metrics import ENDPOINT_SILENT

SECOND_US = 1_000_000

log = get_logger("touchline.delivery")


class SilentEndpoint(NamedTuple):
    """An endpoint that does not answer, and since when (microseconds)."""

    endpoint: str
    since: int


class SilentEndpoints:
    """The silent endpoints. Written by the delivery loop, read from anywhere."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._since: dict[str, int] = {}

    def note(self, endpoint: str, silent: bool) -> None:
        """Note that an endpoint fell silent, or is heard again."""
        if silent and endpoint not in self._since:
            self._since[endpoint] = self._now() - round(QUIET_S * SECOND_US)
            log.warning("an endpoint does not answer", endpoint=endpoint)
        elif not silent and self._since.pop(endpoint, None) is not None:
            log.info("an endpoint answers again", endpoint=endpoint)
        ENDPOINT_SILENT.labels(endpoint).set(int(silent))

    def all(self) -> list[SilentEndpoint]:
        """The silent endpoints, longest first."""
        return sorted((SilentEndpoint(*one) for one in self._since.copy().items()), key=lambda one: one.since)
