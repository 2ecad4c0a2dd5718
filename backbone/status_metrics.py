"""Gauges that only a look at the log and the tables can tell: each service is asked when metrics are scraped."""

import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from backbone.errors import TouchlineError
from backbone.telemetry import get_logger

DEADLINE_S = 2.0  # how long a scrape waits for all services together

log = get_logger("touchline.gauges")


@dataclass(frozen=True)
class StatusGauge:
    """A gauge that holds no value of its own: services tell it when they are asked."""

    name: str
    help: str
    labels: tuple[str, ...] = ()

    def family(self) -> GaugeMetricFamily:
        """The gauge as a scrape shows it, without samples yet."""
        return GaugeMetricFamily(self.name, self.help, labels=self.labels)


class Sample(NamedTuple):
    """What a gauge stands at; `labels`: their values, in the gauge's order."""

    gauge: StatusGauge
    labels: tuple[str, ...]
    value: float


LAG = StatusGauge("touchline_lag", "Records not yet processed", ("service", "partition"))


def lag_samples(service: str, lags: Mapping[int, int]) -> Iterator[Sample]:
    """How many records a service has yet to process, by partition."""
    return (Sample(LAG, (service, str(partition)), lag) for partition, lag in lags.items())


class Measured(Protocol):
    """A service that can be asked."""

    name: str

    def measure(self) -> Iterable[Sample]:
        """What its gauges stand at now. May take its time; raises `TouchlineError` where it cannot be told."""
        ...


class StatusCollector(Collector):
    """Asks all services at once, and leaves out those that cannot tell in time.

    A service is asked by one thread at most: scrapes at the same time share its answer, and one that hangs is not asked
    again before it has answered.
    """

    def __init__(self, services: Sequence[Measured], deadline_s: float = DEADLINE_S) -> None:
        self._services, self._deadline_s = services, deadline_s
        self._lock = threading.Lock()  # guards `_looks`
        self._looks: dict[str, _Look] = {}  # the last one at each service

    def collect(self) -> Iterator[Metric]:
        """One family for each gauge that some service told, whatever the number of services that have it."""
        deadline = time.monotonic() + self._deadline_s
        families: dict[StatusGauge, GaugeMetricFamily] = {}
        for look in [self._look(service) for service in self._services]:
            for sample in look.samples(max(0.0, deadline - time.monotonic())):
                family = families.setdefault(sample.gauge, sample.gauge.family())
                family.add_metric(sample.labels, sample.value)
        yield from families.values()

    def _look(self, service: Measured) -> "_Look":
        with self._lock:
            look = self._looks.get(service.name)
            if look is None or look.over:
                look = self._looks[service.name] = _Look(service)
            return look


class _Look:
    """One question to one service, in a thread of its own."""

    def __init__(self, service: Measured) -> None:
        self._service = service
        self._found: list[Sample] = []
        self._over = threading.Event()
        threading.Thread(target=self._run, name="gauges", daemon=True).start()

    @property
    def over(self) -> bool:
        """Whether the service has answered, or failed to."""
        return self._over.is_set()

    def samples(self, wait_s: float) -> list[Sample]:
        """What the service told; nothing if it has not within `wait_s` seconds."""
        return self._found if self._over.wait(wait_s) else []

    def _run(self) -> None:
        try:
            self._found = list(self._service.measure())
        except TouchlineError:  # the log or the database is away: others say so
            pass
        except Exception:
            log.exception("a service cannot tell its figures", service=self._service.name)
        finally:
            self._over.set()
