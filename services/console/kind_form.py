"""What a kind of trigger holds, as fields of a form at some place of it, and back. Pure, and total.

`at` begins the names of the fields: empty for the rule's own kind, `unless.`, or `all_of.0.` for a part of an `all_of`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.datastructures import FormData

from backbone.yaml.writing import yaml_line
from schemas.when import KINDS
from services.console.api import FieldProblem
from services.console.conditions_form import Row, condition_of, rows_of

TIERS = ("high", "low", "tech")
# of each kind: plain texts, tiered values with the fields that choose their name, and conditions
PLAIN: Mapping[str, tuple[str, ...]] = {
    "threshold": ("aggregate", "of", "per", "within"),
    "absence": ("fire",),
    "trend": ("aggregate", "of", "over", "baseline", "min_baseline"),
    "date": ("attribute", "late"),
    "becomes": (),
}
TIERED: Mapping[str, tuple[str, ...]] = {
    "threshold": ("at_least", "above", "at_most", "below"),
    "absence": ("for",),
    "trend": ("falls_by", "rises_by"),
    "date": ("before", "after"),
}
GRID: Mapping[str, str] = {"threshold": "where", "absence": "where", "trend": "where", "becomes": "is"}
NUMBERS = {"at_least", "above", "at_most", "below", "falls_by", "rises_by", "min_baseline"}
SELECTS = {"threshold", "absence", "trend"}  # kinds with `event`
SINCE = {"threshold": {"event", "where", "for"}, "absence": {"event", "where"}}  # what their `since` may say
Grids = dict[str, Sequence[Row] | None]
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)


def grid_at(at: str) -> str:
    """The name of the condition of the kind at this place."""
    return f"{at or 'when.'}where"


def values_of(at: str, kind: str, body: Mapping[str, Any]) -> dict[str, str]:
    """The fields that show what a kind holds."""
    values = {at + name: text_of(body.get(name)) for name in PLAIN.get(kind, ())}
    if kind in SELECTS:
        values[f"{at}event"] = types_shown(body.get("event"))
    if kind == "date":
        values[f"{at}repeat"] = _repeat_shown(body.get("repeat"))
    if kind in TIERED:
        named = next((name for name in TIERED[kind] if body.get(name) is not None), "")
        values[f"{at}limit_name"] = named or TIERED[kind][0]
        values |= {at + name: text for name, text in _tiered_shown(body.get(named)).items()}
    since = since_of(kind, body)
    if since is not None:
        values[f"{at}since"] = types_shown(since.get("event"))
        values |= {f"{at}since.{name}": text_of(since.get(name)) for name in SINCE[kind] & {"for"}}
    return values


def grids_of(at: str, kind: str, body: Mapping[str, Any]) -> Grids:
    """The conditions that show what a kind holds."""
    grids: Grids = {}
    if kind in GRID:
        grids[grid_at(at)] = rows_of(body.get(GRID[kind]))
    since = since_of(kind, body)
    if since is not None:
        grids[f"{at}since.where"] = rows_of(since.get("where"))
    return grids


def kept_of(kind: str, body: Mapping[str, Any], whose: str = "") -> list[str]:
    """What a kind holds that no field shows. `whose`: as in " of part 1"."""
    found = []
    if kind in GRID and rows_of(body.get(GRID[kind])) is None:
        found.append(f"the condition on {GRID[kind]}{whose}")
    if body.get("since") is not None and since_of(kind, body) is None:
        found.append(f"since{whose}")
    return found


def since_of(kind: str, body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What `since` says, empty if there is none; None if fields cannot say it."""
    since = body.get("since")
    if kind not in SINCE or since is None:
        return {} if kind in SINCE else None
    if not isinstance(since, Mapping) or not since.keys() <= SINCE[kind]:
        return None
    return (
        since if types_shown(since.get("event")).strip() and rows_of(since.get("where")) is not None else None
    )


