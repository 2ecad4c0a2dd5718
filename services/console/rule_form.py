"""A rule as the fields of a form, and back. Pure, and total: a document may be anything that YAML can say.

What the form has no field for is kept as it was, and is named, so that nobody takes the form for the whole.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from starlette.datastructures import FormData, UploadFile

from backbone.yaml.writing import yaml_line
from schemas.when import KINDS
from services.console.api import FieldProblem
from services.console.conditions_form import Row, condition_of, rows_of
from services.console.rule_differences import ORDER

TIERS = ("high", "low", "tech")
TEXTS = ("name", "description", "scope", "by", "cooldown", "playbook", "status")
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
EMPTY_ROWS = 2
_NUMBER = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
BLANK_ALL = {"of": [{kind: KINDS[kind].example} for kind in ("threshold", "absence")], "within": "30d"}


class Fields(NamedTuple):
    """A form as it is shown: `values` by the field's name, `grids` by the condition's, `kept`: what it has no field
    for."""

    kind: str
    values: Mapping[str, str]
    grids: Mapping[str, Sequence[Row] | None]
    kept: Sequence[str]


def blank(kind: str) -> dict[str, Any]:
    """A rule to begin with. An unknown kind is a threshold."""
    if kind == "all_of":
        return {"name": "", "when": {"all_of": BLANK_ALL}}
    return {"name": "", "when": {kind: KINDS[kind].example} if kind in KINDS else blank("threshold")["when"]}


def kind_of(doc: Mapping[str, Any]) -> str:
    """The kind of trigger; empty if the document names none that is known."""
    return next((kind for kind in _mapping(doc.get("when")) if kind in KINDS or kind == "all_of"), "")


def fields_of(doc: Mapping[str, Any]) -> Fields:
    """The fields that show a document."""
    kind = kind_of(doc)
    body = _mapping(_mapping(doc.get("when")).get(kind))
    values = {name: _text(doc.get(name)) for name in TEXTS}
    values |= {name: _text(body.get(name)) for name in PLAIN.get(kind, ())}
    values["event"] = _types_shown(body.get("event"))
    values["repeat"] = _repeat_shown(body.get("repeat"))
    values["since"] = _simple_since(body)
    named = next((name for name in TIERED.get(kind, ()) if body.get(name) is not None), "")
    values["limit_name"] = named or next(iter(TIERED.get(kind, ())), "")
    values |= _tiered_shown(body.get(named))
    grids = {"where": rows_of(doc.get("where"))}
    if kind in GRID:
        grids["when.where"] = rows_of(body.get(GRID[kind]))
    return Fields(kind, values, grids, _kept(doc, kind, body, grids))


def _kept(
    doc: Mapping[str, Any], kind: str, body: Mapping[str, Any], grids: Mapping[str, Sequence[Row] | None]
) -> list[str]:
    said = {"where": "the condition (where)", "when.where": f"the condition on {GRID.get(kind, '')}"}
    found = [said[name] for name, rows in grids.items() if rows is None]
    if kind == "all_of":
        found.append("what has to come together (all_of)")
    if body.get("since") is not None and not (kind == "absence" and _simple_since(body)):
        found.append("since")
    return [*found, *(name for name in ("unless", "alive", "backfill") if doc.get(name))]


def offering(value: str, choices: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Choices with the present value among them, also one that nobody may choose."""
    return [*choices, *([] if any(value == one for one, _ in choices) else [(value, value)])]


def as_form(fields: Fields) -> FormData:
    """The form as a browser sends it if nobody touched it."""
    pairs: list[tuple[str, str | UploadFile]] = [
        ("kind", fields.kind),
        ("shown_kind", fields.kind),
        *fields.values.items(),
    ]
    for name, rows in fields.grids.items():
        for row in rows or ():
            pairs += [(f"{name}.{part}", value) for part, value in row._asdict().items()]
    return FormData(pairs)


def document_of(form: FormData, base: Mapping[str, Any]) -> tuple[dict[str, Any], list[FieldProblem]]:
    """The document that a form says. `base`: what it showed, of which everything without a field is kept."""
    doc = {name: value for name, value in base.items() if name not in {*TEXTS, "when", "where"}}
    for name in TEXTS:
        _put(doc, name, _kept_or(form, name, base.get(name), str))
    kind = _given(form, "kind") or kind_of(base)
    problems: list[FieldProblem] = []
    before = _mapping(base.get("when"))
    if kind not in KINDS:
        doc["when"] = before if kind == kind_of(base) or kind != "all_of" else blank(kind)["when"]
    elif kind != _given(form, "shown_kind"):
        doc["when"] = before if kind == kind_of(base) else blank(kind)["when"]
    else:
        doc["when"] = {kind: _body(form, kind, _mapping(before.get(kind)), problems)}
    _put(doc, "where", _grid(form, "where", base.get("where"), problems))
    known = [name for name in ORDER if name in doc]
    return {name: doc[name] for name in (*known, *(one for one in doc if one not in known))}, problems


