"""What a backtest and its rehearsals found, as charts and words. Pure; takes the API's answers."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from backbone.yaml.reading import parse_yaml
from backbone.yaml.writing import yaml_line
from schemas.reasons import EXPLAINED
from services.console.charts import TIERS, Bars, Curve, Series, curve_over, days_from, stacked_bars
from services.console.render import plural

JSON = Mapping[str, Any]
MOST_DAYS = 1_000
SCALES = (0.6, 0.8, 1, 1.25, 1.5)  # of a threshold, to be tried beside it
_LIMITS = ("at_least", "above", "at_most", "below", "falls_by", "rises_by")


class Decision(NamedTuple):
    """How often a rule decided so, and what that means."""

    times: int
    words: str


class Choice(NamedTuple):
    """A value that was tried. `label`: for people; `now`: it is the rule's own; `rehearsal`: of its triggers."""

    number: int
    label: str
    triggers: int
    subjects: int
    by_tier: JSON
    now: bool
    rehearsal: JSON | None


def by_day(backtest: JSON) -> Bars:
    """Its triggers by day and tier, over all days that it reports."""
    found = {one["day"]: one for one in backtest["by_day"]}
    days = _days(backtest, sorted(found))
    series = [Series(name, tier, [found.get(day, {}).get(tier, 0) for day in days]) for tier, name in TIERS]
    return stacked_bars(days, series, "trigger")


def _days(backtest: JSON, found: Sequence[str]) -> list[str]:
    first = str(backtest["from"] or backtest.get("log_from") or next(iter(found), ""))[:10]
    last = max(found[-1] if found else "", str(backtest["to"] or "")[:10], first)
    if not first:
        return []
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return days_from(max(begin, end - timedelta(days=MOST_DAYS - 1)), end)


def headline(backtest: JSON) -> str:
    """What it found, in words."""
    tiers = ", ".join(f"{n:,} {tier} touch" for tier, n in (backtest["by_tier"] or {}).items() if n)
    fired = f"It would have fired {plural(backtest['triggers'], 'time')} for {plural(backtest['subjects'], 'subject')}"
    since = f", back to {backtest['log_from'][:10]}" if backtest.get("log_from") else ""
    read = (
        f"It read {plural(backtest['events'], 'event')} of {plural(backtest['accounts'], 'account')}{since}."
    )
    return f"{fired}{f' ({tiers})' if tiers else ''}. {read}"


def decisions(backtest: JSON) -> list[Decision]:
    """What it decided how often, the most frequent first."""
    known = {str(reason): words for reason, words in EXPLAINED.items()}
    counts = sorted(backtest["decisions"].items(), key=lambda one: -one[1])
    return [Decision(n, known.get(reason, reason.replace("_", " "))) for reason, n in counts]


def choices(backtest: JSON, own: Any, rehearsals: Mapping[int, JSON]) -> list[Choice]:
    """The values that were tried. `own`: the rule's; `rehearsals`: by the number of the value."""
    return [
        Choice(
            n,
            label_of(one["value"]),
            one["triggers"],
            one["subjects"],
            one["by_tier"],
            one["value"] == own,
            rehearsals.get(n),
        )
        for n, one in enumerate(backtest["variants"])
    ]


def label_of(value: Any) -> str:
    """A value for an axis: one a tier stands as "8 / 15 / –"."""
    if isinstance(value, Mapping) and value and value.keys() <= {tier for tier, _ in TIERS}:
        return " / ".join("–" if value.get(tier) is None else str(value[tier]) for tier, _ in TIERS)
    return value if isinstance(value, str) else yaml_line(value)


def trigger_curve(tried: Sequence[Choice]) -> Curve:
    """Triggers over the values that were tried."""
    return curve_over([one.label for one in tried], [one.triggers for one in tried], "Triggers", _now(tried))


def task_curve(tried: Sequence[Choice]) -> Curve:
    """The most tasks that one person gets in a week, over the values that were tried and rehearsed."""
    values = [busiest(one.rehearsal) for one in tried]
    return curve_over([one.label for one in tried], values, "Tasks in the busiest week", _now(tried))


def busiest(rehearsal: JSON | None) -> int | None:
    """The most tasks that one person gets in a week; None where that is not known yet."""
    if rehearsal is None or rehearsal["status"] != "done":
        return None
    return max((one["tasks_that_week"] for one in rehearsal["assignees"]), default=0)


def _now(tried: Sequence[Choice]) -> int | None:
    return next((n for n, one in enumerate(tried) if one.now), None)


# -- what to ask for


def suggested(rule: JSON) -> tuple[str, str]:
    """A path whose values are worth trying, and values around the present one; both empty if there is none."""
    for kind, body in rule["when"].items():
        for name in _LIMITS if isinstance(body, Mapping) else ():
            if body.get(name) is not None:
                values = _around(body[name])
                return f"when.{kind}.{name}", yaml_values(values)
    return "", ""


def _around(value: Any) -> list[Any]:
    found: list[Any] = []
    for scale in SCALES:
        scaled = _scaled(value, scale)
        if scaled not in found:
            found.append(scaled)
    return found


def _scaled(value: Any, scale: float) -> Any:
    if isinstance(value, Mapping):
        return {tier: _scaled(one, scale) for tier, one in value.items() if one is not None}
    if isinstance(value, int):
        return max(round(value * scale), 1) if value > 0 else value
    return round(value * scale, 2) if isinstance(value, float) else value


def yaml_values(values: Sequence[Any]) -> str:
    """Values as they are written into one line, to be read by `values_of`."""
    return yaml_line(list(values))[1:-1]


def values_of(text: str) -> list[Any]:
    """The values that somebody wrote, in YAML, with commas between them. Raises `YamlError`."""
    found = parse_yaml(f"[{text}]", Path("values"))
    return list(found[0].value) if len(found) == 1 and isinstance(found[0].value, list) else []


def value_at(rule: JSON, path: str) -> Any:
    """What a rule holds at a path; None if nothing."""
    found: Any = rule
    for part in path.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found
