"""The step `digest`: puts an item on a mail that goes out once a day, and the moments at which it does. Pure."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, time, timedelta
from typing import ClassVar

from pydantic import Field

from schemas.channels.base import Recipient
from schemas.dates import zone_of
from schemas.event import from_microseconds, microseconds
from schemas.fields import Name, Strict
from schemas.policy import WEEK, Clock, Days

MOST = 50  # items in a mail, unless the step says otherwise


class DigestStep(Strict):
    """Put an item on a digest: one mail with all items that were collected for the recipient."""

    emits: ClassVar[tuple[str, ...]] = ("email.sent",)

    template: Name = Field(
        description="The name of a saved template. It sees `items`, `more`, `contact`, `owner` and `now`.",
        examples=["morning-list"],
    )
    key: str | None = Field(
        None,
        min_length=1,
        max_length=256,
        pattern="^[^\\x00]*$",
        description="Items with the same key and recipient go out in one mail, whatever their playbooks. "
        "Default: the template.",
        examples=["morning"],
    )
    to: Recipient = Field(
        "contact",
        description="The recipients, as for `email`: `contact`, `role:<role>`, `all`, `owner`, or an address.",
        examples=["owner"],
    )
    at: Clock = Field(
        description="The time of day at which the mail goes out: in the timezone of the contact, else of the "
        "account, else of the sending policy, else UTC; for `owner` and addresses, in that of the policy.",
        examples=["09:00"],
    )
    days: Days | None = Field(
        None,
        description="The days on which it goes out. Default: every day.",
        examples=[["mon", "tue", "wed", "thu", "fri"]],
    )
    at_most: int = Field(
        MOST,
        ge=1,
        le=500,
        strict=True,
        description="How many items the mail has at most. `more` tells how many others there were; they are "
        "not sent later.",
        examples=[MOST],
    )

    @property
    def joined_by(self) -> str:
        """The key that joins its items."""
        return self.key or self.template

    def references(self) -> Iterator[tuple[str, str, str]]:
        """Its template."""
        yield "template", self.template, "template"

    def texts(self) -> Iterator[tuple[str, str]]:
        """None: they stand in the template."""
        yield from ()


def next_moment(after: int, at: str, days: Collection[str] | None, zone: str | None) -> int:
    """The first moment later than `after` at which the clock of the zone (else UTC) shows `at`, on one of the days.

    Moments are in microseconds since the epoch. A local time that a clock change leaves out is the first moment after
    it; one that comes twice is the first of the two.
    """
    place = zone_of(zone)
    shown = time.fromisoformat(at)
    day = from_microseconds(after).astimezone(place).date() - timedelta(days=1)
    while True:
        if not days or WEEK[day.weekday()] in days:
            moment = _moment(datetime.combine(day, shown, tzinfo=place))
            if moment > after:
                return moment
        day += timedelta(days=1)


def _moment(local: datetime) -> int:
    """The moment at which a clock shows this; if it never does, the moment at which it was put forward."""
    found = local.astimezone(UTC)
    if found.astimezone(local.tzinfo).replace(fold=0) == local:
        return microseconds(found)
    low = microseconds(local.replace(fold=1).astimezone(UTC))  # before the change; `found` is after it
    high, offset = microseconds(found), from_microseconds(low).astimezone(local.tzinfo).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if from_microseconds(middle).astimezone(local.tzinfo).utcoffset() == offset:
            low = middle
        else:
            high = middle
    return high
