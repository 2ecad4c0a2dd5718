"""Every route looks at its query parameters, but for those that the contract excepts (section 8)."""

from collections.abc import Iterator

import httpx
import pytest
from fastapi.routing import APIRoute

from backbone.settings import load_settings
from backbone.web.query_params import guarded, takes_any
from services.app import Runtime, running

SEGMENT = {
    *("track", "identify", "group", "page", "screen", "alias", "batch", "import"),
    *("b", "t", "i", "g", "p", "s", "a"),
}
OPEN_PREFIXES = ("/v1/hooks/", "/u/", "/v1/projects/")
OPEN = {"/healthz", "/readyz", "/metrics"}


def excepted(path: str) -> bool:
    """Whether the contract lets anything stand in this path's query."""
    return path in OPEN or path.startswith(OPEN_PREFIXES) or path.removeprefix("/v1/") in SEGMENT


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Runtime, httpx.Client]]:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"), port=0, partitions=1)
    with running(settings) as (rooms, url):
        keyed = {"authorization": f"Bearer {rooms.new_admin_key}"}
        with httpx.Client(base_url=url, headers=keyed, timeout=30) as client:
            yield rooms, client


@pytest.fixture
def rooms(server: tuple[Runtime, httpx.Client]) -> Runtime:
    return server[0]


@pytest.fixture
def client(server: tuple[Runtime, httpx.Client]) -> httpx.Client:
    return server[1]


def routes(rooms: Runtime) -> list[APIRoute]:
    return [route for route in rooms.app.routes if isinstance(route, APIRoute)]


def test_every_route_looks_at_its_query_or_is_excepted(rooms: Runtime) -> None:
    found = routes(rooms)
    assert len(found) > 50
    assert [route.path for route in found if not excepted(route.path) and not guarded(route)] == []
    assert [route.path for route in found if excepted(route.path) and not takes_any(route)] == []


def asked(client: httpx.Client, route: APIRoute, method: str, query: str) -> httpx.Response:
    path = route.path.replace(":path}", "}")
    for name in route.param_convertors:
        path = path.replace("{" + name + "}", "x")
    return client.request(method, f"{path}?{query}", json=None if method == "GET" else {})


def test_a_parameter_that_nobody_knows_is_refused_by_every_route(
    rooms: Runtime, client: httpx.Client
) -> None:
    wrong = []
    for route in routes(rooms):
        for method in sorted(route.methods - {"HEAD"}):
            answer = asked(client, route, method, "staus=failed&limit%5B%5D=1")
            errors = answer.json().get("errors", ()) if answer.status_code == 422 else ()
            refused = [error["field"] for error in errors][:2] == ["staus", "limit[]"]
            if refused == excepted(route.path):
                wrong.append((method, route.path, answer.status_code, answer.text[:200]))
    assert wrong == []


def test_who_has_no_key_learns_nothing_of_the_query(rooms: Runtime, client: httpx.Client) -> None:
    for path in ("/v1/plays?staus=failed", "/v1/rules?limit=1&limit=2"):
        assert client.get(path, headers={"authorization": ""}).status_code == 401
    assert client.post("/v1/events?x=1", json={}, headers={"authorization": ""}).status_code == 401


SEVERAL = {("/v1/plays", "id"), ("/v1/triggers", "id"), ("/v1/suppressions", "address")}  # any of them


def test_a_repeated_parameter_is_refused_and_not_the_last_one_taken(
    rooms: Runtime, client: httpx.Client
) -> None:
    wrong = []
    for route in routes(rooms):
        for field in {f.alias: f for d in _all(route) for f in d.query_params}.values():
            for method in sorted(route.methods - {"HEAD"}):
                answer = asked(client, route, method, f"{field.alias}=1&{field.alias}=1")
                errors = answer.json().get("errors", ()) if answer.status_code == 422 else ()
                refused = {"field": field.alias, "message": "may be given only once"} in errors
                if refused == ((route.path, field.alias) in SEVERAL):
                    wrong.append((method, route.path, field.alias, answer.text[:200]))
    assert wrong == []


def _all(route: APIRoute) -> list[object]:
    found, left = [], [route.dependant]
    while left:
        found.append(left.pop())
        left += found[-1].dependencies
    return found  # type: ignore[return-value]
