"""Finds what is legal but probably wrong in the sending policy by itself. Pure."""

from collections.abc import Iterator, Sequence
from datetime import date

from schemas.duration import parse_duration
from schemas.lint.single import LintWarning
from schemas.policy import DAY_MINUTES, WEEK, Cap, Hours, PolicyDoc, minutes
from schemas.tiered import TIERS, TierMap, for_tier

_MINUTE_US = 60_000_000
_WEEK_DAYS = len(WEEK)
Stretch = tuple[
    int, int
]  # from one minute to another, by the clock on the wall; a day is its ordinal times 1,440


def lint_policy(policy: PolicyDoc) -> list[LintWarning]:
    """The warnings about a policy by itself."""
    of_caps = [*_never(policy.caps), *_idle(policy.caps), *_uncapped(policy.caps)]
    return [*of_caps, *_twice(policy.holidays), *_closed(policy)]


def _never(caps: Sequence[Cap]) -> Iterator[LintWarning]:
    for place, cap in enumerate(caps):
        tiers = [f".{tier}" for tier in TIERS] if isinstance(cap.at_most, TierMap) else [""]
        for tier in tiers:
            if for_tier(cap.at_most, tier.lstrip(".")) == 0:
                message = "leaves room for none: every mail that it covers is skipped"
                yield _warning(f"caps.{place}.at_most{tier}", message)


def _idle(caps: Sequence[Cap]) -> Iterator[LintWarning]:
    """Warns of a cap that is never reached, since another one always is before."""
    for place, cap in enumerate(caps):
        for other, stricter in enumerate(caps):
            if (
                other != place
                and _comes_first(stricter, cap)
                and not (other > place and _comes_first(cap, stricter))
            ):  # of two that say the same, the second is idle
                yield _warning(f"caps.{place}", f"never holds a mail back: caps.{other} always does before")
                break


def _comes_first(one: Cap, other: Cap) -> bool:
    """Whether the first cap is full whenever the second is."""
    longer = parse_duration(one.within) >= parse_duration(other.within)
    covers_all = set(one.except_topics) <= set(other.except_topics)
    return (
        one.per == other.per and longer and covers_all and all(_as_strict(one, other, tier) for tier in TIERS)
    )


def _as_strict(one: Cap, other: Cap, tier: str) -> bool:
    most, limit = for_tier(one.at_most, tier), for_tier(other.at_most, tier)
    return limit is None or (most is not None and most <= limit)


def _uncapped(caps: Sequence[Cap]) -> Iterator[LintWarning]:
    for tier in TIERS if caps else ():
        if all(for_tier(cap.at_most, tier) is None for cap in caps):
            yield _warning(
                "caps", f"no cap holds for the tier {tier}; if that is meant, give it a high number"
            )


def _twice(holidays: Sequence[str]) -> Iterator[LintWarning]:
    first: dict[str, int] = {}
    for place, day in enumerate(holidays):
        if first.setdefault(day, place) != place:
            yield _warning(f"holidays.{place}", f"{day} is holidays.{first[day]} already")


def _closed(policy: PolicyDoc) -> Iterator[LintWarning]:
    """Warns of times without an hour that are longer than a mail may wait."""
    patience = parse_duration(policy.wait_at_most)
    monday = date(2026, 1, 5).toordinal()
    every_week = _longest(policy.hours, frozenset(), range(monday, monday + 2 * _WEEK_DAYS))
    if _us(every_week) > patience:
        begins, ends = (_of_week(minute) for minute in every_week)
        message = f"is shorter than the time from {begins} to {ends}: what falls due right after {begins} is skipped"
        yield _warning("wait_at_most", message)
        return
    places = {date.fromisoformat(text).toordinal(): place for place, text in enumerate(policy.holidays)}
    for run in _runs(sorted(places)):
        around = range(run[0] - _WEEK_DAYS, run[-1] + 1 + _WEEK_DAYS)
        closed = _longest(policy.hours, frozenset(places), around)
        if _us(closed) > patience:
            begins, ends = (_dated(minute) for minute in closed)
            message = (
                f"nothing begins from {begins} to {ends}, longer than wait_at_most ({policy.wait_at_most}): "
                "what falls due right after the beginning is skipped"
            )
            yield _warning(f"holidays.{places[_first_day(run, closed)]}", message)


def _runs(days: Sequence[int]) -> list[list[int]]:
    """The days in groups that are so far apart that every group has hours before and behind it."""
    runs: list[list[int]] = []
    for day in days:
        if runs and day - runs[-1][-1] <= 2 * _WEEK_DAYS:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _first_day(run: Sequence[int], closed: Stretch) -> int:
    return next(day for day in run if (day + 1) * DAY_MINUTES > closed[0])


def _longest(hours: Hours | None, holidays: frozenset[int], days: range) -> Stretch:
    """The longest time without an hour between two hours, over these days (ordinals)."""
    open_days = set(WEEK) if hours is None else set(hours.days)
    starts, ends = (0, DAY_MINUTES) if hours is None else (minutes(hours.from_), minutes(hours.to))
    longest: Stretch = (0, 0)
    closed_at: int | None = None
    for day in days:
        if day in holidays or WEEK[(day - 1) % _WEEK_DAYS] not in open_days:
            continue
        opens = day * DAY_MINUTES + starts
        if closed_at is not None and opens - closed_at > longest[1] - longest[0]:
            longest = closed_at, opens
        closed_at = day * DAY_MINUTES + ends
    return longest


def _us(stretch: Stretch) -> int:
    return (stretch[1] - stretch[0]) * _MINUTE_US


def _of_week(minute: int) -> str:
    """A minute's day of the week and time: `fri 18:00`."""
    day, rest = divmod(minute, DAY_MINUTES)
    return f"{WEEK[(day - 1) % _WEEK_DAYS]} {_time(rest)}"


def _dated(minute: int) -> str:
    """A minute's date and time: `2026-12-24 18:00`."""
    day, rest = divmod(minute, DAY_MINUTES)
    return f"{date.fromordinal(day)} {_time(rest)}"


def _time(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _warning(where: str, message: str) -> LintWarning:
    return {"field": where, "message": message}
