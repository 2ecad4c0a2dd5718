"""Filters that make values read as a person would write them. Pure.

    {{ contact.name | first_name }}            Ann, or "there" where no name is known
    {{ trigger.value | counted('ticket') }}    1 ticket, 12 tickets, 1,200 tickets
    {{ trigger.value | times }}                once, twice, 3 times
    {{ trigger.value | percent }}              43% of 0.43
    {{ trigger.threshold | duration }}         7 days of "7d"; of `trigger.window` its length: 30 days
    {{ trigger.at | relative }}                a week ago, yesterday, today, tomorrow, in 3 days
    {{ trigger.key | readable }}               csv export of "csv_export"
    {{ account.attributes.x | date }}          Mar 3, 2027; `date('long')`: March 3, 2027
    {{ trigger.at | datetime }}                Mar 3, 2027, 9:00:00 AM
    {{ trigger.value | money('EUR') }}         €1,200.00
    {{ account.name | one_line }}              a name with its line breaks as spaces
    {{ trigger.at | epoch }}                   1772528400: the seconds since 1970
    {{ account.external_ids.crm | one }}       the only id there

`date`, `datetime` and `money` are written as in the reader's locale (`environment.locale`, a BCP 47 tag; empty: en-US),
times in the account's timezone. null gives an empty text, and a value that a filter cannot read stays as it is: no mail
fails over a value that somebody mistyped. `one` alone fails: what is sent to another system must not reach the wrong
record.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from babel import Locale
from babel.dates import format_date, format_datetime
from babel.numbers import format_currency, format_decimal
from jinja2 import pass_context
from jinja2.runtime import Context, Undefined

from schemas.dates import date_of, zone_of
from schemas.sentences import wording
from services.actions.rendering.jobs import one_line
from services.actions.rendering.locales import locale_of

_TITLES = frozenset(
    ("dr", "prof", "professor", "mr", "mrs", "ms", "miss", "mx", "sir", "dame", "herr", "frau", "mme")
)
_WORDS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_JOINTS = re.compile(r"[_\-./:]+")
_HUMP = re.compile(r"(?<=[a-z0-9])[A-Z](?=[a-z])")
_DAYS_OF_A_MONTH = 365.25 / 12
_DAY = len("2027-03-03")
_MOST = 1e15  # amounts beyond are written as they are
_CURRENCY = re.compile("[A-Z]{3}")
_FORMS: tuple[Literal["full", "long", "medium", "short"], ...] = ("full", "long", "medium", "short")


def first_name(value: Any, default: str = "there") -> Any:
    """The name to call somebody by: `Dr. Ann Lee`, `Lee, Ann` and `Ann Lee, PhD` are Ann; `Dr. Lee` stays whole."""
    if isinstance(value, Undefined):
        return value  # raises as soon as it is printed
    if not isinstance(value, str) or not value.strip() or "@" in value:
        return default
    name, _, rest = value.partition(",")
    if rest.strip() and len(name.split()) == 1:
        name = rest
    words = name.split()
    given = [word for word in words if word.strip(".").casefold() not in _TITLES]
    if not given or (len(given) == 1 and len(words) > 1) or len(given[0].strip(".")) == 1:
        return " ".join(words) or default
    return given[0]


def counted(value: Any, one: str, many: str | None = None) -> Any:
    """A number and what is counted, in the singular or the plural (default: with an s)."""
    number = _number(value)
    if number is None:
        return "" if value is None else value
    return wording.counted(number, one, many)


def times(value: Any) -> Any:
    """How often something happened."""
    number = _number(value)
    return ("once", "twice")[int(number) - 1] if number in (1, 2) else counted(value, "time")


def percent(value: Any) -> Any:
    """A share as a whole percentage."""
    if _number(value) is None:
        return "" if value is None else value
    whole = int(value * 100 + 0.5)
    return "less than 1%" if 0 < value < 0.005 else f"{whole}%"


def duration(value: Any) -> Any:
    """A duration as rules write it, or a window (`from`, `to`), in words."""
    if isinstance(value, Mapping):
        return _length(value)
    return wording.span(value) if isinstance(value, str) else "" if value is None else value


def _length(window: Mapping[str, Any]) -> str:
    begin, end = date_of(window.get("from"), None), date_of(window.get("to"), None)
    if begin is None or end is None:
        return ""
    hours = round((end - begin).total_seconds() / 3600)
    return str(counted(hours, "hour") if hours < 24 else counted(round(hours / 24), "day"))


@pass_context
def relative(context: Context, value: Any) -> Any:
    """The days between a date or time and `now`, as one says it, by the account's calendar."""
    zone = _zone(context)
    moment, now = date_of(value, zone), date_of(context.get("now"), zone)
    if moment is None or now is None:
        return "" if value is None else value
    civil = zone_of(zone)
    try:
        days = (moment.astimezone(civil).date() - now.astimezone(civil).date()).days
    except OverflowError:  # at the edge of the calendar
        return value
    if -1 <= days <= 1:
        return ("yesterday", "today", "tomorrow")[days + 1]
    return f"in {_span(days)}" if days > 0 else f"{_span(-days)} ago"


