"""Makes a plan of what somebody asked for. Every rule in it is valid; errors name `rule.…` or `vary.…`."""

import copy
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection

from backbone.errors import FieldError, Invalid, NotFound
from backbone.web.validation import field_errors
from schemas.backtest import BacktestIn
from schemas.event import microseconds, rfc3339
from schemas.rule import RuleIn
from services.rules.backtest.plan import AGAINST, BASE, Judged, Plan
from services.rules.storage.revisions import DEFAULT_TIERS, latest
from services.rules.storage.rule_repository import dumped, exists

CONDITIONS, COMBINING = ("where", "is"), ("all", "any", "not")
OPERATORS = frozenset(
    {"eq", "ne", "gt", "gte", "lt", "lte", "in", "not_in", "exists", "contains", "starts_with", "matches"}
)
FIXED = ("name", "status", "backfill", "description", "playbook")  # what cannot vary, or changes no trigger


def plan_of(conn: Connection, asked: BacktestIn) -> tuple[Plan, dict[str, Any]]:
    """The plan, and what the backtest shows of it from the beginning. Raises `Invalid` and `NotFound`."""
    if isinstance(asked.rule, str):
        base = _saved(conn, asked.rule, BASE)
        shown_version: int | None = base.version
    else:
        base, shown_version = Judged(BASE, dumped(asked.rule), 1), None
    name = str(base.doc["name"])
    path, values = next(iter(asked.vary.items())) if asked.vary else ("", [])
    rules = [base, *_variants(base, path, values)]
    if asked.against is not None:
        rules.append(_saved(conn, asked.against, AGAINST, field="against"))
    begin, end = (None if at is None else microseconds(at) for at in (asked.from_, asked.to))
    plan = Plan(rules, _tiers(conn, asked), begin, end, list(values))
    shown = {"rule": name, "rule_version": shown_version}
    return plan, shown | {
        key: None if at is None else rfc3339(at) for key, at in (("from", begin), ("to", end))
    }


def _saved(conn: Connection, name: str, series: str, field: str = "rule") -> Judged:
    row = latest(conn, name)
    if row is None or not exists(row):
        raise NotFound(f"{field}: there is no rule named {name}")
    return Judged(series, {**row.doc, "name": name}, row.version)


def _tiers(conn: Connection, asked: BacktestIn) -> list[dict[str, Any]]:
    if asked.tiers is not None:
        return [dumped(entry) for entry in asked.tiers]
    row = latest(conn, None)
    return list(row.doc["tiers"] if row is not None else DEFAULT_TIERS)


def _variants(base: Judged, path: str, values: list[Any]) -> list[Judged]:
    found, wrong = [], []
    for place, value in enumerate(values):
        try:
            doc = _with(base.doc, path, value)
            RuleIn.model_validate(doc)
        except ValidationError as error:
            errors = field_errors(error.errors(include_url=False, include_input=False), doc, RuleIn)
            wrong += [_renamed(one, path, place) for one in errors]
        else:
            found.append(Judged(str(place), doc, base.version))
    if wrong:
        raise Invalid(wrong)
    return found


def _with(doc: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The rule with another value at a path, which it may leave out. Raises `Invalid` for a path that leads nowhere."""
    pieces = path.split(".")
    if pieces[0] in FIXED:
        raise _no_path(path, f"{pieces[0]} cannot be varied")
    made = copy.deepcopy(doc)
    if not _set(made, pieces, value):
        raise _no_path(path, "the rule has nothing there")
    return made


def _set(here: Any, pieces: list[str], value: Any, *, condition: bool = False) -> bool:
    """Set the value inside this part of the rule; returns whether there is such a place.

    The names in a condition are paths with dots of their own, such as `data.severity`.
    """
    if isinstance(here, list):
        place = int(pieces[0]) if pieces[0].isdigit() else len(here)
        if place >= len(here):
            return False
        if len(pieces) == 1:
            here[place] = value
            return True
        return _set(here[place], pieces[1:], value, condition=condition)
    if not isinstance(here, dict):
        return False
    name, rest = _name(here, pieces, condition=condition)
    if not rest:
        here[name] = value
        return True
    if here.get(name) is None:
        here[name] = {}
    return _set(here[name], rest, value, condition=condition or name in CONDITIONS)


def _name(here: dict[str, Any], pieces: list[str], *, condition: bool) -> tuple[str, list[str]]:
    """The name that the path begins with here, and the rest: one that is there, else the one that is meant."""
    for size in range(len(pieces), 0, -1):
        if (name := ".".join(pieces[:size])) in here:
            return name, pieces[size:]
    if not condition or len(pieces) == 1 or pieces[0] in COMBINING:
        return pieces[0], pieces[1:]
    size = len(pieces) - (pieces[-1] in OPERATORS)
    return ".".join(pieces[:size]), pieces[size:]


def _no_path(path: str, why: str) -> Invalid:
    return Invalid([FieldError(field=f"vary.{path}", message=why)])


def _renamed(error: FieldError, path: str, place: int) -> FieldError:
    """An error in a variant, at its value where it lies there."""
    field = error["field"]
    if field == path or field.startswith(f"{path}."):
        return FieldError(field=f"vary.{path}.{place}{field[len(path) :]}", message=error["message"])
    return FieldError(field=f"vary.{path}.{place}", message=f"{field}: {error['message']}")
