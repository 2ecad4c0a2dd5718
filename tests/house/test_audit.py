"""Every route that changes something writes an audit entry (docs/recipes/change.md)."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.tree import SHIPPED, name_of, parsed, python_files

CHANGING = {"post", "put", "patch", "delete"}
# Handlers of such methods that need no entry, and why.
NO_ENTRY = {
    "services/ingest/api/events.py:events": "events are in the log",
    "services/ingest/api/events.py:put_account": "an event, account.updated",
    "services/ingest/api/events.py:clock": "the clock is none of the changes that the audit keeps",
    "services/actions/api/unsubscribe.py:unsubscribe": "its reader does it, without a key; it is an event",
    "services/actions/api/preview.py:preview": "changes nothing",
    "services/actions/api/send_test.py:send": "makes no action; the service's log says who sent one",
    "services/rules/api/rules.py:check": "changes nothing",
    "backbone/documents/api.py:check": "changes nothing",
    "backbone/documents/single.py:check": "changes nothing",
    "services/actions/api/endpoints.py:check": "changes nothing",
    "services/ingest/api/sources.py:check": "changes nothing",
    "services/ingest/api/sources.py:preview": "changes nothing",
    "services/ingest/api/hooks.py:hook": "events are in the log",
    "services/rules/api/backtests.py:ask": "a question: nothing is changed by it",
    "services/actions/api/rehearsals.py:create": "a question: nothing is changed by it",
    "backbone/jobs/api.py:removed": "what a long job found out is forgotten; nothing was changed by it",
}


def changing(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """The handlers of routes with a method that changes things."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and any(
            map(_changes, node.decorator_list)
        ):
            yield node


def _changes(decorator: ast.expr) -> bool:
    if not isinstance(decorator, ast.Call) or not isinstance(decorator.func, ast.Attribute):
        return False
    if decorator.func.attr in {"route", "api_route"}:
        return True
    return decorator.func.attr in CHANGING and bool(decorator.args)


def writes(handler: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether it takes the trail. An argument that it leaves unused is found by ruff."""
    arguments = [*handler.args.args, *handler.args.kwonlyargs]
    return any(isinstance(one.annotation, ast.Name) and one.annotation.id == "Trail" for one in arguments)


def _handlers() -> dict[str, bool]:
    return {
        f"{name_of(path)}:{handler.name}": writes(handler)
        for path in python_files(*SHIPPED)
        for handler in changing(parsed(path))
    }


def test_what_changes_something_says_so() -> None:
    silent = {name for name, does in _handlers().items() if not does}
    assert silent - set(NO_ENTRY) == set(), "each takes `trail: Trail`, or stands in NO_ENTRY"
    assert set(NO_ENTRY) - silent == set(), "they are gone, or have an entry"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('@router.post("/v1/things")\ndef make(body: Body) -> None: ...', [False]),
        (
            '@routes.delete("/v1/things/{name}", status_code=204)\ndef end(name: str, trail: Trail) -> None: ...',
            [True],
        ),
        ('@router.get("/v1/things")\ndef listed() -> None: ...', []),
    ],
)
def test_a_route_that_says_nothing_is_found(source: str, found: list[bool]) -> None:
    assert [writes(handler) for handler in changing(ast.parse(source))] == found
