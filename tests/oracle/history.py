"""What the oracle reads: one partition's log, the saves in it, and where the clock ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.oracle.times import parse_time

JSON = dict[str, Any]

DEFAULT_TIERS: list[JSON] = [{"tier": "tech"}]


@dataclass(frozen=True)
class Revision:
    """All rules and the tier policy as of one save, as `POST /v1/rules` and `PUT /v1/tiers` take them."""

    rules: tuple[JSON, ...] = ()
    tiers: tuple[JSON, ...] = ()

    def tier_policy(self) -> list[JSON]:
        """The policy in order; nobody's is `tech` where none was saved."""
        return list(self.tiers) or DEFAULT_TIERS


@dataclass(frozen=True)
class History:
    """One partition.

    `events`: (offset, receipt in us, event as on the wire), ascending; `touchline.clock` is one of them.
    `config`: (offset, revision), in force before the event of that offset.
    `final_clock`: where the clock stands in the end, in us (`log`: a last `touchline.clock`; `wall`: now
    less 1 s).
    """

    events: tuple[tuple[int, int, JSON], ...]
    config: tuple[tuple[int, Revision], ...]
    clock: str = "log"
    final_clock: int | None = None


@dataclass
class Arrived:
    """One distinct event as it arrived, with the account as it then was (the event itself merged in)."""

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
        """Fires nothing, whatever it completes."""
        return self.late or self.historical


@dataclass
class Account:
    """Everything ever known of one account."""

    id: str
    events: list[Arrived] = field(default_factory=list)
    profile: JSON = field(default_factory=dict)
    newest: int | None = None
    earliest: int | None = None
    # (source, id) -> every first arrival under that name: (time, the account's newest time then)
    names: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)


def event_time(event: JSON, receipt: int) -> int:
    """The event's time in us; the moment of receipt where it has none."""
    return parse_time(event["time"]) if "time" in event else receipt