def _body(form: FormData, kind: str, base: Mapping[str, Any], problems: list[FieldProblem]) -> dict[str, Any]:
    """What the kind holds; the fields that it had keep their order."""
    ours = {"event", "repeat", *PLAIN[kind], *TIERED.get(kind, ()), *([GRID[kind]] if kind in GRID else ())}
    body = {name: value for name, value in base.items() if name not in ours}
    if kind in SELECTS:
        _put(body, "event", _kept_or(form, "event", base.get("event"), _types_read, _types_shown))
    for name in PLAIN[kind]:
        _put(body, name, _kept_or(form, name, base.get(name), _number if name in NUMBERS else str))
    if kind in GRID:
        _put(body, GRID[kind], _grid(form, "when.where", base.get(GRID[kind]), problems))
    limit_name = _given(form, "limit_name")
    if limit_name in TIERED.get(kind, ()):
        _put(body, limit_name, _limit(form, limit_name, base.get(limit_name)))
    if kind == "date":
        _put(body, "repeat", _kept_or(form, "repeat", base.get("repeat"), lambda _: True, _repeat_shown))
    if kind == "absence" and (_simple_since(base) or base.get("since") is None):
        _put(body, "since", _kept_or(form, "since", body.pop("since", None), _since_read, _since_shown))
    words = [field.alias or name for name, field in KINDS[kind].model_fields.items()]
    order = dict.fromkeys((*base, *words, *body))
    return {name: body[name] for name in order if name in body}


def _put(doc: dict[str, Any], name: str, value: Any) -> None:
    if value is not None:
        doc[name] = value


def _kept_or(
    form: FormData,
    name: str,
    before: Any,
    read: Callable[[str], Any],
    shown: Callable[[Any], str] | None = None,
) -> Any:
    """What a field says; the value that it showed where nobody touched it, whatever that was. Empty: None."""
    text = _given(form, name)
    if text == (shown or _text)(before).strip():
        return before
    return read(text) if text else None


def _limit(form: FormData, name: str, before: Any) -> Any:
    shown = _tiered_shown(before)
    if all(_given(form, field) == text.strip() for field, text in shown.items()):
        return before
    return _tiered_read(form, name)


def _grid(form: FormData, name: str, before: Any, problems: list[FieldProblem]) -> Any:
    """A condition; the one before where rows cannot say it, or nobody touched them."""
    shown = rows_of(before)
    columns = ([str(one) for one in form.getlist(f"{name}.{part}")] for part in Row._fields)
    rows = [Row(*row) for row in zip(*columns, strict=False) if row[0].strip() or row[2].strip()]
    if shown is None or rows == shown:
        return before
    found, wrong = condition_of(rows, name)
    problems += wrong
    return found


def _tiered_shown(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        return {"limit": _text(value), **{f"limit.{tier}": "" for tier in TIERS}}
    return {"limit": "", **{f"limit.{tier}": _text(value.get(tier)) for tier in TIERS}}


def _tiered_read(form: FormData, name: str) -> Any:
    """One value for all, or one a tier: a tier that is left empty has the value for all, if there is one."""
    read = _number if name in NUMBERS else str
    everywhere = _given(form, "limit")
    given = {tier: _given(form, f"limit.{tier}") for tier in TIERS}
    if not any(given.values()):
        return read(everywhere) if everywhere else None
    return {tier: read(text or everywhere) for tier, text in given.items() if text or everywhere}


def _simple_since(body: Mapping[str, Any]) -> str:
    """The events of an absence's `since`, if it says nothing else."""
    since = _mapping(body.get("since"))
    return _types_shown(since["event"]) if since.keys() == {"event"} else ""


def _since_shown(since: Any) -> str:
    return _simple_since({"since": since})


def _since_read(text: str) -> dict[str, Any]:
    return {"event": _types_read(text)}


def _repeat_shown(value: Any) -> str:
    return "yes" if value is True else ""


def _types_shown(value: Any) -> str:
    return ", ".join(map(_text, value)) if isinstance(value, list) else _text(value)


def _types_read(text: str) -> str | list[str]:
    found = [one.strip() for one in text.split(",") if one.strip()]
    return found[0] if len(found) == 1 else found or ""


def _number(text: str) -> Any:
    """A number where it is one; else the text, about which the API says what is wrong."""
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.removeprefix("-").isdecimal() else float(text)


def _given(form: FormData, name: str) -> str:
    return str(form.get(name, "")).strip()


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else yaml_line(value)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def field_of(path: str) -> str:
    """The field of the form for a path of the API's errors."""
    parts = path.split(".")
    if parts[0] != "when" or len(parts) < 3:
        return parts[0] if parts[0] != "when" else "kind"
    _, kind, name, *more = parts
    if name in TIERED.get(kind, ()):
        return f"limit.{more[0]}" if more and more[0] in TIERS else "limit"
    return "when.where" if name == GRID.get(kind) else name
