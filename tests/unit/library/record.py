"""The facts about a customer at a moment, read only from the events of a life. Claims are checked against them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from datetime import datetime, timedelta
from typing import Any

from schemas.event import Event
from tests.unit.library.lives import Life

JSON = dict[str, Any]
DAY = timedelta(days=1)


class Record:
    """A life, queried by event type and time. `upto` is excluded: an action at it has not seen its events yet."""

    def __init__(self, life: Life) -> None:
        self.life = life
        self._of: dict[str, list[Event]] = {}
        for event in life.events:
            self._of.setdefault(event.type, []).append(event)
        self._times = {type_: [_time(one) for one in events] for type_, events in self._of.items()}

    def between(
        self,
        types: str | tuple[str, ...],
        after: datetime | None,
        upto: datetime,
        who: str | None = None,
        **data: Any,
    ) -> list[Event]:
        """The events of these types with `after` < time < `upto`, of a person and with these values, if given."""
        found = []
        for type_ in (types,) if isinstance(types, str) else types:
            times = self._times.get(type_, [])
            low = 0 if after is None else bisect_right(times, after)
            found += self._of.get(type_, [])[low : bisect_left(times, upto)]
        return sorted((one for one in found if _fits(one, who, data)), key=_time)

    def days(self, types: str | tuple[str, ...], after: datetime, upto: datetime) -> int:
        """The number of UTC days with an event of these types."""
        return len({_time(one).date() for one in self.between(types, after, upto)})

    def attribute(self, name: str, at: datetime) -> Any:
        """An attribute of the account at a moment, with the updates of that very moment."""
        value = None
        for event in self.between("account.updated", None, at + timedelta(microseconds=1)):
            value = event.data.get("attributes", {}).get(name, value)
        return value

    def person(self, who: str, at: datetime) -> JSON:
        """A contact at a moment, with the updates of that very moment."""
        known: JSON = {"active": True, "roles": []}
        for event in self.between(
            ("account.updated", "contact.updated"), None, at + timedelta(microseconds=1)
        ):
            for one in event.data.get("contacts", []):
                known |= one if one["id"] == who else {}
            known |= event.data if event.type == "contact.updated" and event.contact == who else {}
        return known

    def left(self, at: datetime) -> bool:
        """Whether the customer has cancelled before a moment, and not come back since."""
        ended = self.between("subscription.cancelled", None, at)
        return bool(ended) and not self.between("subscription.started", _time(ended[-1]), at)


def _time(event: Event) -> datetime:
    assert event.time is not None
    return event.time


def _fits(event: Event, who: str | None, data: JSON) -> bool:
    if who is not None and event.contact != who:
        return False
    return all(event.data.get(name) == value for name, value in data.items())
