"""Draws a backtest in the terminal: when, by day and tier; who; what other values would have done."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from backbone.terminal_text import one_line

JSON = dict[str, Any]
COLOURS = {
    "high": "magenta",
    "low": "cyan",
    "tech": "green",
    "email": "cyan",
    "task": "magenta",
    "webhook": "green",
}
MARKS = {"high": "█", "low": "▓", "tech": "░"}  # told apart without colours too
WIDTH = 48  # of the longest bar
ROWS = 62  # days; beyond that, weeks
BUSIEST = 10


def draw(out: Console, answers: Sequence[JSON], triggers: Sequence[JSON], *, says: str | None = None) -> None:
    """A rule's backtests, of which the first one is shown in full; `triggers` are its earliest. `says`: the rule in
    words."""
    first = answers[0]
    out.print()
    out.print(f"[bold]{escape(one_line(first['rule']))}[/]", soft_wrap=True)
    if says is not None:
        out.print(one_line(says), markup=False)
    out.print(headline(first), markup=False, soft_wrap=True)
    if first["triggers"]:
        for line in chart(first["by_day"]):
            out.print(line, soft_wrap=True)
        out.print(_busiest(triggers, first["triggers"]))
    for answer in answers:
        if answer["variants"]:
            out.print(_variants(answer))
    if first["against"]:
        other = first["against"]
        out.print(
            f"against {one_line(other['rule'])}: {other['same']:,} the same, {other['added']:,} added, "
            f"{other['dropped']:,} dropped",
            markup=False,
            soft_wrap=True,
        )


def headline(answer: JSON) -> str:
    """What was found, in one line."""
    tiers = ", ".join(f"{count:,} {tier}" for tier, count in answer["by_tier"].items() if count)
    read = f"of {answer['events']:,} events of {answer['accounts']:,} accounts"
    since = f" since {answer['log_from'][:10]}" if answer["log_from"] else ""
    fired = f"{answer['triggers']:,} triggers for {answer['subjects']:,} subjects"
    return f"{fired}{f' ({tiers})' if tiers else ''}, {read}{since}"


def chart(by_day: Sequence[JSON], marks: Mapping[str, str] = MARKS) -> list[Text]:
    """A bar for every day, or week, from the first to the last; a mark for each of its numbers, by default tiers."""
    bars = _bars(by_day, marks)
    most = max(sum(tiers.values()) for tiers in bars.values())
    scale = min(1.0, WIDTH / most)
    key = "  ".join(f"{mark} {tier}" for tier, mark in marks.items())
    weekly = len(bars) < len(_days(by_day))
    lines = [Text(f"by {'week, from its Monday' if weekly else 'day'} (UTC)   {key}", style="dim")]
    for day, tiers in bars.items():
        line = Text(f"{day.isoformat()} ")
        for tier, mark in marks.items():
            length = tiers[tier] * scale
            line.append(mark * (round(length) or bool(length)), style=COLOURS[tier])
        total = sum(tiers.values())
        lines.append(line.append(f" {total:,}" if total else "·", style="dim" if not total else ""))
    return lines


def _days(by_day: Sequence[JSON]) -> list[date]:
    first, last = date.fromisoformat(by_day[0]["day"]), date.fromisoformat(by_day[-1]["day"])
    return [first + timedelta(number) for number in range((last - first).days + 1)]


def _bars(by_day: Sequence[JSON], marks: Iterable[str]) -> dict[date, Counter[str]]:
    """The numbers by day, or by week if there are too many days; empty ones too, up to `ROWS` of them."""
    days = _days(by_day)
    weekly = len(days) > ROWS
    places = {day: day - timedelta(day.weekday()) if weekly else day for day in days}
    bars: dict[date, Counter[str]] = {place: Counter() for place in places.values()}
    for one in by_day:
        for tier in marks:
            bars[places[date.fromisoformat(one["day"])]][tier] += one[tier]
    if len(bars) > ROWS:
        return {day: tiers for day, tiers in bars.items() if tiers.total()}
    return bars


def _busiest(triggers: Sequence[JSON], total: int) -> Table:
    counts = Counter((one["account"], one["tier"]) for one in triggers)
    last = {one["account"]: one["at"] for one in triggers}
    head = "who, most first" if len(triggers) == total else f"who, most first, of the first {len(triggers):,}"
    table = Table(head, "tier", "triggers", "last", box=None, title_justify="left")
    for (account, tier), count in counts.most_common(BUSIEST):
        table.add_row(escape(one_line(account)), tier, f"{count:,}", last[account])
    if len(counts) > BUSIEST:
        table.add_row(f"and {len(counts) - BUSIEST:,} more", "", "", "")
    return table


def _variants(answer: JSON) -> Table:
    table = Table("value", "triggers", "subjects", "high", "low", "tech", box=None)
    for one in answer["variants"]:
        tiers = [f"{one['by_tier'][tier]:,}" for tier in MARKS]
        table.add_row(escape(_plain(one["value"])), f"{one['triggers']:,}", f"{one['subjects']:,}", *tiers)
    return table


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_plain(each)}" for name, each in value.items())
    return one_line(str(value))
