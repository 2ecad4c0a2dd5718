"""The library's scenarios on the production engine and step machine, everything in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from backbone.errors import Invalid
from backbone.web.validation import validate
from schemas.scenario import Scenario
from services.actions.plays.memory_rows import MemoryAction
from services.actions.rendering.compose import answer
from services.actions.rendering.draft_renderer import DraftRenderer
from services.actions.rendering.jobs import Body, Checked, Failure, Job, Mail, RenderError
from services.cli.documents import KINDS, Document, find, load
from services.cli.scenario import Difference, World, documents_of, play, read_scenario
from services.cli.scenario_world import arrivals
from tests.unit.library.files import LIBRARY
from tests.unit.library.mutations import Mutation


class Here:
    """Renders without render processes, in this process: the library's own templates are trusted."""

    def render_many(self, jobs: Sequence[Job]) -> list[Mail | Body | RenderError]:
        return [_rendered(job) for job in jobs]


def _rendered(job: Job) -> Mail | Body | RenderError:
    given = answer(job)
    assert not isinstance(given, Checked)
    return RenderError.of(given) if isinstance(given, Failure) else given


RENDER = DraftRenderer(Here(), {"name": None, "email": None}, lambda _: "https://us.test/u/1")  # type: ignore[arg-type]


@cache
def scenarios() -> tuple[Path, ...]:
    """Every scenario of the library."""
    return tuple(find([LIBRARY], tests=True))


@cache
def prepared(file: Path) -> tuple[Scenario, tuple[Document, ...]]:
    """A scenario and the documents that it loads."""
    scenario = read_scenario(file)
    return scenario, tuple(documents_of(file, scenario))


def played(file: Path) -> list[Difference]:
    """The differences from the expectations of a scenario."""
    return play(*prepared(file), RENDER)


def acted(scenario: Scenario, documents: Sequence[Document]) -> list[MemoryAction]:
    """Every action that a scenario leads to, with its rendered texts."""
    world = World(documents, RENDER)
    for event in arrivals(scenario):
        world.feed(event)
    return list(world.store.actions.values())


def nameless(scenario: Scenario) -> Scenario:
    """The same customers without their names, and without owners."""
    accounts: dict[str, Any] = {}
    for name, body in scenario.accounts.items():
        bare = {field: value for field, value in (body or {}).items() if field not in ("name", "owner")}
        if "contacts" in bare:
            known = bare["contacts"]
            bare["contacts"] = [{k: v for k, v in one.items() if k != "name"} for one in known]
        accounts[name] = bare
    return scenario.model_copy(update={"accounts": accounts})


def changed(mutation: Mutation, documents: Sequence[Document]) -> list[Document] | None:
    """The documents with one of them mutated; None if the mutated document is refused."""
    kind, name = mutation.document["kind"], mutation.document.get("name", "tiers")
    body = {field: value for field, value in mutation.applied().items() if field != "kind"}
    try:
        model = validate(KINDS[kind], body)
    except Invalid:
        return None
    return [
        replace(one, body=body, model=model) if (one.kind, one.name) == (kind, name) else one
        for one in documents
    ]


def concerns(mutation: Mutation, documents: Sequence[Document]) -> bool:
    """Whether the mutated document is one of these."""
    kind, name = mutation.document["kind"], mutation.document.get("name", "tiers")
    return any((one.kind, one.name) == (kind, name) for one in documents)


@cache
def library() -> tuple[Document, ...]:
    """Every document of the library."""
    return tuple(load(find([LIBRARY])))


def noticed(mutation: Mutation) -> bool:
    """Whether a mutated document is refused, or a scenario that loads it fails."""
    for file in scenarios():
        scenario, documents = prepared(file)
        if concerns(mutation, documents):
            mutated = changed(mutation, documents)
            if mutated is None or play(scenario, mutated, RENDER):
                return True
    return False
