"""The sending policy: when mails to contacts may begin, and how many (contract, section 12). Pure."""

import re
from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from schemas.duration import Duration, parse_duration
from schemas.fields import OF_VERSIONS, Count, Strict, Topic, invalid
from schemas.tiered import Tiered, for_tier
from schemas.zones import BadZone, valid_zone

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
# As `datetime.weekday` counts them.
WEEK: tuple[Weekday, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 24 * 60
DEFAULT_WAIT_AT_MOST = "7d"
LONGEST = "365d"  # so that what a cap counts is never older than what is kept by default
MOST_CAPS = 20
MOST_HOLIDAYS = 1_000
MOST_TOPICS = 100
_CLOCK = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_CLOCK_OR_MIDNIGHT = r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$"
_DATE = r"^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"


def _shown_as(pattern: str) -> Any:
    return Field(strict=True, json_schema_extra={"pattern": pattern})


def _clock(text: str) -> str:
    if not re.fullmatch(_CLOCK, text, re.ASCII):
        raise invalid("must be a time of day from 00:00 to 23:59, such as 08:00")
    return text


def _clock_or_midnight(text: str) -> str:
    if not re.fullmatch(_CLOCK_OR_MIDNIGHT, text, re.ASCII):
        raise invalid("must be a time of day from 00:01 to 24:00, such as 18:00")
    return text


def _date(text: str) -> str:
    if re.fullmatch(_DATE, text, re.ASCII):
        try:
            date.fromisoformat(text)
        except ValueError:
            pass
        else:
            return text
    raise invalid("must be a date such as 2026-12-25")


def _zone(text: str) -> str:
    try:
        return valid_zone(text)
    except BadZone as error:
        raise PydanticCustomError("zone", "{why}", {"why": str(error)}) from None


def _span(text: str) -> str:
    if parse_duration(text) > parse_duration(LONGEST):
        raise invalid("must be at most {most}", most=LONGEST)
    return text


def _no_day_twice(days: list[str]) -> list[str]:
    for day in days:
        if days.count(day) > 1:
            raise invalid("names {day} twice", day=day)
    return days


Clock = Annotated[str, AfterValidator(_clock), _shown_as(_CLOCK)]
ClockOrMidnight = Annotated[str, AfterValidator(_clock_or_midnight), _shown_as(_CLOCK_OR_MIDNIGHT)]
Days = Annotated[list[Weekday], Field(min_length=1, max_length=len(WEEK)), AfterValidator(_no_day_twice)]
Holiday = Annotated[str, AfterValidator(_date), _shown_as(_DATE)]
Zone = Annotated[str, Field(strict=True, max_length=100), AfterValidator(_zone)]
Span = Annotated[Duration, AfterValidator(_span)]
Excepted = Annotated[list[Topic], Field(max_length=MOST_TOPICS)]


def minutes(clock: str) -> int:
    """The minutes from midnight to a time of day: 1,440 for `24:00`."""
    hour, _, minute = clock.partition(":")
    return int(hour) * 60 + int(minute)


class Hours(Strict):
    """The hours in which mails may begin, by the clock of their reader."""

    from_: Clock = Field(
        alias="from", description="The time of day from which mails may begin.", examples=["08:00"]
    )
    to: ClockOrMidnight = Field(
        description="The time of day from which no mail begins any more. It is later than `from`; `24:00` is "
        "the end of the day.",
        examples=["18:00"],
    )
    days: Days = Field(
        list(WEEK),
        description="The days of the week on which mails may begin. Default: all.",
        examples=[["mon", "tue", "wed", "thu", "fri"]],
    )
    except_topics: Excepted = Field(
        [],
        description="The topics whose mails may begin at any hour, on any day, on holidays too.",
        examples=[["billing"]],
    )

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if minutes(self.from_) >= minutes(self.to):
            raise invalid("must be later than from, {start}, on the same day", start=self.from_, at="to")
        return self


class Cap(Strict):
    """How many mails may begin within a time."""

    at_most: Tiered[Count] = Field(
        description="How many mails may begin, for all tiers or per tier. A tier that is left out is not "
        "capped, and its mails do not count.",
        examples=[2, {"high": 1, "low": 3}],
    )
    within: Span = Field(
        description=f"The length of time, at most {LONGEST}. It slides: it is not a calendar day or week.",
        examples=["7d"],
    )
    per: Literal["address", "account"] = Field(
        "address",
        description="Whose mails are counted: those to one address, over all accounts, or those to all "
        "contacts of one account.",
        examples=["account"],
    )
    except_topics: Excepted = Field(
        [],
        description="The topics whose mails are not capped and do not count.",
        examples=[["billing"]],
    )

    def covers(self, topic: str, tier: str) -> bool:
        """Whether it limits and counts mails of this topic and tier."""
        return topic not in self.except_topics and for_tier(self.at_most, tier) is not None


class PolicyDoc(Strict):
    """The sending policy. It says when mails to contacts may begin, and how many. An empty policy limits nothing."""

    read_only: ClassVar[frozenset[str]] = OF_VERSIONS

    timezone: Zone | None = Field(
        None,
        description="The time zone of contacts that have none and whose account has none, as an IANA name. "
        "Default: UTC.",
        examples=["Europe/Paris"],
    )
    hours: Hours | None = Field(
        None, description="The hours and days on which mails may begin. Default: the whole of every day."
    )
    holidays: Annotated[list[Holiday], Field(max_length=MOST_HOLIDAYS)] = Field(
        [], description="Dates on which no mail begins.", examples=[["2026-12-25"]]
    )
    caps: Annotated[list[Cap], Field(max_length=MOST_CAPS)] = Field(
        [], description="How many mails may begin within a time. Every cap must have room."
    )
    wait_at_most: Span = Field(
        DEFAULT_WAIT_AT_MOST,
        description=f"How long after it is due a mail may still begin, at most {LONGEST}. After that it is skipped. "
        f"Default: {DEFAULT_WAIT_AT_MOST}.",
        examples=["7d"],
    )


POLICY_EXAMPLE: dict[str, Any] = {
    "timezone": "Europe/Paris",
    "hours": {
        "from": "08:00",
        "to": "18:00",
        "days": ["mon", "tue", "wed", "thu", "fri"],
        "except_topics": ["billing"],
    },
    "holidays": ["2026-12-25"],
    "caps": [
        {"at_most": 2, "within": "7d"},
        {"at_most": {"high": 1, "low": 3}, "within": "1d", "per": "account", "except_topics": ["billing"]},
    ],
    "wait_at_most": "7d",
}
