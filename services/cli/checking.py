"""What the server says of documents before they are applied, and what they are told about one another."""

from collections.abc import Iterator, Sequence
from typing import Any

from schemas.files import KINDS
from schemas.lint_together import Finding, View, lint_together
from schemas.outline import Outline, PlaybookOutline, RuleOutline, TemplateOutline, outline
from services.cli.client import ApiError, Client
from services.cli.documents import Document, Problem

PATHS = {"rule": "rules", "playbook": "playbooks", "template": "templates", "endpoint": "endpoints"}
# What the server adds to a document; a file does not hold it.
ADDED = {"version", "changed_by", "changed_at", "unhealthy", "warnings", "secret", "created_at", "updated_at"}
CHECKED = ("rule", "playbook", "template")


def check(client: Client, documents: Sequence[Document]) -> tuple[list[Problem], list[Problem]]:
    """What the server would refuse, and what is legal but probably wrong, with each document by itself."""
    refused: list[Problem] = []
    doubtful: list[Problem] = []
    for document in documents:
        if document.kind in CHECKED:
            try:
                path = f"/v1/{PATHS[document.kind]}/check"
                answer = client.call("POST", path, document.body, alone=True)
            except ApiError as error:
                refused += problems(document, error)
                continue
            doubtful += [document.problem(one["field"], one["message"]) for one in answer["warnings"]]
    return refused, doubtful


def problems(document: Document, error: ApiError) -> list[Problem]:
    """What the server has against a document, each with its line."""
    if error.errors:
        return [document.problem(wrong["field"], wrong["message"]) for wrong in error.errors]
    return [document.problem("", str(error))]


def check_together(
    client: Client, documents: Sequence[Document], concerned: Sequence[Document]
) -> list[Problem]:
    """What is doubtful about the documents together, and with what else the server has.

    Each doubt is told once, at the document of the files that it is easiest to change; only those are told in
    which one of `concerned` takes part.
    """
    here = {(one.kind, one.name): one for one in documents}
    told: dict[str, Problem] = {}
    new = {(one.kind, one.name) for one in concerned}
    for finding in _findings(client, here):
        views = [view for view in finding if (view.kind, view.name) in here]
        if any((view.kind, view.name) in new for view in views):
            problem = _problem(here, views[0])
            told.setdefault(str(problem), problem)
    return list(told.values())


def _problem(here: dict[tuple[str, str], Document], view: View) -> Problem:
    return here[view.kind, view.name].problem(view.doubt["field"], view.doubt["message"])


def _findings(client: Client, here: dict[tuple[str, str], Document]) -> Iterator[Finding]:
    ours = [outline(one.model) for one in here.values() if one.kind in CHECKED]  # type: ignore[arg-type]
    if not ours:
        return
    every = [*ours, *(one for kind in CHECKED for one in _others(client, kind, here))]
    yield from lint_together(
        [one for one in every if isinstance(one, RuleOutline)],
        {one.name: one for one in every if isinstance(one, PlaybookOutline)},
        {one.name: one for one in every if isinstance(one, TemplateOutline)},
    )


def _others(client: Client, kind: str, here: dict[tuple[str, str], Document]) -> Iterator[Outline]:
    """The outlines of what the server has beside the files."""
    for item in client.items(f"/v1/{PATHS[kind]}"):
        if (kind, item["name"]) not in here:
            model: Any = KINDS[kind].model_validate(without_added(item))
            yield outline(model)


def without_added(item: dict[str, Any]) -> dict[str, Any]:
    """A document of the server as a file would hold it."""
    return {key: value for key, value in item.items() if key not in ADDED and value is not None}
