"""A rule with its playbook as somebody might have tuned them, and the scope of a text when that rule fires.

`tuned` changes every number and every duration. `moments` walks through a playbook and gives, for each mail and task,
the scope in which it is rendered. The trigger, the account and `now` follow from the rule and from the waits up to
there, so every number that a text may name comes from the rule or the playbook, or is a sum of such numbers.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from schemas.duration import CalendarDuration, parse_calendar
from tests.unit.library.files import JSON, TIERS

AT = datetime(2026, 3, 10, 9, tzinfo=UTC)
DURATION = re.compile(r"([1-9]\d*)(s|m|h|d|w|mo|y)")
LONG_AGO = timedelta(days=401)
SEATS = 1000  # of anything an account pays for; large, so that shares of it are not small numbers
KEPT = ("due", "late")  # fields that no text can name


class Moment(NamedTuple):
    """A mail (`template`) or a task (`task`) of a tier, with its scope and its time after the trigger."""

    tier: str
    step: str
    template: str | None
    task: JSON | None
    scope: JSON


def tuned(document: JSON) -> JSON:
    """The document with every number and duration changed; equal ones change alike."""
    changed: JSON = copy.deepcopy(document)
    return {name: value if name in ("name", "playbook") else _tune(value) for name, value in changed.items()}


def _tune(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item if key in KEPT else _tune(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tune(item) for item in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value * 3 + 2
    if isinstance(value, float):
        return round(value * 0.7 + 0.013, 3)
    found = DURATION.fullmatch(value) if isinstance(value, str) else None
    return f"{int(found[1]) * 3 + 2}{found[2]}" if found is not None else value


def numbers(value: Any) -> Iterator[Any]:
    """Every number and duration of a document or a part of it."""
    if isinstance(value, dict):
        for key, item in value.items():
            if key not in KEPT:
                yield from numbers(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers(item)
    elif DURATION.fullmatch(value) if isinstance(value, str) else type(value) in (int, float):
        yield value


def moments(rule: JSON, playbook: JSON) -> Iterator[Moment]:
    """Every mail and task of the plays that a rule starts."""
    ((kind, body),) = rule["when"].items()
    for tier, steps in playbook["steps"].items():
        if all(not isinstance(v, dict) or not v.keys() <= set(TIERS) or tier in v for v in body.values()):
            trigger, account = _fired(rule, kind, body, tier)
            yield from _walk(steps, tier, trigger, account, AT)


def _walk(steps: list[JSON], tier: str, trigger: JSON, account: JSON, now: datetime) -> Iterator[Moment]:
    for step in steps:
        if "branch" in step:
            way = "then" if trigger["rule"] == step["branch"]["if"]["trigger.rule"] else "else"
            inner = list(_walk(step["branch"].get(way, []), tier, trigger, account, now))
            yield from inner
            now += sum((_waits(one, account, now) for one in step["branch"].get(way, [])), timedelta())
            continue
        now += _waits(step, account, now)
        if "email" in step or "task" in step:
            scope = _scope(tier, trigger, account, now)
            yield Moment(tier, step["id"], step.get("email", {}).get("template"), step.get("task"), scope)


def _waits(step: JSON, account: JSON, now: datetime) -> timedelta:
    wait = step.get("wait")
    if wait is None:
        return timedelta()
    if isinstance(wait, str):
        return _span(wait)
    if "until" in wait:
        return _span(wait["for"])
    date = datetime.fromisoformat(account["attributes"][wait["until_date"].rsplit(".", 1)[1]])
    return max(timedelta(), date - _span(wait.get("before", "0d")) - now)


def _span(text: str) -> timedelta:
    parsed = parse_calendar(text)
    if isinstance(parsed, CalendarDuration):
        return timedelta(days=parsed.months * 365.25 / 12)
    return timedelta(microseconds=parsed)


def _fired(rule: JSON, kind: str, body: JSON, tier: str) -> tuple[JSON, JSON]:
    def of(name: str) -> Any:
        value = body.get(name)
        return value.get(tier) if isinstance(value, dict) and value.keys() <= set(TIERS) else value

    limit = next(
        (of(name) for name in ("at_least", "at_most", "falls_by", "for", "before", "after") if name in body),
        None,
    )
    score = next(iter(numbers(body.get("where", {}))), 5)
    data = {"score": score, "comment": "Hm.", "feature": "csv_export", "integration": "ledger"}
    attributes: JSON = {
        "seats": SEATS,
        "features_entitled": SEATS,
        "health": _health(body),
        "trial_ends": None,
    }
    begun, window = AT, None
    if kind == "threshold":
        span = (
            _span(body["within"])
            if "within" in body
            else _span(body["since"]["for"])
            if "for" in body.get("since", {})
            else LONG_AGO
        )
        window = {"from": (AT - span).isoformat(), "to": AT.isoformat()}
    elif kind == "trend":
        window = {"from": (AT - _span(body["over"])).isoformat(), "to": AT.isoformat()}
    elif kind == "absence" and "fire" not in body:
        begun = AT - _span(limit)
    elif kind == "date":
        day = AT + _span(limit) * (1 if "before" in body else -1)
        attributes[body["attribute"].rsplit(".", 1)[1]] = day.isoformat()
    trigger = {
        "id": "t", "rule": rule["name"], "rule_version": 1, "account": "acme", "contact": "ann", "key": "ledger",
        "tier": tier, "at": AT.isoformat(), "event_id": "e", "value_exact": True, "window": window,
        "event": {"id": "e", "source": "s", "type": "t", "time": begun.isoformat(), "data": data},
        "value": limit if kind in ("threshold", "trend") else None, "threshold": limit, "reason": "r",
        "playbook": rule["playbook"], "evidence": [], "figures": _figures(kind, body, limit),
    }  # fmt: skip
    return trigger, {"attributes": {"contract_date": AT.isoformat(), **attributes}}


def _health(body: JSON) -> int:
    return next((int(one) - 1 for one in numbers(body.get("is", {}))), 80)


def _figures(kind: str, body: JSON, limit: Any) -> JSON | None:
    if kind != "trend":
        return None
    rate = body["min_baseline"] / _span(body["baseline"]).days
    return {
        "recent": round(rate * _span(body["over"]).days * (1 - limit / 100)),
        "baseline": body["min_baseline"],
    }


def _scope(tier: str, trigger: JSON, account: JSON, now: datetime) -> JSON:
    contact = {"id": "ann", "name": "Ann Lee", "email": "ann@acme.test", "roles": [], "attributes": {}}
    owner = {"name": "Jo Park", "email": "jo@us.test"}
    known = {
        "id": "acme",
        "name": "Acme",
        "tier": tier,
        "owner": owner,
        "timezone": None,
        "contacts": [contact],
    }
    return {
        "account": known | account, "contact": contact, "owner": owner, "trigger": trigger, "tier": tier,
        "now": now.isoformat(), "unsubscribe_url": "https://us.test/u",
    }  # fmt: skip
