"""A rule as the fields of a form, and back. Pure, and total: a document may be anything that YAML can say.

What the form has no field for is kept as it was, and is named, so that nobody takes the form for the whole.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from starlette.datastructures import FormData, UploadFile

from schemas.when import KINDS
from services.console.api import FieldProblem
from services.console.conditions_form import Row, rows_of
from services.console.kind_form import (
    GRID,
    TIERED,
    TIERS,
    Grids,
    as_it_was,
    body_of,
    given,
    grid_at,
    grid_read,
    grids_of,
    kept_of,
    kept_or,
    put,
    text_of,
    types_read,
    types_shown,
    values_of,
)
from services.console.rule_differences import ORDER

TEXTS = ("name", "description", "scope", "by", "cooldown", "playbook", "status")
EMPTY_ROWS = 2
MOST_PARTS = 10  # of an `all_of`
UNLESS = {"event", "where", "aggregate", "of", "within", *TIERED["threshold"]}  # what it may say
BLANK_ALL = {"of": [{kind: KINDS[kind].example} for kind in ("threshold", "absence")], "within": "30d"}


class Fields(NamedTuple):
    """A form as it is shown: `values` by the field's name, `grids` by the condition's, `parts`: the kind of each part
    of an `all_of`, `kept`: what it has no field for."""

    kind: str
    values: Mapping[str, str]
    grids: Mapping[str, Sequence[Row] | None]
    parts: Sequence[str]
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
    values = {name: text_of(doc.get(name)) for name in TEXTS} | values_of("", kind, body)
    grids: Grids = {"where": rows_of(doc.get("where")), **grids_of("", kind, body)}
    kept = (["the condition (where)"] if grids["where"] is None else []) + kept_of(kind, body)
    parts = _parts_of(body) if kind == "all_of" else []
    if parts is None:
        kept.append("what has to come together (all_of)")
    elif kind == "all_of":
        values["all_of.within"] = text_of(body.get("within"))
    for place, (one, held) in enumerate(parts or ()):
        at = f"all_of.{place}."
        values |= {f"{at}kind": one} | values_of(at, one, held)
        grids |= grids_of(at, one, held)
        kept += kept_of(one, held, f" of part {place + 1}")
    unless = _unless_of(doc)
    if unless is not None:
        values |= values_of("unless.", "threshold", unless or {"at_least": 1})
        grids |= grids_of("unless.", "threshold", unless)
        kept += kept_of("threshold", unless, " of unless")
    alive = _alive_of(doc)
    if alive is not None:
        values |= {
            "alive.event": types_shown(alive.get("event")),
            "alive.within": text_of(alive.get("within")),
        }
    kept += [name for name, shown in (("unless", unless), ("alive", alive)) if shown is None]
    kept += ["backfill"] if doc.get("backfill") else []
    return Fields(kind, values, grids, [one for one, _ in parts or ()], kept)


def _parts_of(body: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]] | None:
    """Each part of an `all_of`, its kind and what that holds; None if fields cannot say them."""
    given_parts = body.get("of")
    if not isinstance(given_parts, list) or not body.keys() <= {"of", "within"}:
        return None
    found = []
    for part in given_parts[: MOST_PARTS + 1]:
        kind = next(iter(_mapping(part)), "")
        if kind not in KINDS or len(part) != 1 or not isinstance(part[kind], Mapping):
            return None
        found.append((kind, part[kind]))
    return found if 0 < len(found) <= MOST_PARTS else None


def _unless_of(doc: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The threshold of `unless`, empty if there is none; None if fields cannot say it."""
    unless = doc.get("unless")
    if unless is None:
        return {}
    body = _mapping(unless).get("threshold")
    if not isinstance(body, Mapping) or len(unless) != 1 or not body.keys() <= UNLESS:
        return None
    limits = [name for name in TIERED["threshold"] if name in body]
    return body if types_shown(body.get("event")).strip() and len(limits) <= 1 else None


