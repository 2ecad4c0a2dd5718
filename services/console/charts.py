"""Charts as numbers for a template: what `chart` and `curve` in `components.html` draw as SVG, with a table below.

    bars = stacked_bars(["2026-03-01", "2026-03-02"], [Series("High touch", "high", [1, 0])], "trigger")
    {{ chart(bars, "Triggers by day") }}

No text goes into the drawing: it is stretched to the width that there is, and letters would be stretched with it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, timedelta
from itertools import accumulate
from typing import Any, NamedTuple

HEIGHT, STEP = 100.0, 10.0  # of the drawing
MOST_BARS = 100  # days; beyond that one bar stands for a week
KINDS = frozenset({"high", "low", "tech", "one", "two", "three"})  # classes that the style has a colour for
TIERS = (("high", "High touch"), ("low", "Low touch"), ("tech", "Tech touch"))
_NICE = (2, 4, 6, 8, 10, 12, 16, 20)


class Series(NamedTuple):
    """One colour of a chart: `name` for people, `kind` its colour (one of `KINDS`), `values` one a day."""

    name: str
    kind: str
    values: Sequence[int]


class Part(NamedTuple):
    """A piece of a bar: `kind` its colour, and where it stands in the drawing."""

    kind: str
    y: float
    height: float


class Bar(NamedTuple):
    """A day, or a week: `label` for people, `values` one a series, `parts` from below, `link` to what it counts."""

    label: str
    values: Sequence[int]
    total: int
    x: float
    width: float
    parts: Sequence[Part]
    hint: str
    link: str | None


class Bars(NamedTuple):
    """A chart of bars. `label`: all of it in a sentence; `step`: what a bar stands for; `scale`: top, middle and foot
    of the axis; `ends`: what stands below the first bar, the middle one and the last."""

    label: str
    step: str
    units: str
    width: float
    scale: Sequence[float]
    ends: Sequence[str]
    series: Sequence[Series]
    bars: Sequence[Bar]
    total: int


class Point(NamedTuple):
    """A value of a curve: `value` None where it is not known; `now`: this is how it is at present."""

    label: str
    value: float | None
    x: float
    y: float
    now: bool
    link: str | None


class Curve(NamedTuple):
    """A line over choices that stand side by side. `path`: of an SVG path; the rest as of `Bars`."""

    label: str
    unit: str
    width: float
    scale: Sequence[float]
    points: Sequence[Point]
    path: str


def days_from(first: date, last: date) -> list[str]:
    """Every day from the first to the last, both included, as ISO dates."""
    return [(first + timedelta(days=n)).isoformat() for n in range((last - first).days + 1)]


def by_tier(items: Iterable[Mapping[str, Any]], days: Sequence[str]) -> list[Series]:
    """What `GET /v1/stats/…?by=day,tier` answers, as a series a tier; days that are not shown are left out."""
    at = {day: n for n, day in enumerate(days)}
    found = {tier: [0] * len(days) for tier, _ in TIERS}
    for item in items:
        if item["day"] in at and item["tier"] in found:
            found[item["tier"]][at[item["day"]]] += item["n"]
    return [Series(name, tier, found[tier]) for tier, name in TIERS]


def stacked_bars(
    days: Sequence[str],
    series: Sequence[Series],
    unit: str = "",
    units: str | None = None,
    link: Callable[[str, str], str] | None = None,
) -> Bars:
    """Bars of days (ISO dates, in order, none left out), one series upon the other.

    `unit`: what is counted ("trigger"), `units` its plural. `link`: the address of what a bar counts, from its first
    and last day. More than `MOST_BARS` days are drawn by the week.
    """
    series = [one._replace(kind=one.kind if one.kind in KINDS else "one") for one in series]
    spans = _spans(days)
    sums = [[sum(one.values[start:end]) for one in series] for start, end in spans]
    scale = _scale(max((sum(values) for values in sums), default=0))
    years = len({day[:4] for day in days}) > 1
    gap = STEP * (0.15 if len(spans) > 6 else 0.6)
    bars = []
    for n, ((start, end), values) in enumerate(zip(spans, sums, strict=True)):
        label = _named(days[start], days[end - 1], years=years)
        bars.append(
            Bar(
                label,
                values,
                sum(values),
                n * STEP + gap / 2,
                STEP - gap,
                _parts(values, series, scale[0]),
                _hint(label, values, series),
                link(days[start], days[end - 1]) if link else None,
            )
        )
    total = sum(bar.total for bar in bars)
    counted = _counted(total, unit, units)
    label = f"{counted}, {_named(days[0], days[-1], years=years)}" if bars else counted
    width = max(len(bars), 1) * STEP
    ends = [_named(day, day, years=years) for day in _ends(days)]
    step = "Day" if len(days) <= MOST_BARS else "Week"
    return Bars(label, step, units or f"{unit}s", width, scale, ends, series, bars, total)


def curve_over(
    labels: Sequence[str],
    values: Sequence[float | None],
    unit: str = "",
    now: int | None = None,
    links: Sequence[str | None] | None = None,
) -> Curve:
    """A line over the choices that `labels` name, in this order. `now`: which of them is in force."""
    scale = _scale(max((value for value in values if value is not None), default=0))
    points = []
    for n, (label, value) in enumerate(zip(labels, values, strict=True)):
        y = HEIGHT - HEIGHT * (value or 0) / scale[0]
        points.append(Point(label, value, (n + 0.5) * STEP, y, n == now, links[n] if links else None))
    known = [point for point in points if point.value is not None]
    path = " ".join(f"{'L' if n else 'M'}{point.x:.1f} {point.y:.1f}" for n, point in enumerate(known))
    said = ", ".join(f"{point.label}: {_shown(point.value)}" for point in known)
    return Curve(f"{unit} ({said})" if said else unit, unit, max(len(points), 1) * STEP, scale, points, path)


def _spans(days: Sequence[str]) -> list[tuple[int, int]]:
    """The days of each bar. Weeks end with the last day, so that none but the first is cut short."""
    if len(days) <= MOST_BARS:
        return [(n, n + 1) for n in range(len(days))]
    first = len(days) % 7
    starts = [*([0] if first else []), *range(first, len(days), 7)]
    return list(zip(starts, [*starts[1:], len(days)], strict=True))


def _parts(values: Sequence[int], series: Sequence[Series], top: float) -> list[Part]:
    heights = [HEIGHT * value / top for value in values]
    return [
        Part(one.kind, HEIGHT - reached, height)
        for one, height, reached in zip(series, heights, accumulate(heights), strict=True)
        if height
    ]


def _hint(label: str, values: Sequence[int], series: Sequence[Series]) -> str:
    said = [
        f"{one.name} {value:,}" if one.name else f"{value:,}"
        for one, value in zip(series, values, strict=True)
    ]
    return f"{label}: {', '.join(said)}"


def _scale(most: float) -> tuple[float, float, float]:
    """Top, middle and foot of the axis: the least round number that is not below the greatest value."""
    power = 1
    while most > 20 * power:
        power *= 10
    top = next(nice * power for nice in _NICE if nice * power >= most)
    return top, top / 2 if top % 2 else top // 2, 0


def _ends(days: Sequence[str]) -> list[str]:
    return [days[n] for n in sorted({0, len(days) // 2, len(days) - 1})] if days else []


def _named(first: str, last: str, *, years: bool) -> str:
    """A day as the axis shows it; a week by both its ends."""
    shown = [f"{day.day} {day:%b}{f' {day.year}' if years else ''}" for day in map(_date, (first, last))]
    return shown[0] if first == last else f"{shown[0]} – {shown[1]}"


def _date(iso: str) -> date:
    return date.fromisoformat(iso)


def _counted(total: int, unit: str, units: str | None) -> str:
    return f"{total:,} {unit if total == 1 else units or unit + 's'}" if unit else f"{total:,}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}".removesuffix(".0")
