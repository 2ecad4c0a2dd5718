"""Every route of the API answers through the console as it does at its service."""

from __future__ import annotations

import gzip
import re
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from backbone.web.openapi import declared_scopes
from services.app import SERVICES
from services.console.forwarding.table import OWNER_OF, Manner, destination
from tests.services.forwarding.conftest import KEY, Apart

PART = re.compile(r"\{[^}]+\}")
BODIES = {"POST": b"{}", "PUT": b'{"no_such_field": 1}'}
# joined, so that no service alone answers the same
JOINED = {"/v1/status", "/v1/attention", "/v1/accounts/{id:path}/record"}
OWN = {"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"}
OTHERS = {"/readyz", "/metrics"}  # the console's own, with its own content
# when it was asked; and whether the body had arrived by the time that it was refused
VOLATILE = {"date", "content-length", "connection"}


def routes_of(apart: Apart, name: str) -> set[tuple[str, str]]:
    return {(method, path) for method, path, _ in declared_scopes(apart.rooms[name].app)}


def filled(path: str) -> str:
    """A path with something in each of its parts."""
    return PART.sub("some-thing", path)


def test_the_table_names_the_services_that_have_the_route(apart: Apart) -> None:
    everything = routes_of(apart, "all")
    assert everything == set().union(*(routes_of(apart, name) for name in SERVICES))
    assert len(everything) > 150
    wrong = []
    for method, path in sorted(everything):
        if path in OWN or path.startswith("/static/"):
            continue
        owners = {name for name in SERVICES if (method, path) in routes_of(apart, name)}
        found = destination(method, filled(path), filled(path).encode())
        expected = {found.service} if found and found.manner is Manner.ONE else set(SERVICES)
        joined = found is not None and found.manner not in {Manner.ONE, Manner.ANY}
        if found is None or owners != expected or joined is not (path in JOINED):
            wrong.append((method, path, owners, found))
    assert wrong == []


def test_the_table_names_nothing_that_no_service_has(apart: Apart) -> None:
    """So a new route needs a line there only if it begins anew."""
    firsts = {path.split("/")[2] for _, path in routes_of(apart, "all") if path.startswith("/v1/")}
    assert set(OWNER_OF) <= firsts
    for name in ("nothing", "rule", "_", "..", ""):
        assert destination("GET", f"/v1/{name}", b"") is None
    assert destination("GET", "/v2/rules", b"") is destination("GET", "/u", b"") is None


@pytest.mark.parametrize("key", [KEY, None, "tl_unknown"])
def test_every_route_answers_the_same_as_directly(apart: Apart, key: str | None) -> None:
    """With and without a key, on names that nobody knows and bodies that nobody takes: refusals for the most part."""
    headers = {"host": "in.acme.test", **({"authorization": f"Bearer {key}"} if key else {})}
    wrong, succeeded = [], 0
    with httpx.Client(timeout=30, headers=headers) as client:
        for method, path in sorted(routes_of(apart, "all")):
            if path in JOINED | OTHERS | {"/openapi.json"} or path.startswith("/static/"):
                continue
            found = destination(method, filled(path), filled(path).encode())
            owner = found.service if found and found.service else "rules"
            asked = {"content": BODIES[method]} if method in BODIES else {}
            direct = client.request(method, apart.urls[owner] + filled(path), **asked)
            through = client.request(method, apart.console + filled(path), **asked)
            succeeded += through.is_success
            if seen(direct) != seen(through):
                wrong.append((method, path, seen(direct), seen(through)))
    assert wrong == []
    assert succeeded > 5


@pytest.mark.parametrize("path", ["/v1/accounts", "/v1/accounts/acme", "/v1/accounts/a%2Fb/events"])
def test_what_can_be_done_with_accounts_is_what_all_services_can(apart: Apart, path: str) -> None:
    """They are written at ingest and read at rules."""
    for method in ("POST", "DELETE", "PATCH", "HEAD", *(["PUT"] if path == "/v1/accounts" else [])):
        whole, through = (apart.ask(where, method, path, content=b"") for where in ("all", "console"))
        assert (through.status_code, through.headers["allow"]) == (405, whole.headers["allow"]), method
        assert through.content == whole.content or method == "HEAD"
    assert ("PUT" in through.headers["allow"]) is (path != "/v1/accounts")


