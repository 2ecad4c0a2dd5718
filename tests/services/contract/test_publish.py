"""Contract, sections 6 and 11: versions that are saved and not in force, put into force, and rolled back to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from backbone.settings import load_settings
from services.actions.tables import documents
from services.app import Runtime, running
from services.rules.tables import versions as rule_versions

WHEN = {"threshold": {"event": "ticket", "at_least": 3}}
STEPS = [
    {"email": {"template": "hello", "to": "all"}},
    {"wait": "1d"},
    {"email": {"template": "hello", "to": "all"}},
]
KINDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "rules": ({"when": WHEN}, {"when": WHEN, "description": "second"}),
    "playbooks": ({"steps": [{"wait": "1d"}]}, {"steps": [{"wait": "2d"}]}),
    "templates": ({"subject": "One", "markdown": "Hi"}, {"subject": "Two", "markdown": "Hi"}),
    "endpoints": ({"url": "https://one.test/"}, {"url": "https://two.test/"}),
}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, Runtime]]:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"), port=0, partitions=1, clock="log")
    with running(settings) as (rooms, url):
        key = (rooms.settings.data_dir / "admin.key").read_text().strip()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            yield client, rooms


@pytest.fixture
def api(house: tuple[httpx.Client, Runtime]) -> httpx.Client:
    return house[0]


def settled(api: httpx.Client) -> None:
    while not api.get("/v1/status").json()["idle"]:
        time.sleep(0.02)


def save(api: httpx.Client, path: str, body: dict[str, Any], **query: Any) -> dict[str, Any]:
    answer = api.put(f"/v1/{path}", json=body, params=query)
    assert answer.status_code in {200, 201}, answer.text
    said: dict[str, Any] = answer.json()
    return said


def publish(api: httpx.Client, path: str, version: int, **more: Any) -> dict[str, Any]:
    answer = api.post(f"/v1/{path}/versions/{version}/publish", **more)
    assert answer.status_code == 200, answer.text
    said: dict[str, Any] = answer.json()
    return said


def versions(api: httpx.Client, path: str) -> list[tuple[int, bool]]:
    return [(one["version"], one["in_force"]) for one in api.get(f"/v1/{path}/versions").json()["items"]]


@pytest.mark.parametrize("kind", KINDS)
def test_a_version_waits_until_it_is_published(api: httpx.Client, kind: str) -> None:
    first, second = KINDS[kind]
    path = f"{kind}/waits"
    save(api, path, first)
    kept = api.put(f"/v1/{path}", json=second, params={"publish": "false"})
    assert (kept.status_code, kept.json()["version"], kept.json()["in_force"]) == (200, 2, False)
    assert kept.headers["etag"] == '"1"', "the one in force"
    now = api.get(f"/v1/{path}")
    assert (now.json()["version"], now.headers["etag"]) == (1, '"1"')
    assert first.items() <= now.json().items()
    assert versions(api, path) == [(2, False), (1, True)]
    assert second.items() <= publish(api, path, 2).items()
    assert versions(api, path) == [(2, True), (1, False)]
    assert first.items() <= publish(api, path, 1).items()
    assert versions(api, path) == [(2, False), (1, True)], "publishing makes no version"
    assert save(api, path, second)["version"] == 3
    assert (
        save(api, path, api.get(f"/v1/{path}/versions").json()["items"][1])["version"] == 4
    )  # as it was shown


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_new_one_nothing_is_there_until_then(api: httpx.Client, kind: str) -> None:
    first, second = KINDS[kind]
    path = f"{kind}/new"
    made = api.post(f"/v1/{kind}", json=first | {"name": "new"}, params={"publish": "false"})
    assert (made.status_code, made.headers["location"]) == (201, f"/v1/{path}/versions")
    assert "etag" not in made.headers
    assert api.get(f"/v1/{path}").status_code == api.delete(f"/v1/{path}").status_code == 404
    assert "new" not in [one["name"] for one in api.get(f"/v1/{kind}").json()["items"]]
    assert save(api, path, second, publish=False)["version"] == 2
    assert publish(api, path, 1)["version"] == 1
    taken = api.post(f"/v1/{kind}", json=first | {"name": "new"}, params={"publish": "false"})
    assert (taken.status_code, taken.json()["code"]) == (409, "name_taken")
    assert api.delete(f"/v1/{path}").status_code == 204
    assert versions(api, path) == [(3, False), (2, False), (1, False)]
    deletion = api.post(f"/v1/{path}/versions/3/publish")
    assert (deletion.status_code, deletion.json()["code"]) == (409, "state")
    assert publish(api, path, 2)["version"] == 2, "it is brought back"
    if kind == "rules":
        assert api.get(f"/v1/{path}").json()["status"] == "draft"


@pytest.mark.parametrize("kind", KINDS)
def test_what_cannot_be_published(api: httpx.Client, kind: str) -> None:
    first, second = KINDS[kind]
    path = f"{kind}/guarded"
    save(api, path, first)
    save(api, path, second, publish=False)
    for stale in (
        api.post(f"/v1/{path}/versions/2/publish", headers={"If-Match": '"2"'}),
        api.put(f"/v1/{path}", json=first, params={"publish": "false"}, headers={"If-Match": '"2"'}),
    ):
        assert stale.status_code == 412
    assert api.post(f"/v1/{path}/versions/9/publish").status_code == 404
    assert api.post(f"/v1/{kind}/never/versions/1/publish").status_code == 404
    assert api.post(f"/v1/{path}/versions/x/publish").status_code == 422
    assert versions(api, path) == [(2, False), (1, True)]
    assert publish(api, path, 2, headers={"If-Match": '"1"'})["version"] == 2


def test_a_version_that_can_no_longer_be_read_says_why(house: tuple[httpx.Client, Runtime]) -> None:
    api, rooms = house
    for kind, (first, second) in KINDS.items():
        path = f"{kind}/old"
        save(api, path, first)
        save(api, path, second)
        table = rule_versions if kind == "rules" else documents.versions
        doc = {**first, "name": "old", "mood": "grim"}
        mine = (table.c.name == "old") & (table.c.version == 1)
        if kind != "rules":
            mine &= table.c.kind == kind[:-1]
        with rooms.db.write() as conn:
            conn.execute(update(table).where(mine).values(doc=doc))
        refused = api.post(f"/v1/{path}/versions/1/publish")
        assert (refused.status_code, refused.json()["code"]) == (422, "unreadable"), refused.text
        assert "version 1 can no longer be read: mood" in refused.json()["detail"]
        assert versions(api, path)[0] == (2, True)


def test_the_status_is_no_part_of_a_version(api: httpx.Client) -> None:
    path = "rules/status"
    save(api, path, {"when": WHEN, "status": "active"})
    made = api.get(f"/v1/{path}").headers["etag"]
    kept = save(api, path, {"when": WHEN, "description": "two", "status": "paused"}, publish=False)
    assert (kept["version"], kept["status"]) == (2, "active")
    paused = api.post(f"/v1/{path}/pause", headers={"If-Match": made})
    assert (paused.json()["version"], paused.json()["status"]) == (1, "paused")
    assert publish(api, path, 2)["status"] == "paused", (
        "it stays paused, although it was active when it was saved"
    )
    assert publish(api, path, 1)["status"] == "paused", "and although version 1 was active"
    assert versions(api, path) == [(2, False), (1, True)]
    shown = api.get(f"/v1/{path}/versions").json()["items"]
    assert [one.get("status") for one in shown] == [None, "paused"]
    for stale in (made, '"1-active"'):
        assert api.put(f"/v1/{path}", json={"when": WHEN}, headers={"If-Match": stale}).status_code == 412
    now = api.get(f"/v1/{path}").headers["etag"]
    assert api.put(f"/v1/{path}", json={"when": WHEN}, headers={"If-Match": now}).json()["version"] == 3
    backfill = api.put(
        f"/v1/{path}", json={"when": WHEN, "status": "active", "backfill": True}, params={"publish": "false"}
    )
    assert [error["field"] for error in backfill.json()["errors"]] == ["backfill"]


def fired(api: httpx.Client, rule: str) -> list[tuple[int, str]]:
    settled(api)
    items = api.get("/v1/triggers", params={"rule": rule}).json()["items"]
    return [(one["rule_version"], one["event_id"]) for one in reversed(items)]


def post(api: httpx.Client, name: str, type_: str = "call", account: str = "acme") -> None:
    api.post("/v1/events", json={"id": name, "type": type_, "account": account}).raise_for_status()


def test_a_version_that_is_not_published_never_fires(api: httpx.Client) -> None:
    def rule(at_least: int) -> dict[str, Any]:
        return {
            "when": {"threshold": {"event": "call", "at_least": at_least}},
            "cooldown": "0s",
            "status": "active",
        }

    path = "rules/calls"
    save(api, path, rule(3))
    post(api, "c1")
    settled(api)
    save(api, path, rule(1), publish=False)
    save(
        api,
        "rules/never",
        {"when": {"threshold": {"event": "call", "at_least": 1}}, "status": "active"},
        publish=False,
    )
    post(api, "c2")
    assert fired(api, "calls") == fired(api, "never") == []
    assert api.get("/v1/rules/calls/explain", params={"account": "acme"}).json()["threshold"] == 3
    publish(api, path, 2)
    assert api.get("/v1/rules/calls/explain", params={"account": "acme"}).json()["value"] >= 1, (
        "its state survives"
    )
    post(api, "c3")
    assert fired(api, "calls") == [(2, "c3")]
    publish(api, path, 1)
    post(api, "c4")
    assert fired(api, "calls") == [(2, "c3"), (1, "c4")], "three calls and more have come: the count went on"
    save(api, path, rule(100))
    publish(api, path, 3)
    publish(api, path, 3)
    post(api, "c5")
    assert fired(api, "calls") == [(2, "c3"), (1, "c4")]
    assert fired(api, "never") == []


def test_a_play_keeps_its_versions_when_others_are_published(api: httpx.Client) -> None:
    contacts = [{"id": "ann", "email": "ann@acme.test", "roles": ["admin"]}]
    for account in ("first", "later"):
        api.put(f"/v1/accounts/{account}", json={"contacts": contacts}).raise_for_status()
    save(api, "templates/hello", {"subject": "Old", "markdown": "Hi"})
    save(api, "playbooks/greet", {"steps": STEPS})
    when = {"threshold": {"event": "greeted", "at_least": 1}}
    save(api, "rules/greet", {"when": when, "playbook": "greet", "status": "active"})
    post(api, "g1", "greeted", "first")
    settled(api)
    save(api, "templates/hello", {"subject": "New", "markdown": "Hi"}, publish=False)
    save(api, "playbooks/greet", {"steps": [{"email": {"template": "hello", "to": "all"}}]}, publish=False)
    post(api, "g2", "greeted", "later")
    settled(api)
    assert subjects(api, "later") == ["Old"], "saved and not in force: it is not sent"
    publish(api, "templates/hello", 2)
    publish(api, "playbooks/greet", 2)
    now = datetime.fromisoformat(api.get("/v1/status").json()["services"]["rules"]["clock"])
    later = {"time": (now + timedelta(days=2)).isoformat()}
    assert api.post("/v1/clock", json=later).status_code == 202
    settled(api)
    assert subjects(api, "first") == subjects(api, "later") == ["Old", "Old"]
    post(api, "g3", "greeted", "first")
    assert subjects(api, "first")[2:] == ["New"]


def subjects(api: httpx.Client, account: str) -> list[str]:
    settled(api)
    items = api.get("/v1/actions", params={"account": account}).json()["items"]
    shown = [api.get(f"/v1/actions/{one['id']}").json() for one in reversed(items)]
    return [one["rendered"]["subject"] for one in shown]


def test_others_are_told_of_what_is_in_force(api: httpx.Client) -> None:
    save(api, "templates/used", {"subject": "Hi", "markdown": "Hi"})
    save(api, "playbooks/user", {"steps": [{"email": {"template": "used"}}]})
    save(api, "playbooks/user", {"steps": [{"wait": "1d"}]}, publish=False)
    assert api.delete("/v1/templates/used").json()["code"] == "in_use", "by the version in force"
    publish(api, "playbooks/user", 2)
    assert api.delete("/v1/templates/used").status_code == 204, "a version that is not in force holds nothing"
    refused = api.post("/v1/playbooks/user/versions/1/publish")
    assert (refused.status_code, refused.json()["errors"]) == (
        422,
        [{"field": "steps.0.email.template", "message": "there is no template 'used'"}],
    )
    save(api, "rules/user", {"when": WHEN, "playbook": "user", "status": "active"})
    save(api, "rules/user", {"when": WHEN}, publish=False)
    assert api.delete("/v1/playbooks/user").json()["code"] == "in_use"
    publish(api, "rules/user", 2)
    assert api.delete("/v1/playbooks/user").status_code == 204
    gone = publish(api, "rules/user", 1)
    assert "playbook" in [one["field"] for one in gone["warnings"]]


def test_an_endpoint_goes_back_to_the_secret_of_its_version(api: httpx.Client) -> None:
    path = "endpoints/signed"
    save(api, path, {"url": "https://one.test/", "secret": "whsec_" + "YQ" * 22 + "=="})
    shown = save(
        api, path, {"url": "https://one.test/", "secret": "whsec_" + "Yg" * 22 + "=="}, publish=False
    )
    assert "secret" in shown
    assert (
        "secret" not in publish(api, path, 2) | publish(api, path, 1) | api.get(f"/v1/{path}/versions").json()
    )
