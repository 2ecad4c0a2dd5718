"""`/rules/-/new` and `/rules/{name}/edit`: one document as a form and as YAML; what was edited last counts.

The page carries the YAML as it was shown (`yaml_was`), which the form showed too. So a save can tell which of the two
somebody changed, without script as well.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from starlette.datastructures import FormData
from starlette.responses import Response

from backbone.yaml.reading import YamlError, parse_yaml
from backbone.yaml.writing import yaml_text
from schemas.sentences.documents import sentence_of
from services.console.api import ApiError, FieldProblem, new_once
from services.console.conditions_form import GROUPS, OPERATORS, Row
from services.console.pages.rule import UNSAVED, path_of
from services.console.pages.rules import KINDS
from services.console.render import segment
from services.console.routing import change, show
from services.console.rule_differences import document_of as stored_document
from services.console.rule_form import (
    EMPTY_ROWS,
    as_form,
    blank,
    document_of,
    field_of,
    fields_of,
    is_reshaped,
    offering,
)
from services.console.visit import Visit

BOTH = "You changed both the form and the YAML. The YAML counts; what you typed into the form was not taken."
HERE = Path("rule")
REFUSED = {400, 409, 412, 413, 422, 428, 429}


class Draft(NamedTuple):
    """What somebody is writing. `doc`: None where the YAML cannot be read; `shown`: what the form shows."""

    doc: Mapping[str, Any] | None
    shown: Mapping[str, Any]
    yaml: str
    yaml_was: str
    problems: Sequence[FieldProblem] = ()
    note: str = ""


class Said(NamedTuple):
    """What is known about a draft: what it says, what is wrong, what is doubtful."""

    sentence: str | None
    problems: Sequence[FieldProblem]
    warnings: Sequence[Mapping[str, Any]]
    detail: str = ""


# -- which of the two counts


def beginning(doc: Mapping[str, Any]) -> Draft:
    """A draft as it is opened."""
    text = yaml_text(dict(doc))
    return Draft(doc, doc, text, text)


def drafted(form: FormData) -> Draft:
    """What was sent: of form and YAML the one that was edited last, else the one that was changed."""
    yaml, was = str(form.get("yaml", "")), str(form.get("yaml_was", ""))
    shown, _ = read(was)
    shown = shown or {}
    from_form, wrong = document_of(form, shown)
    untouched, _ = document_of(as_form(fields_of(shown)), shown)
    form_changed, yaml_changed = from_form != untouched, yaml.strip() != was.strip()
    edited = str(form.get("edited", ""))
    if edited == "form" or (edited != "yaml" and form_changed and not yaml_changed):
        text = yaml_text(from_form) if form_changed else was
        return Draft(
            from_form if form_changed else shown, from_form if form_changed else shown, text, text, wrong
        )
    doc, problems = read(yaml)
    note = BOTH if edited != "yaml" and form_changed and yaml_changed else ""
    if doc is None:
        return Draft(None, shown, yaml, was, problems, note)
    return Draft(doc, doc, yaml, yaml, (), note)


def read(text: str) -> tuple[dict[str, Any] | None, list[FieldProblem]]:
    """The document of a text, or what is wrong with it."""
    try:
        found = parse_yaml(text, HERE)
    except YamlError as error:
        return None, [FieldProblem("yaml", f"line {error.line}: {error.message}")]
    if len(found) != 1 or not isinstance(found[0].value, dict):
        return None, [FieldProblem("yaml", "should be one rule: its fields, such as name and when")]
    doc = found[0].value
    if doc.get("kind") == "rule":  # as in the files that `touchline apply` takes
        doc = {name: value for name, value in doc.items() if name != "kind"}
    return doc, []


# -- what is said about it


async def said_of(visit: Visit, draft: Draft) -> Said:
    """The sentence, the errors and the warnings. Nothing is saved."""
    if draft.doc is None or draft.problems:
        return Said(None, draft.problems, ())
    name = str(draft.doc.get("name") or "rule")
    try:
        found = await visit.api.send("POST", "/v1/rules/check", body=draft.doc)
    except ApiError as error:
        if error.status not in REFUSED:
            raise
        return Said(
            sentence_of("rule", name, draft.doc), error.errors, (), "" if error.errors else error.detail
        )
    return Said(sentence_of("rule", name, draft.doc), (), found["warnings"])


def errors_of(problems: Sequence[FieldProblem], ours: Collection[str]) -> dict[str, str]:
    """The fields of the form that the errors belong to. `ours`: those by whose name we call them ourselves."""
    found: dict[str, str] = {}
    for one in problems:
        found.setdefault(one.field if one.field in ours else field_of(one.field), one.message)
    return found


def view_of(draft: Draft, said: Said, name: str | None) -> dict[str, Any]:
    """What the templates show. `name`: of the rule that is edited; None: it is new."""
    fields = fields_of(draft.shown)
    return {
        "draft": draft,
        "verdict": said,
        "name": name,
        "at": "/rules/-/new" if name is None else f"{path_of(name)}/edit",
        "fields": fields,
        "grids": {grid: padded(grid, rows) for grid, rows in fields.grids.items()},
        "kinds": KINDS,
        "offering": offering,
        "operators": list(OPERATORS.items()),
        "groups": list(GROUPS.items()),
        "errors": errors_of(said.problems, {"yaml", *fields.grids}),
    }


def padded(grid: str, rows: Sequence[Row] | None) -> Sequence[Row] | None:
    """Rows with empty ones to write into: one where conditions are rare."""
    empty = EMPTY_ROWS if grid in {"where", "when.where"} else 1
    return None if rows is None else [*rows, *[Row()] * empty]


# -- pages


async def new(visit: Visit) -> Response:
    """A blank rule of a kind."""
    doc = {**blank(visit.query.get("kind") or "threshold"), "status": "draft"}
    return await _page(visit, beginning(doc), Said(sentence_of("rule", "rule", doc), (), ()), None, None)


async def edit(visit: Visit) -> Response:
    """A saved rule."""
    rule, tag = await visit.api.tagged("/v1/rules/{}", visit.part("name"))
    draft = beginning(stored_document(rule))
    return await _page(visit, draft, await said_of(visit, draft), visit.part("name"), tag)


async def _page(
    visit: Visit,
    draft: Draft,
    said: Said,
    name: str | None,
    tag: str | None,
    status: int = 200,
    refused: str = "",
) -> Response:
    once = str(visit.form.get("once") or "") or new_once()
    view = view_of(draft, said, name)
    return await visit.page("rule_edit.html", status, **view, etag=tag, once=once, refusal=refused)


async def check(visit: Visit) -> Response:
    """What is said about it as it is being written, for the page that is open; the other side follows."""
    draft = drafted(visit.form)
    said = await said_of(visit, draft)
    view = view_of(draft, said, str(visit.form.get("rule") or "") or None)
    edited = str(visit.form.get("edited", ""))
    return await visit.piece(
        "rule_checked.html",
        **view,
        yaml_follows=edited == "form",
        form_follows=draft.doc is not None and (edited == "yaml" or is_reshaped(visit.form)),
    )


async def send_new(visit: Visit) -> Response:
    """Check or save a new rule, or backtest it as it stands here."""
    return await _sent(visit, None)


async def send(visit: Visit) -> Response:
    """Check or save a rule, or backtest it as it stands here."""
    return await _sent(visit, visit.part("name"))


async def _sent(visit: Visit, name: str | None) -> Response:
    draft, wish = drafted(visit.form), str(visit.form.get("do", "check"))
    tag = str(visit.form.get("etag") or "") or None
    if wish == "check" or draft.doc is None or draft.problems or draft.note:
        said = await said_of(visit, draft)
        status = 422 if wish != "check" and said.problems else 200
        return await _page(visit, draft, said, name, tag, status)
    try:
        if wish == "backtest":
            once = str(visit.form.get("once", "")) or None
            made = await visit.api.send("POST", "/v1/backtests", body={"rule": draft.doc}, once=once)
            return visit.go(path_of(name or UNSAVED, "backtests", made["id"]))
        return await _saved(visit, draft.doc, name, tag, publish=wish != "apart")
    except ApiError as error:
        if error.status not in REFUSED:
            raise
        problems = [FieldProblem(one.field.removeprefix("rule."), one.message) for one in error.errors]
        said = Said(sentence_of("rule", name or "rule", draft.doc), problems, ())
        refused = error.detail or error.title
        if error.status == 412 and name is not None:
            now, tag = await visit.api.tagged("/v1/rules/{}", name)
            refused = (
                f"{now['changed_by']} changed this rule meanwhile: it is at version {now['version']} now. "
                "Save again to replace that."
            )
        return await _page(visit, draft, said, name, tag, error.status, refused)


async def _saved(
    visit: Visit, doc: Mapping[str, Any], name: str | None, tag: str | None, *, publish: bool
) -> Response:
    query = None if publish else {"publish": False}
    if name is None:
        once = str(visit.form.get("once", "")) or None
        rule = await visit.api.send("POST", "/v1/rules", body=doc, once=once)
        said = f"Saved {rule['name']}."
        if rule["status"] == "draft":
            said += " It is a draft: backtest it, then put it into shadow or activate it."
    else:
        rule = await visit.api.send("PUT", "/v1/rules/{}", name, body=doc, query=query, if_match=tag)
        said = f"Saved version {rule['version']}{'' if publish else ', which is not in force'}."
    said = " ".join([said, *(f"Warning: {one['message']}." for one in rule.get("warnings", ()))])
    return visit.go(path_of(rule["name"]) if publish else f"/rules/{segment(rule['name'])}/versions", said)


ROUTES = [
    show("/rules/-/new", new, "rules:write"),
    change("/rules/-/new", send_new),
    change("/rules/check", check),
    show("/rules/{name}/edit", edit),
    change("/rules/{name}/edit", send),
]
