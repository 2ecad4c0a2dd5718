"""Whoever adds an event format writes one file (or package), one line in `FORMATS`, one test.

These checks say what was forgotten. What the value itself lacks fails when it is made, and when it is registered.
"""

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import MISSING, fields, replace
from itertools import count
from typing import Any

import pytest

from schemas.event import Event
from services.ingest import formats
from services.ingest.decoding.refusals import Refusal
from services.ingest.decoding.validation import EventValidator, ValidEvent
from services.ingest.formats import FORMATS, base, chosen
from services.ingest.formats.base import (
    BodyClaim,
    EventFormat,
    Example,
    FormatRoute,
    Incoming,
    Item,
    register,
)
from services.ingest.identity.placement import IdentityCall
from tests.house.tree import ROOT

NOW = 1_795_338_000_000_000  # 2026-11-22T09:00:00Z
MODULES = sorted(
    found.name
    for found in pkgutil.iter_modules(formats.__path__)
    if f"{formats.__name__}.{found.name}" != base.__name__
)
every_format = pytest.mark.parametrize("name", sorted({*FORMATS, *MODULES}))


@every_format
def test_its_file_its_line_and_its_test_are_there(name: str) -> None:
    """A module beside the register is a format: it has a `FORMAT` of its own name, and a line in `FORMATS`."""
    assert name in MODULES, f"{name} is registered, and there is no services/ingest/formats/{name}.py"
    module = importlib.import_module(f"{formats.__name__}.{name}")
    found = getattr(module, "FORMAT", None)
    assert isinstance(found, EventFormat), f"services/ingest/formats/{name}.py has no FORMAT = EventFormat(…)"
    assert FORMATS.get(found.name) is found, f"{name} has no line in FORMATS"
    assert found.name == name, f"the format in {name}.py is called {found.name}"
    test = ROOT / f"tests/unit/ingest/test_{name}.py"
    assert test.is_file(), f"{name} has no test: {test.relative_to(ROOT)}"
    assert f"formats.{name}" in test.read_text() or f"formats import {name}" in test.read_text()


@every_format
def test_its_example_is_taken(name: str) -> None:
    items = _decoded(FORMATS[name], FORMATS[name].taken)
    refused = [one for one in items if isinstance(one, Refusal)]
    assert refused == []
    assert any(isinstance(one, ValidEvent) for one in items), f"the example of {name} has no event"


@every_format
def test_its_other_example_is_refused_by_the_name_of_the_field(name: str) -> None:
    found = FORMATS[name]
    items = _decoded(found, found.refused)
    refused = [one for one in items if isinstance(one, Refusal)]
    assert [one.field for one in refused] == [found.refused.field]
    assert all(len(one.message) > len("wrong") for one in refused)


@every_format
def test_its_examples_are_recognised_as_its_own(name: str) -> None:
    """At `POST /v1/events` by what they carry; those of calls come to routes that belong to nobody else."""
    found = FORMATS[name]
    if not found.calls:
        assert chosen(found.taken.sent.headers) is found
        assert chosen(found.refused.sent.headers) is found


def _decoded(format_: EventFormat, example: Example) -> Sequence[ValidEvent | Refusal | None]:
    """What becomes of an example as far as it can be seen without a database; in the format's own words."""
    number = count(1)
    validator = EventValidator(
        now=NOW, wall=True, erasing=False, new_id=lambda _: f"id-{next(number)}", inside=format_.identifies
    )
    return [
        _checked(format_, validator, index, item) for index, item in enumerate(format_.decode(example.sent))
    ]


def _checked(
    format_: EventFormat, validator: EventValidator, index: int, item: Item
) -> ValidEvent | Refusal | None:
    assert not isinstance(item, IdentityCall) or format_.identifies, (
        "say `identifies`: it gives IdentityCalls"
    )
    event = item.event if isinstance(item, IdentityCall) else item
    became = validator.check(index, event) if isinstance(event, Event) else event
    return format_.in_their_words(became, item) if isinstance(became, Refusal) else became


GOOD: dict[str, Any] = {
    "name": "csv",
    "decode": lambda _sent: [],
    "taken": Example(sent=Incoming(b"a")),
    "refused": Example(sent=Incoming(b"b"), field="type"),
    "content_types": {"text/csv": None},
}


def test_what_must_be_there() -> None:
    """Each of these, forgotten, fails when the format is made."""
    needed = [
        each.name
        for each in fields(EventFormat)
        if each.default is MISSING and each.default_factory is MISSING
    ]
    assert needed == ["name", "decode", "taken", "refused"]
    for name in needed:
        with pytest.raises(TypeError, match=name):
            EventFormat(**{key: value for key, value in GOOD.items() if key != name})


CALL: dict[str, Any] = {"name": "send", "paths": ["/v1/send"], "model": EventFormat, "example": {"a": 1}}
OF_CALLS = {
    "content_types": {},
    "about": "About it.",
    "taken": Example(sent=Incoming(b"a", call="send")),
    "refused": Example(sent=Incoming(b"b", call="send"), field="type"),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "Two Words"}, "lower-case"),
        ({"content_types": {}}, "nothing selects it"),
        ({"taken": Example(sent=Incoming(b""), field="type")}, "`taken` has no field"),
        ({"refused": Example(sent=Incoming(b""))}, "`refused` names no field"),
        ({"taken": Example(sent=Incoming(b"", call="send"))}, "which it does not have"),
        ({**OF_CALLS, "calls": [FormatRoute(**CALL)], "about": ""}, "no description"),
        ({**OF_CALLS, "calls": [FormatRoute(**CALL)], "taken": GOOD["taken"]}, "which it does not have"),
    ],
)
def test_what_cannot_work_fails_when_it_is_made(change: dict[str, Any], message: str) -> None:
    EventFormat(**GOOD)
    EventFormat(**{**GOOD, **OF_CALLS, "calls": [FormatRoute(**CALL)]})
    with pytest.raises(ValueError, match=message):
        EventFormat(**{**GOOD, **change})


@pytest.mark.parametrize("change", [{"paths": []}, {"paths": ["/send"]}, {"example": {}}])
def test_a_call_that_cannot_work_fails_when_it_is_made(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="send"):
        FormatRoute(**{**CALL, **change})


def test_two_formats_share_neither_name_nor_content_type_nor_path() -> None:
    one = EventFormat(**GOOD)
    other = replace(one, name="tsv", content_types={"text/tab-separated-values": None})
    assert register(one, other) == {"csv": one, "tsv": other}
    with pytest.raises(ValueError, match="name 'csv'"):
        register(one, replace(other, name="csv"))
    with pytest.raises(ValueError, match="content type 'text/csv'"):
        register(one, replace(other, content_types=one.content_types))
    of_calls = EventFormat(**{**GOOD, **OF_CALLS, "calls": [FormatRoute(**CALL)]})
    with pytest.raises(ValueError, match="path '/v1/send'"):
        register(of_calls, replace(of_calls, name="tsv"))


def test_a_claim_goes_before_a_content_type() -> None:
    """Binary CloudEvents come with the content type of their data, often one that another format has."""
    [claim] = [one.claim for one in FORMATS.values() if one.claim is not None]
    assert isinstance(claim, BodyClaim)
    assert chosen({"content-type": "application/json", "ce-type": "a"}) is FORMATS["cloudevents"]
    assert chosen({"content-type": "application/cloudevents+json", "ce-type": "a"}) is FORMATS["native"]
    assert chosen({"content-type": "application/json"}) is FORMATS["native"]
    assert chosen({}) is FORMATS["native"]
    assert chosen({"content-type": "text/html"}) is None