def _span(days: int) -> str:
    if days <= 28 and days % 7 == 0:
        return _several(days // 7, "week")
    if days < 56:
        return _several(1, "month") if days in (30, 31) else f"{days} days"
    months = round(days / _DAYS_OF_A_MONTH)
    return _several(months, "month") if months % 12 else _several(months // 12, "year")


def _several(number: int, unit: str) -> str:
    word = _WORDS[number] if number < len(_WORDS) else str(number)
    return f"{word} {unit}" if number == 1 else f"{word} {unit}s"


def readable(value: Any) -> Any:
    """A key as words: `csv_export` and `csvExport` are csv export; `PagerDuty` is a name, and what has spaces stays."""
    if not isinstance(value, str) or " " in value.strip():
        return "" if value is None else value
    apart = _HUMP.sub(lambda found: f" {found[0].lower()}", value) if value[:1].islower() else value
    return " ".join(_JOINTS.sub(" ", apart).split()) or value


@pass_context
def as_date(context: Context, value: Any, form: str = "medium") -> Any:
    """The day of a date or time in the account's timezone; a date without a time is that day everywhere."""
    moment = _local(context, value)
    if moment is None:
        return "" if value is None else value
    return format_date(moment.date(), _form(form), locale=_locale(context))


@pass_context
def as_datetime(context: Context, value: Any, form: str = "medium") -> Any:
    """Day and time in the account's timezone; of a date without a time, the day."""
    moment = _local(context, value)
    if moment is None:
        return "" if value is None else value
    if len(value) == _DAY:
        return format_date(moment.date(), _form(form), locale=_locale(context))
    return format_datetime(moment, _form(form), tzinfo=moment.tzinfo, locale=_locale(context))


def in_one_line(value: Any) -> Any:
    """A text whose line breaks and control characters are spaces, and several spaces one."""
    return "" if value is None else one_line(value) if isinstance(value, str) else value


@pass_context
def epoch(context: Context, value: Any) -> Any:
    """The whole seconds from 1970 to a date or time."""
    moment = date_of(value, _zone(context))
    return ("" if value is None else value) if moment is None else int(moment.timestamp())


def one(value: Any) -> Any:
    """A text or number, or the only one of a list. Raises `ValueError` for any other value."""
    if isinstance(value, Undefined):
        raise ValueError(f"there is no {value._undefined_name}")  # noqa: SLF001 - has no other name
    found = value if isinstance(value, list) else [] if value in (None, "") else [value]
    if len(found) != 1:
        raise ValueError(
            f"there are {len(found)} values, where one is needed" if found else "there is no value"
        )
    if isinstance(found[0], bool) or not isinstance(found[0], str | int | float):
        raise ValueError("the value is neither a text nor a number")
    return found[0]


@pass_context
def money(context: Context, value: Any, currency: Any = None) -> Any:
    """An amount in whole units of a currency (ISO 4217), with as many digits as people give it there."""
    if isinstance(currency, Undefined):
        return currency  # raises as soon as it is printed
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _MOST:
        return "" if value is None else value
    amount, locale = Decimal(repr(value)), _locale(context)
    code = currency.strip().upper() if isinstance(currency, str) else ""
    if _CURRENCY.fullmatch(code) is None:
        said = format_decimal(amount, locale=locale)
        return f"{said} {currency}" if currency else said
    return format_currency(amount, code, locale=locale)


def _zone(context: Context) -> str | None:
    """The account's timezone; in a digest, which has several accounts, that of its reader."""
    account = context.get("account") or context.get("reader")
    name = account.get("timezone") if isinstance(account, Mapping) else None
    return name if isinstance(name, str) else None


def _local(context: Context, value: Any) -> datetime | None:
    """A date or time on the account's calendar; None: it is neither, or lies at the edge of the calendar."""
    zone = _zone(context)
    moment = date_of(value, zone)
    try:
        return None if moment is None else moment.astimezone(zone_of(zone))
    except OverflowError:
        return None


def _locale(context: Context) -> Locale:
    return locale_of(context.environment.locale)  # type: ignore[attr-defined]


def _form(form: str) -> Literal["full", "long", "medium", "short"]:
    for known in _FORMS:
        if form == known:
            return known
    raise ValueError(f"a date is short, medium, long or full, not {str(form)[:50]!r}")


def _number(value: Any) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
        return None
    return int(value) if value == int(value) else round(value, 2)


FILTERS: dict[str, Callable[..., Any]] = {
    "first_name": first_name,
    "counted": counted,
    "times": times,
    "percent": percent,
    "duration": duration,
    "relative": relative,
    "readable": readable,
    "date": as_date,
    "datetime": as_datetime,
    "money": money,
    "one_line": in_one_line,
    "epoch": epoch,
    "one": one,
}