def body_of(
    form: FormData, at: str, kind: str, base: Mapping[str, Any], problems: list[FieldProblem]
) -> dict[str, Any]:
    """What a form says that a kind holds; the fields that it had keep their order."""
    ours = {"event", "repeat", *PLAIN[kind], *TIERED.get(kind, ()), *([GRID[kind]] if kind in GRID else ())}
    body = {name: value for name, value in base.items() if name not in ours}
    if kind in SELECTS:
        put(body, "event", kept_or(form, f"{at}event", base.get("event"), types_read, types_shown))
    for name in PLAIN[kind]:
        put(body, name, kept_or(form, at + name, base.get(name), _number if name in NUMBERS else str))
    if kind in GRID:
        put(body, GRID[kind], grid_read(form, grid_at(at), base.get(GRID[kind]), problems))
    limit_name = given(form, f"{at}limit_name")
    if limit_name in TIERED.get(kind, ()):
        put(body, limit_name, _limit(form, at, limit_name, base.get(limit_name)))
    if kind == "date":
        put(body, "repeat", kept_or(form, f"{at}repeat", base.get("repeat"), lambda _: True, _repeat_shown))
    since = since_of(kind, base)
    if since is not None:
        body.pop("since", None)
        put(body, "since", _since_read(form, at, since, problems))
    words = [field.alias or name for name, field in KINDS[kind].model_fields.items()]
    order = dict.fromkeys((*base, *words, *body))
    return {name: body[name] for name in order if name in body}


def _since_read(
    form: FormData, at: str, base: Mapping[str, Any], problems: list[FieldProblem]
) -> dict[str, Any] | None:
    event = kept_or(form, f"{at}since", base.get("event"), types_read, types_shown)
    if event is None:
        return None
    found = {"event": event}
    put(found, "where", grid_read(form, f"{at}since.where", base.get("where"), problems))
    put(found, "for", kept_or(form, f"{at}since.for", base.get("for"), str))
    return as_it_was(found, base)


# -- fields


def put(doc: dict[str, Any], name: str, value: Any) -> None:
    """Set what there is; None is nothing."""
    if value is not None:
        doc[name] = value


def given(form: FormData, name: str) -> str:
    """What a field says."""
    return str(form.get(name, "")).strip()


def kept_or(
    form: FormData,
    name: str,
    before: Any,
    read: Callable[[str], Any],
    shown: Callable[[Any], str] | None = None,
) -> Any:
    """What a field says; the value that it showed where nobody touched it, whatever that was. Empty: None."""
    text = given(form, name)
    if text == (shown or text_of)(before).strip():
        return before
    return read(text) if text else None


def as_it_was(found: dict[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """What was found, or exactly what there was if it says the same."""
    return (
        dict(base) if found == {name: value for name, value in base.items() if value is not None} else found
    )


def grid_read(form: FormData, name: str, before: Any, problems: list[FieldProblem]) -> Any:
    """A condition; the one before where rows cannot say it, or nobody touched them."""
    shown = rows_of(before)
    columns = ([str(one) for one in form.getlist(f"{name}.{part}")] for part in Row._fields)
    rows = [Row(*row) for row in zip(*columns, strict=False) if row[0].strip() or row[2].strip()]
    if shown is None or rows == shown:
        return before
    found, wrong = condition_of(rows, name)
    problems += wrong
    return found


def text_of(value: Any) -> str:
    """A value as a field shows it."""
    return "" if value is None else value if isinstance(value, str) else yaml_line(value)


def types_shown(value: Any) -> str:
    """Event types as a field shows them, with commas."""
    return ", ".join(map(text_of, value)) if isinstance(value, list) else text_of(value)


def types_read(text: str) -> str | list[str]:
    """One type, or several."""
    found = [one.strip() for one in text.split(",") if one.strip()]
    return found[0] if len(found) == 1 else found or ""


def _limit(form: FormData, at: str, name: str, before: Any) -> Any:
    shown = _tiered_shown(before)
    if all(given(form, at + field) == text.strip() for field, text in shown.items()):
        return before
    return _tiered_read(form, at, name)


def _tiered_shown(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {"limit": text_of(value), **{f"limit.{tier}": "" for tier in TIERS}}
    return {"limit": "", **{f"limit.{tier}": text_of(value.get(tier)) for tier in TIERS}}


def _tiered_read(form: FormData, at: str, name: str) -> Any:
    """One value for all, or one a tier: a tier that is left empty has the value for all, if there is one."""
    read = _number if name in NUMBERS else str
    everywhere = given(form, f"{at}limit")
    tiers = {tier: given(form, f"{at}limit.{tier}") for tier in TIERS}
    if not any(tiers.values()):
        return read(everywhere) if everywhere else None
    return {tier: read(text or everywhere) for tier, text in tiers.items() if text or everywhere}


def _repeat_shown(value: Any) -> str:
    return "yes" if value is True else ""


def _number(text: str) -> Any:
    """A number where it is one; else the text, about which the API says what is wrong."""
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.removeprefix("-").isdecimal() else float(text)