def _alive_of(doc: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What `alive` says, empty if there is none; None if fields cannot say it."""
    alive = doc.get("alive")
    if alive is None:
        return {}
    if not isinstance(alive, Mapping) or not alive.keys() <= {"event", "within"}:
        return None
    return alive if types_shown(alive.get("event")).strip() else None


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
    ours = {*TEXTS, "when", "where", "unless", "alive"}
    doc = {name: value for name, value in base.items() if name not in ours}
    for name in TEXTS:
        put(doc, name, kept_or(form, name, base.get(name), str))
    problems: list[FieldProblem] = []
    doc["when"] = _when(form, base, problems)
    put(doc, "where", grid_read(form, "where", base.get("where"), problems))
    put(doc, "unless", _unless(form, base, problems))
    put(doc, "alive", _alive(form, base))
    known = [name for name in ORDER if name in doc]
    return {name: doc[name] for name in (*known, *(one for one in doc if one not in known))}, problems


def _when(form: FormData, base: Mapping[str, Any], problems: list[FieldProblem]) -> Any:
    before, kind = _mapping(base.get("when")), given(form, "kind") or kind_of(base)
    if kind not in {*KINDS, "all_of"}:
        return before
    if kind != given(form, "shown_kind"):
        return before if kind == kind_of(base) else blank(kind)["when"]
    body = _mapping(before.get(kind))
    if kind != "all_of":
        return {kind: body_of(form, "", kind, body, problems)}
    parts = _parts_of(body)
    return before if parts is None else {kind: _all_of(form, body, parts, problems)}


def _all_of(
    form: FormData,
    base: Mapping[str, Any],
    parts: Sequence[tuple[str, Mapping[str, Any]]],
    problems: list[FieldProblem],
) -> dict[str, Any]:
    """The parts that are left, those of another kind as its example, and one more if somebody added it."""
    of = []
    for place, (kind, held) in enumerate(parts):
        at = f"all_of.{place}."
        chosen = given(form, f"{at}kind")
        if chosen == kind:
            of.append({kind: body_of(form, at, kind, held, problems)})
        elif chosen in KINDS:
            of.append({chosen: KINDS[chosen].example})
    added = given(form, "all_of.kind")
    found: dict[str, Any] = {"of": of + ([{added: KINDS[added].example}] if added in KINDS else [])}
    put(found, "within", kept_or(form, "all_of.within", base.get("within"), str))
    return {name: found[name] for name in dict.fromkeys((*base, *found)) if name in found}


def _unless(form: FormData, base: Mapping[str, Any], problems: list[FieldProblem]) -> Any:
    shown = _unless_of(base)
    if shown is None:
        return base.get("unless")
    if not given(form, "unless.event"):
        return None
    return {"threshold": as_it_was(body_of(form, "unless.", "threshold", shown, problems), shown)}


def _alive(form: FormData, base: Mapping[str, Any]) -> Any:
    shown = _alive_of(base)
    if shown is None:
        return base.get("alive")
    event = kept_or(form, "alive.event", shown.get("event"), types_read, types_shown)
    if event is None:
        return None
    found = {"event": event}
    put(found, "within", kept_or(form, "alive.within", shown.get("within"), str))
    return as_it_was(found, shown)


def is_reshaped(form: FormData) -> bool:
    """Whether other fields are to be shown than the form has: somebody chose another kind, or added or left out a
    part."""
    parts = [name for name in form if name.startswith("all_of.") and name.endswith(".shown_kind")]
    told = ["shown_kind", *parts]
    changed = any(given(form, name) != given(form, name.replace("shown_kind", "kind")) for name in told)
    return changed or given(form, "all_of.kind") != ""


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def field_of(path: str) -> str:
    """The field of the form for a path of the API's errors."""
    match path.split("."):
        case ["when", "all_of", "of", place, *more] if more:
            return _field_at(f"all_of.{place}.", more[0], more[1:])
        case ["when", "all_of", "within"]:
            return "all_of.within"
        case ["when", kind, *more] if kind in KINDS:
            return _field_at("", kind, more)
        case ["when", *_]:
            return "kind"
        case ["unless", "threshold", *more] if more:
            return _field_at("unless.", "threshold", more)
        case ["unless", *_]:
            return "unless.event"
        case ["alive", *more]:
            return "alive.within" if more[:1] == ["within"] else "alive.event"
    return path.partition(".")[0]


def _field_at(at: str, kind: str, path: Sequence[str]) -> str:
    match path:
        case []:
            return f"{at}kind"
        case ["since", ("where" | "for") as name, *_]:
            return f"{at}since.{name}"
        case [name, *more] if name in TIERED.get(kind, ()):
            return f"{at}limit.{more[0]}" if more and more[0] in TIERS else f"{at}limit"
        case [name, *_]:
            return grid_at(at) if name == GRID.get(kind) else at + name
    return at
