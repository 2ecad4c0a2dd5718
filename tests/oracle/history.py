"""The input of the oracle: one partition's log, the saves in it, and the time at which the clock ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.oracle.times import parse_time

JSON = dict[str, Any]

DEFAULT_TIERS: list[JSON] = [{"tier": "tech"}]


@dataclass(frozen=True)
class Revision:
    """All rules and the tiers as of one save, in the form that `POST /v1/rules` and `PUT /v1/tiers` take."""

    rules: tuple[JSON, ...] = ()
    tiers: tuple[JSON, ...] = ()

    def tier_policy(self) -> list[JSON]:
        """The entries of the tiers, in order; `tech` for every account if no tiers were saved."""
        return list(self.tiers) or DEFAULT_TIERS


@dataclass(frozen=True)
class History:
    """The history of one partition.

    `events`: (offset, receipt in us, event as on the wire), ascending by offset, `touchline.clock` events among them.
    `config`: (offset, revision); the revision is in force before the event of that offset.
    `final_clock`: the time of the clock in the end, in us (`log`: of a last `touchline.clock`; `wall`: now less 1 s).
    """

    events: tuple[tuple[int, int, JSON], ...]
    config: tuple[tuple[int, Revision], ...]
    clock: str = "log"
    final_clock: int | None = None


@dataclass
class Arrived:
    """One distinct event as it arrived, with the account as it was then (this event merged in)."""

    seq: int
    event: JSON
    time: int
    late: bool
    account: JSON

    @property
    def id(self) -> str:
        return str(self.event["id"])

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def source(self) -> str:
        return str(self.event.get("source", "api"))

    @property
    def contact(self) -> str | None:
        return self.event.get("contact")

    @property
    def historical(self) -> bool:
        return self.event.get("historical") is True

    @property
    def silent(self) -> bool:
        """Whether no rule fires at the event, whatever it completes."""
        return self.late or self.historical


@dataclass
class Account:
    """Everything that was ever known of one account."""

    id: str
    events: list[Arrived] = field(default_factory=list)
    profile: JSON = field(default_factory=dict)
    newest: int | None = None
    earliest: int | None = None
    # (source, id) -> every first arrival under that name: (time, the account's newest time then)
    names: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)


def event_time(event: JSON, receipt: int) -> int:
    """The event's time in us; the receipt time if it has none."""
    return parse_time(event["time"]) if "time" in event else receipt