def seen(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Without what differs between two requests, and with the name of the docs page left out."""
    headers = {name: value for name, value in answer.headers.items() if name not in VOLATILE}
    body = re.sub(rb"<title>[^<]*</title>", b"", answer.content)
    return answer.status_code, headers, re.sub(rb"[0-9a-f-]{32,36}|[0-9T:.-]{20,}Z", b"", body)


def test_the_page_of_all_is_that_of_all_in_one(apart: Apart) -> None:
    page, embedded = (
        httpx.get(f"{url}/openapi.json", timeout=60) for url in (apart.console, apart.urls["all"])
    )
    assert page.json() == embedded.json()
    assert page.headers["content-type"] == embedded.headers["content-type"]
    OpenAPIV31SpecValidator(page.json()).validate()


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("GET", "/v1/rules?limit=3&wrong=1", {}),
        ("GET", "/v1/status?wrong=1", {}),
        ("GET", "/v1/attention?wrong=1", {}),
        ("GET", "/v1/rules?limit=3&limit=4", {}),
        ("GET", "/v1/audit?cursor=nonsense", {}),
        ("GET", "/v1/rules/caf%C3%A9", {}),
        ("GET", "/v1/rules/caf%E9", {}),
        ("GET", "/v1/rules/a%00b", {}),
        ("PATCH", "/v1/rules/x", {}),
        ("POST", "/v1/status", {}),
        ("OPTIONS", "/v1/rules", {}),
        ("GET", "/v1/accounts/a%2Frecord", {}),
        ("GET", "/v1/accounts/a/events", {}),
        (
            "OPTIONS",
            "/v1/track",
            {"origin": "https://app.acme.test", "access-control-request-method": "POST"},
        ),
        ("OPTIONS", "/v1/track", {"origin": "https://evil.test", "access-control-request-method": "POST"}),
        ("POST", "/v1/track", {"origin": "https://app.acme.test", "authorization": "Basic eDo="}),
        ("GET", "/v1/projects/tl_x/settings", {"origin": "https://app.acme.test", "host": "in.acme.test"}),
    ],
)
def test_the_same_as_all_in_one(apart: Apart, method: str, path: str, headers: dict[str, str]) -> None:
    through, whole = (apart.ask(where, method, path, headers=headers) for where in ("console", "all"))
    assert seen(through) == seen(whole)
    assert through.status_code < 500


def test_a_key_that_is_unknown_gets_nothing_joined(apart: Apart) -> None:
    for path in ("/v1/status", "/v1/attention", "/v1/accounts/a/record", "/v1/audit", "/v1/me"):
        for headers in ({}, {"authorization": "Bearer tl_unknown"}):
            answer = httpx.get(apart.console + path, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            assert "www-authenticate" in answer.headers


def test_bodies_keep_the_limits_of_their_paths(apart: Apart) -> None:
    def refused(method: str, path: str, body: bytes, **headers: str) -> tuple[int, Any]:
        found = [
            apart.ask(where, method, path, content=body, headers=headers) for where in ("console", "all")
        ]
        assert seen(found[0])[0] == seen(found[1])[0]
        assert found[0].json() == found[1].json()
        return found[0].status_code, found[0].json()["code"]

    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 100_000
    assert refused("POST", "/v1/events", b"x" * 1_048_577) == (413, "request_too_large")
    assert refused("POST", "/v1/events", bomb, **{"content-encoding": "gzip"}) == (413, "request_too_large")
    assert refused("POST", "/v1/events", b"{}", **{"content-encoding": "br"}) == (
        415,
        "unsupported_media_type",
    )
    assert refused("POST", "/u/some-token", b"x" * 20_000) == (413, "request_too_large")
    assert refused("PUT", "/v1/rules/x", b"[" * 1_000_000) == (400, "too_deep")
    assert refused("POST", "/v1/rehearsals", b"x" * 33_600_000) == (413, "request_too_large")
    assert refused("POST", "/v1/rehearsals", b" " * 32_000_000 + b"{}") == (422, "invalid")
