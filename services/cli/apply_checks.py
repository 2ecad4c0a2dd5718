"""Checks documents before they are applied: what the server says of each, and what is wrong with them together."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from schemas.json_schemas import KINDS
from schemas.lint.held_mails import POLICY, lint_held_mails, lint_topics
from schemas.lint.outline import Outline, PlaybookOutline, RuleOutline, TemplateOutline, outline
from schemas.lint.together import Finding, SharedWarning, lint_together
from schemas.playbook import PlaybookIn
from schemas.policy import PolicyDoc
from schemas.rule import RuleIn
from services.cli.client import ApiError, Client
from services.cli.documents import Document, FileProblem
from services.cli.server_documents import CHECKED_SECRETS, PATHS, SINGLE, Item, Key, as_filed

OUTLINED = ("rule", "playbook", "template")
CHECKED = (*OUTLINED, "policy", *CHECKED_SECRETS)  # kinds that the server checks without a save


def check(client: Client, documents: Sequence[Document]) -> tuple[list[FileProblem], list[FileProblem]]:
    """The server's errors and warnings about each document by itself."""
    refused: list[FileProblem] = []
    doubtful: list[FileProblem] = []
    for document in documents:
        if document.kind in CHECKED:
            try:
                answer = _ask(client, document)
            except ApiError as error:
                # of endpoints and sources a key that may only read is told nothing
                if error.status != 403 or document.kind not in CHECKED_SECRETS:
                    refused += problems(document, error)
                continue
            doubtful += [document.problem(one["field"], one["message"]) for one in answer["warnings"]]
    return refused, doubtful


def _ask(client: Client, document: Document) -> Any:
    if document.kind in SINGLE:
        return client.call("POST", f"/v1/{SINGLE[document.kind]}/check", document.body)
    alone: dict[str, Any] = {} if document.kind in CHECKED_SECRETS else {"alone": True}
    return client.call("POST", f"/v1/{PATHS[document.kind]}/check", document.body, **alone)


def differ(client: Client, document: Document) -> bool:
    """Whether an endpoint's or source's secrets are others than those that the server keeps.

    What the server refuses is different, so that the refusal is seen. A key that may only read is told nothing.
    """
    try:
        answer = client.call("POST", f"/v1/{PATHS[document.kind]}/check", document.body)
    except ApiError as error:
        if error.status in (403, 422):
            return error.status == 422
        raise
    return bool(answer["secrets_differ"])


def problems(document: Document, error: ApiError) -> list[FileProblem]:
    """The server's errors about a document, each with its line."""
    if error.errors:
        return [document.problem(wrong["field"], wrong["message"]) for wrong in error.errors]
    return [document.problem("", str(error))]


def dangling(
    documents: Sequence[Document], held: Mapping[Key, Item], going: Collection[Key] = ()
) -> list[FileProblem]:
    """References to documents that are in no file, and not on the server or `going` from there.

    A rule may name a playbook that does not exist yet.
    """
    here = {(document.kind, document.name) for document in documents}
    problems = []
    for document in documents:
        for kind, name, field in _references(document):
            if (kind, name) in here:
                continue
            if (kind, name) in going:
                problems.append(
                    document.problem(field, f"--prune would delete the {kind} {name} from the server")
                )
            elif (kind, name) not in held and kind != "playbook":
                problems.append(document.problem(field, f"there is no {kind} {name}"))
    return problems


def _references(document: Document) -> Iterator[tuple[str, str, str]]:
    """(kind, name, field) of what a document names."""
    if isinstance(document.model, PlaybookIn):
        yield from document.model.references()
    if isinstance(document.model, RuleIn) and document.model.playbook is not None:
        yield "playbook", document.model.playbook, "playbook"


def check_together(
    documents: Sequence[Document], concerned: Sequence[Document], held: Mapping[Key, Item]
) -> list[FileProblem]:
    """The warnings about the documents together, and together with others on the server, `held`.

    Each is given once, at the document of the files that is easiest to change, and only if one of
    `concerned` takes part.
    """
    here = {(one.kind, one.name): one for one in documents}
    told: dict[str, FileProblem] = {}
    new = {(one.kind, one.name) for one in concerned}
    for finding in _findings(here, held):
        views = [view for view in finding if (view.kind, view.name) in here]
        if any((view.kind, view.name) in new for view in views):
            problem = _problem(here, views[0])
            told.setdefault(str(problem), problem)
    return list(told.values())


def _problem(here: dict[Key, Document], view: SharedWarning) -> FileProblem:
    return here[view.kind, view.name].problem(view.doubt["field"], view.doubt["message"])


def _findings(here: dict[Key, Document], held: Mapping[Key, Item]) -> Iterator[Finding]:
    ours = [outline(one.model) for one in here.values() if one.kind in OUTLINED]  # type: ignore[arg-type]
    if not ours and (POLICY, POLICY) not in here:
        return
    every = [*ours, *_others(here, held)]
    books = {one.name: one for one in every if isinstance(one, PlaybookOutline)}
    yield from lint_together(
        [one for one in every if isinstance(one, RuleOutline)],
        books,
        {one.name: one for one in every if isinstance(one, TemplateOutline)},
    )
    policy = _policy(here, held)
    if policy is not None:
        yield from lint_topics(policy, books)
        yield from lint_held_mails(policy, books.values())


def _policy(here: dict[Key, Document], held: Mapping[Key, Item]) -> PolicyDoc | None:
    """The sending policy as it will be; None: there is none, or another version saved it and it is invalid now."""
    place = (POLICY, POLICY)
    if place in here:
        return PolicyDoc.model_validate(here[place].body)
    try:
        return PolicyDoc.model_validate(as_filed(POLICY, held[place])) if place in held else None
    except ValidationError:
        return None


def _others(here: dict[Key, Document], held: Mapping[Key, Item]) -> Iterator[Outline]:
    """The outlines of the server's other documents, but for those that another version saved and that
    are invalid now."""
    for (kind, name), item in held.items():
        if kind in OUTLINED and (kind, name) not in here:
            try:
                model: Any = KINDS[kind].model_validate(as_filed(kind, item))
            except ValidationError:
                continue
            yield outline(model)
