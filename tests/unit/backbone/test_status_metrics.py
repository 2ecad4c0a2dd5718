"""Gauges that services are asked for when metrics are scraped."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable

import pytest
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from backbone.errors import DatabaseUnavailable
from backbone.status_metrics import LAG, Sample, StatusCollector, StatusGauge, lag_samples

DUE = StatusGauge("touchline_things_due", "Things due")


class Asked:
    """A service whose figures are these, or which fails, or hangs until it is `free`."""

    def __init__(self, name: str, *told: Sample, error: Exception | None = None, hangs: bool = False) -> None:
        self.name, self._told, self._error, self.asked = name, told, error, 0
        self.free = threading.Event()
        if not hangs:
            self.free.set()

    def measure(self) -> Iterable[Sample]:
        self.asked += 1
        self.free.wait(30)
        if self._error is not None:
            raise self._error
        return self._told


def scraped(collector: StatusCollector) -> list[str]:
    return generate_latest(collector).decode().splitlines()


def test_a_gauge_of_two_services_is_told_once() -> None:
    rules = Asked("rules", *lag_samples("rules", {0: 3, 1: 0}))
    actions = Asked("actions", *lag_samples("actions events", {0: 7}), Sample(DUE, (), 2))
    assert scraped(StatusCollector([rules, actions])) == [
        "# HELP touchline_lag Records not yet processed",
        "# TYPE touchline_lag gauge",
        'touchline_lag{partition="0",service="rules"} 3.0',
        'touchline_lag{partition="1",service="rules"} 0.0',
        'touchline_lag{partition="0",service="actions events"} 7.0',
        "# HELP touchline_things_due Things due",
        "# TYPE touchline_things_due gauge",
        "touchline_things_due 2.0",
    ]


def test_nobody_is_asked_before_a_scrape() -> None:
    service = Asked("rules")
    collector = StatusCollector([service])
    assert service.asked == 0
    assert scraped(collector) == []
    assert service.asked == 1


@pytest.mark.parametrize(
    ("error", "logged"), [(DatabaseUnavailable("gone"), []), (RuntimeError("odd"), ["rules"])]
)
def test_a_service_that_cannot_tell_is_left_out(error: Exception, logged: list[str]) -> None:
    broken, well = Asked("rules", error=error), Asked("actions", Sample(DUE, (), 1))
    with capture_logs() as said:
        assert scraped(StatusCollector([broken, well]))[2:] == ["touchline_things_due 1.0"]
    assert [one["service"] for one in said] == logged


def test_a_service_that_hangs_keeps_nobody_and_is_not_asked_twice() -> None:
    hung, well = Asked("rules", Sample(LAG, ("rules", "0"), 1), hangs=True), Asked("b", Sample(DUE, (), 1))
    collector = StatusCollector([hung, well], deadline_s=0.05)
    for _ in range(3):
        assert scraped(collector)[2:] == ["touchline_things_due 1.0"]
    assert (hung.asked, well.asked) == (1, 3)
    hung.free.set()
    patient = time.monotonic() + 30
    while len(scraped(collector)) < 6 and time.monotonic() < patient:
        pass
    assert 'touchline_lag{partition="0",service="rules"} 1.0' in scraped(collector)
