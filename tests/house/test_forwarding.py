"""Every part of the API has a service in the console's table: what is new would be a 404 at the one address.

`tests/services/forwarding/` holds the table against the services themselves.
"""

from __future__ import annotations

import ast

import pytest

from services.console.forwarding.table import SERVICES, Manner, destination
from tests.house.tree import parsed, python_files

VERBS = {"get", "post", "put", "delete", "patch", "api_route", "add_api_route"}


def routes_in(tree: ast.Module) -> set[str]:
    """The paths below /v1/ that decorators and calls of routers name, as far as they stand there as text."""
    named = {
        argument.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in VERBS
        for argument in node.args[:1]
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    }
    return {path for path in named if path.startswith("/v1/")}


@pytest.mark.parametrize("service", SERVICES)
def test_the_console_knows_whose_each_path_is(service: str) -> None:
    paths = set().union(*(routes_in(parsed(file)) for file in python_files(f"services/{service}")))
    assert len(paths) > 2
    wrong = []
    for path in sorted(paths):
        for method in ("PUT",) if path == "/v1/accounts/{id:path}" and service == "ingest" else ("GET",):
            found = destination(method, path, path.encode())
            if found is None or (found.manner is Manner.ONE and found.service != service):
                wrong.append(path)
    assert wrong == []


def test_the_test_sees_routes() -> None:
    source = '@router.get("/v1/new")\ndef new(): ...\nrouter.add_api_route("/v1/other/{name}", new)\nlink("/v1/rules")'
    assert routes_in(ast.parse(source)) == {"/v1/new", "/v1/other/{name}"}
    assert destination("GET", "/v1/new", b"/v1/new") is None
