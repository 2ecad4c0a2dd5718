"""Times for people: absolute, in the reader's zone, with how long ago that is as a hint."""

from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60), ("second", 1))
DAY_BEGINS = 8  # o'clock: when a task that was put off to a day comes back


class When(NamedTuple):
    """A time as a page shows it: `iso` for machines, `text` in the reader's zone, `ago` relative to now."""

    iso: str
    text: str
    ago: str


def zone_named(name: str | None) -> ZoneInfo:
    """A zone by its IANA name; UTC if there is no such zone."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def moment_in(iso: str, zone: ZoneInfo) -> datetime:
    """A time of the API in a zone; in UTC at the ends of the calendar, where the zone's time would lie beyond them."""
    moment = parsed(iso)
    try:
        return moment.astimezone(zone)
    except OverflowError:
        return moment


def parsed(iso: str) -> datetime:
    """An RFC 3339 time of the API. Raises `ValueError`."""
    return datetime.fromisoformat(iso)


def from_microseconds(at: int) -> datetime:
    """A time of a `Clock`."""
    return datetime.fromtimestamp(at / 1_000_000, UTC)


def rfc3339(moment: datetime) -> str:
    """A time as the API takes it."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def in_zone(local: str, zone: ZoneInfo) -> datetime | None:
    """A moment as a `datetime-local` field gives it, in the reader's zone; None if it is none."""
    try:
        return datetime.fromisoformat(local).replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def when(iso: str, zone: ZoneInfo, now: datetime) -> When:
    """How to show a time: the year only if it is another one than now."""
    moment = moment_in(iso, zone)
    here = now.astimezone(zone)
    day = f"{moment.day} {moment:%b}" + ("" if moment.year == here.year else f" {moment.year}")
    return When(iso, f"{day}, {moment:%H:%M}", ago(moment, now))


def day_text(iso: str, zone: ZoneInfo, now: datetime) -> str:
    """The day of a time in words: "Today", "Tomorrow", "Yesterday", or "Monday, 30 Nov"."""
    day = moment_in(iso, zone).date()
    away = (day - now.astimezone(zone).date()).days
    if away in {-1, 0, 1}:
        return {-1: "Yesterday", 0: "Today", 1: "Tomorrow"}[away]
    year = "" if day.year == now.astimezone(zone).year else f" {day.year}"
    return f"{day:%A}, {day.day} {day:%b}{year}"


def midnight(day: date, zone: ZoneInfo) -> datetime:
    """The moment at which a day begins in a zone."""
    return datetime.combine(day, time(), zone)


def of_day(first: str, last: str, zone: ZoneInfo) -> dict[str, str]:
    """`after` and `before` of a list that shows what happened from one day to another, both included."""
    begins = midnight(date.fromisoformat(first), zone) - timedelta(microseconds=1)
    ends = midnight(date.fromisoformat(last) + timedelta(days=1), zone)
    return {"after": rfc3339(begins), "before": rfc3339(ends)}


def ago(moment: datetime, now: datetime) -> str:
    """How far away a time is: "3 hours ago", "in 2 days", "now"."""
    away = now - moment
    size = span(abs(away))
    if size == "":
        return "now"
    return f"{size} ago" if away > timedelta() else f"in {size}"


def span(length: timedelta) -> str:
    """A length of time in its greatest unit, rounded down: "3 hours". Empty below a second."""
    seconds = int(length.total_seconds())
    for unit, size in _UNITS:
        if seconds >= size:
            n = seconds // size
            return f"{n:,} {unit}{'' if n == 1 else 's'}"
    return ""


def local(text: str, zone: ZoneInfo, hour: int = DAY_BEGINS) -> datetime:
    """What a date or time field of a form says, in the reader's zone; a date alone is that day at `hour`.

    Raises `ValueError` if it says no date.
    """
    moment = datetime.fromisoformat(text.strip())
    if len(text.strip()) <= len("2026-03-10"):
        moment = moment.replace(hour=hour)
    try:
        return (moment.replace(tzinfo=zone) if moment.tzinfo is None else moment).astimezone(UTC)
    except OverflowError:
        raise ValueError("beyond the ends of the calendar") from None


def in_days(days: int, zone: ZoneInfo, now: datetime) -> datetime:
    """The morning of a day from today, in the reader's zone."""
    day = now.astimezone(zone).date() + timedelta(days=days)
    return datetime(day.year, day.month, day.day, DAY_BEGINS, tzinfo=zone)


def next_monday(zone: ZoneInfo, now: datetime) -> datetime:
    """The morning of the Monday after today, in the reader's zone."""
    return in_days(7 - now.astimezone(zone).weekday(), zone, now)
