"""What a source warns of: what anybody may send, and entries that never make an event. And sources that are fine."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.lint.source import lint_source
from schemas.source import SourceIn

SIGNED = {"scheme": "token", "header": "X-Token", "secret": "s3same"}


def entry(**fields: Any) -> dict[str, Any]:
    return {"type": "login", "account": {"id": "account"}, **fields}


def warnings(*events: dict[str, Any], **fields: Any) -> list[tuple[str, str]]:
    source = SourceIn.model_validate({"name": "knock", "verify": SIGNED, "events": list(events), **fields})
    return [(one["field"], one["message"]) for one in lint_source(source)]


def test_an_open_source_says_so_and_a_proven_one_is_quiet() -> None:
    [(field, message)] = warnings(entry(), verify={"scheme": "none"})
    assert field == "verify"
    assert "anybody who can reach /v1/hooks/knock" in message
    assert warnings(entry()) == []


@pytest.mark.parametrize(
    ("whens", "reached"),
    [
        ([None, "a"], {1: "events.0 has no when, and takes every element"}),
        ([None, None], {1: "events.0 has no when, and takes every element"}),
        (["a", None, "b", "a"], dict.fromkeys((2, 3), "events.1 has no when, and takes every element")),
        (["a", "b", "a"], {2: "events.0 has the same when"}),
        (["a", "b", None], {}),
        (["a", "!a"], {}),
    ],
)
def test_an_entry_that_no_element_comes_to(whens: list[str | None], reached: dict[int, str]) -> None:
    found = warnings(*(entry(when=when) if when else entry() for when in whens))
    assert found == [(f"events.{n}.when", f"is never reached: {why}") for n, why in reached.items()]


def test_an_update_of_nobody() -> None:
    about = {"type": "contact.updated", "data": {"name": "name"}}
    [(field, message)] = warnings(entry(**about))
    assert field == "events.0.contact"
    assert "every such event is refused" in message
    assert warnings(entry(**about, contact={"id": "user"})) == []
    assert warnings(entry(type="account.updated")) == []
