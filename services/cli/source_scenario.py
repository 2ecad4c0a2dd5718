"""`touchline test` for sources: what becomes of a hook, by the code that a server runs; nothing is looked up."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from backbone.errors import Invalid
from backbone.web.validation import validate
from backbone.yaml.reading import Located
from schemas.event import microseconds
from schemas.source import SourceIn
from schemas.source_scenario import SourceScenario
from services.cli.comparing import Difference, compare
from services.cli.documents import Document, FileProblem, FileProblems, load
from services.cli.file_variables import filled
from services.ingest.decoding.refusals import NotReadable, Refusal
from services.ingest.sources.bodies import read
from services.ingest.sources.expressions import TooCostly
from services.ingest.sources.mapping import Element, MappedEvent, SourceMapping, TooManyElements
from services.ingest.sources.requests import made_up
from services.ingest.sources.verify import verifier


def are_of_sources(located: Sequence[Located]) -> bool:
    """Whether a file holds tests of sources: then it may have several."""
    return bool(located) and all(isinstance(one.value, dict) and "source" in one.value for one in located)


def run_sources(located: Sequence[Located]) -> list[Difference]:
    """Run every test of a file. Returns what differs. Raises `FileProblems` for what cannot be read as a test."""
    loaded = cache(_sources)
    tests = [(item, *_read(item, loaded)) for item in located]
    several = len(tests) > 1
    found = []
    for number, (item, test, source) in enumerate(tests, 1):
        for difference in _run(item, test, source):
            if several:
                difference.what = f"{test.description or f'test {number}'}: {difference.what}"
            found.append(difference)
    return found


def _sources(file: Path) -> list[Document]:
    return [one for one in load([file]) if one.kind == "source"]


def _read(item: Located, loaded: Callable[[Path], list[Document]]) -> tuple[SourceScenario, Document]:
    try:
        test = validate(SourceScenario, item.value)
    except Invalid as error:
        raise FileProblems([_problem(item, one["field"], one["message"]) for one in error.errors]) from None
    by_file = test.source.endswith((".yaml", ".yml"))
    file = item.path.parent / (test.source if by_file else f"{test.source}.yaml")
    if not file.is_file():
        raise FileProblems([_problem(item, "source", f"there is no file {file.name}")])
    sources = loaded(file)
    named = [one for one in sources if by_file or one.name == test.source]
    if len(named) != 1:
        what = f"one source, not {len(sources)}" if by_file else f"the source {test.source}"
        raise FileProblems([_problem(item, "source", f"{file.name} should hold {what}")])
    return test, named[0]


def _problem(item: Located, field: str, message: str) -> FileProblem:
    return FileProblem(item.path, item.line(field), f"{field}: {message}")


def _run(item: Located, test: SourceScenario, document: Document) -> list[Difference]:
    source = validate(SourceIn, filled(document.body, test.secrets))
    request = made_up(test.body, test.headers, test.url)
    differences = []
    if test.expect.verified is not None:
        now = 0 if test.received is None else microseconds(test.received)
        verified = verifier(source)(request, now)
        if verified != test.expect.verified:
            differences.append(
                Difference("verified", [{"verified": test.expect.verified}], [{"verified": verified}])
            )
    try:
        body = read(request.body, request.headers)
        elements = SourceMapping(source).elements(body, request.headers, request.body)
    except (NotReadable, TooCostly, TooManyElements) as error:
        raise FileProblems([_problem(item, "body", str(error))]) from None
    return differences + list(_differences(test, elements))


def _differences(test: SourceScenario, elements: Sequence[Element]) -> Sequence[Difference]:
    events = [shown(one) for one in elements if isinstance(one, MappedEvent)]
    refused = [
        {"index": index, "code": str(one.code), "field": one.field, "message": one.message}
        for index, one in enumerate(elements)
        if isinstance(one, Refusal)
    ]
    why = [f"element {one['index']} is rejected: {one['field']}: {one['message']}" for one in refused]
    ignored = sum(one is None for one in elements)
    if ignored:
        why.append(f"no `when` holds for {ignored} of {len(elements)} elements")
    found = []
    missing, unexpected = compare(test.expect.events, events)
    if missing or unexpected:
        found.append(Difference("events", missing, unexpected, why if missing else []))
    missing, unexpected = compare(test.expect.rejected or [], refused)
    if test.expect.rejected is not None and (missing or unexpected):
        found.append(Difference("rejected", missing, unexpected))
    if test.expect.ignored not in (None, ignored):
        found.append(Difference("ignored", [{"ignored": test.expect.ignored}], [{"ignored": ignored}]))
    return found


def shown(one: MappedEvent) -> dict[str, Any]:
    """An event as tests compare it: `account` has the ways to find it, the first of each kind."""
    whose = one.whose
    ways: dict[str, Any] = {}
    for way in whose.ways:
        if way.way not in ways:
            ways |= {way.way: way.value} | ({"system": way.system} if way.system is not None else {})
    if whose.create:
        ways["create"] = True
    contact = {"id": one.event.contact, "email": whose.contact_email}
    said = {name: value for name, value in contact.items() if value is not None}
    return {**one.shown(), "account": ways, "contact": said or None}
