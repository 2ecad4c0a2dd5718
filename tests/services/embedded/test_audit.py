"""Contract, section 11: who did what. Every change that succeeded has its entry, and nothing else has one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import insert, select, update

from backbone.audit import masked, prune
from backbone.settings import load_settings
from backbone.tables import audit
from backbone.web.api_keys import create_key, revoke_key
from backbone.web.audit import trail_of
from services.actions.storage import endpoints
from services.actions.tables import actions
from services.app import running
from tests.services.embedded.house_kit import House
from tests.services.ingest.kit import park

WHEN = {"threshold": {"event": "called", "at_least": 1}}
SECRET = "whsec_" + "YQ" * 22 + "=="
KEY = "a-key-of-the-receiver"
NAMES = ("Ann Smith", "ann@acme.test", "Acme Incorporated", "call Ann", "she is ill")
CONTACT = {"id": "ann", "name": "Ann Smith", "email": "ann@acme.test"}
ACCOUNT = {"name": "Acme Incorporated", "contacts": [CONTACT], "owner": {"name": "Jo", "email": "jo@us.test"}}
TASK = {"account": "acme", "contact": "ann", "title": "call Ann", "body": "she is ill", "assignee": "owner"}
DOCUMENTS = {
    "rules": ({"when": WHEN, "playbook": "chase"}, {"when": WHEN, "status": "active", "playbook": "chase"}),
    "playbooks": ({"steps": [{"wait": "1d"}]}, {"steps": [{"wait": "90d"}]}),
    "templates": ({"subject": "One", "markdown": "Hi"}, {"subject": "Two", "markdown": "Hi"}),
    "topics": ({"title": "Billing"}, {"title": "Invoices"}),
    "endpoints": (
        {"url": "https://one.test/", "secret": SECRET, "headers": {"X-Key": KEY}, "auth": {"bearer": KEY}},
        {"url": "https://two.test/"},
    ),
    "sources": (
        {
            "verify": {"scheme": "stripe", "secret": KEY},
            "events": [{"type": "called", "account": {"id": "id"}}],
        },
        {
            "verify": {"scheme": "basic", "username": "x", "password": KEY},
            "events": [{"type": "x", "account": {"id": "id"}}],
        },
    ),
}


class AuditedHouse(House):
    """All services in one, and what was called of them."""

    def audit(self, **query: Any) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = self.call("GET", "/v1/audit", params=query)["items"]
        return items

    def latest(self, object_: str) -> dict[str, Any]:
        return self.audit(object=object_)[0]


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuditedHouse]:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"), port=0, partitions=1, clock="log")
    with running(settings) as (rooms, url):
        key = create_key(rooms.db, rooms.clock, "jo", ["admin"])
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            yield AuditedHouse(rooms, client)


# One real call, or more, of every route that changes something: `{id}` is filled in by what is made beforehand, and
# `{several}` in a body too.
CALLS: list[tuple[str, str, Any]] = [
    *(("POST", f"/v1/{kind}", first | {"name": "chase"}) for kind, (first, _) in reversed(DOCUMENTS.items())),
    *(("PUT", f"/v1/{kind}/chase", second) for kind, (_, second) in reversed(DOCUMENTS.items())),
    *(("POST", f"/v1/{kind}/chase/versions/1/publish", None) for kind in DOCUMENTS),
    *(("POST", f"/v1/rules/chase/{verb}", None) for verb in ("shadow", "pause", "activate")),
    ("POST", "/v1/rules/chase/start", {"subjects": [{"account": "acme"}, {"account": "nobody"}]}),
    ("POST", "/v1/endpoints/chase/enable", None),
    ("POST", "/v1/endpoints/chase/retry", {"after": "2020-01-01T00:00:00Z"}),
    ("PUT", "/v1/sending", {"status": "off", "reason": "by mistake"}),
    ("PUT", "/v1/sending", {"status": "on"}),
    ("PUT", "/v1/tiers", {"tiers": [{"tier": "low"}]}),
    ("PUT", "/v1/policy", {"hours": {"from": "08:00", "to": "18:00"}}),
    ("PUT", "/v1/aliases", {"aliases": {"rang": "called"}}),
    ("PUT", "/v1/brand", {"name": "Acme", "postal_address": "1 Main Street"}),
    ("PUT", "/v1/task-mails", {"made": True}),
    ("POST", "/v1/tasks", TASK),
    ("POST", "/v1/tasks/{task}/snooze", {"until": "2090-01-01T00:00:00Z"}),
    ("POST", "/v1/tasks/{task}/reassign", {"assignee": "kim@us.test"}),
    ("POST", "/v1/tasks/{task}/complete", {"note": "she is ill", "outcome": "reached"}),
    ("POST", "/v1/actions/{approved}/approve", {"subject": "she is ill", "markdown": "call Ann"}),
    ("POST", "/v1/actions/{rejected}/reject", {"reason": "she is ill"}),
    ("POST", "/v1/actions/approve", {"ids": ["{several}", "nothing"]}),
    ("POST", "/v1/actions/{skipped}/retry", None),
    ("POST", "/v1/plays/{play}/exit", None),
    ("POST", "/v1/plays/{first}/release", None),
    ("POST", "/v1/plays/{second}/discard", None),
    ("POST", "/v1/playbooks/chase/pause", {"reason": "wrong text"}),
    ("POST", "/v1/playbooks/chase/resume", {"held": "discard"}),
    ("POST", "/v1/keys", {"name": "kim", "scopes": ["rules:read"], "email": "kim@us.test"}),
    ("DELETE", "/v1/keys/kim", None),
    ("POST", "/v1/suppressions", {"address": "ann@acme.test", "reason": "asked by phone"}),
    ("DELETE", "/v1/suppressions/ann@acme.test", None),
    ("POST", "/v1/unmatched/unm_assigned/assign", {"account": "acme", "learn": True}),
    ("DELETE", "/v1/unmatched/unm_deleted", None),
    *(("DELETE", f"/v1/{kind}/chase", None) for kind in DOCUMENTS),
]


def the_plays(house: AuditedHouse) -> dict[str, str]:
    """The ids of an open play, of two that are held, of three mails that await an approval, and of one that is
    skipped."""
    house.call("PUT", "/v1/accounts/acme", json=ACCOUNT)
    asked = {"email": {"template": "asked", "approve": True}}
    house.call("PUT", "/v1/templates/asked", json={"subject": "Hi", "markdown": "Hi"})
    house.call("PUT", "/v1/playbooks/asks", json={"steps": [asked] * 3})
    house.call("PUT", "/v1/rules/asks", json={"when": WHEN, "status": "active", "playbook": "asks"})
    house.call("POST", "/v1/suppressions", json={"address": "gone@acme.test"})
    gone = {"email": {"template": "asked", "to": "gone@acme.test"}}
    house.call("PUT", "/v1/playbooks/gone", json={"steps": [gone]})
    house.call("PUT", "/v1/rules/gone", json={"when": WHEN, "status": "active", "playbook": "gone"})
    for name in ("first", "second"):
        house.call("PUT", f"/v1/playbooks/{name}", json={"steps": [{"wait": "90d"}]})
        house.call("POST", f"/v1/playbooks/{name}/pause")
        house.call("PUT", f"/v1/rules/{name}", json={"when": WHEN, "status": "active", "playbook": name})
    house.call("PUT", "/v1/playbooks/waits", json={"steps": [{"wait": "90d"}]})
    house.call("PUT", "/v1/rules/waits", json={"when": WHEN, "status": "active", "playbook": "waits"})
    house.call("POST", "/v1/events", json={"type": "called", "account": "acme", "contact": "ann"})
    house.settle()
    (play,) = house.call("GET", "/v1/plays", params={"status": "open"})["items"]
    held = house.call("GET", "/v1/plays", params={"status": "held"})["items"]
    mails = house.call("GET", "/v1/actions", params={"reason": "awaiting_approval"})["items"]
    (skipped,) = house.call("GET", "/v1/actions", params={"reason": "suppressed"})["items"]
    named = zip(("approved", "rejected", "several"), (str(one["id"]) for one in mails), strict=True)
    return {
        "play": str(play["id"]),
        **{one["playbook"]: str(one["id"]) for one in held},
        **dict(named),
        "skipped": skipped["id"],
    }


def an_endpoint_that_failed(house: AuditedHouse, play: str) -> None:
    """It is disabled, and a webhook to it has failed."""
    rooms, now = house.rooms, house.rooms.clock.now()
    action = {
        "id": "act_failed", "partition": 0, "play": play, "playbook": "waits", "account": "acme", "channel": "webhook",
        "step": "0", "recipient": "chase", "addressee": "chase", "topic": "lifecycle", "status": "failed",
        "created_at": now, "due_at": now, "rendered": {"body": {}},
    }  # fmt: skip
    with rooms.db.write() as conn:
        endpoints.note(conn, [("chase", "rejected")], now - endpoints.FAILS_US)
        endpoints.note(conn, [("chase", "rejected")], now)
        conn.execute(insert(actions), [action])


@pytest.fixture(scope="module")
def called(house: AuditedHouse) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Every call once, and the entries that each has made, by method and route."""
    ids = {**the_plays(house), "task": ""}
    park(house.rooms, "unm_assigned", "kim@acme.test")
    park(house.rooms, "unm_deleted", "lou@acme.test")
    entries: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for method, path, body in CALLS:
        if path.endswith("/enable"):
            an_endpoint_that_failed(house, ids["play"])
        before = {one["id"] for one in house.audit(limit=1000)}
        once = {"Idempotency-Key": path} if method == "POST" else {}
        text = json.dumps(body).replace("{several}", ids["several"])
        said = house.call(
            method, path.format(**ids), headers=once, **({} if body is None else {"json": json.loads(text)})
        )
        if path == "/v1/tasks":
            ids["task"] = said["id"]
        new = [one for one in house.audit(limit=1000) if one["id"] not in before]
        assert len(new) == 1, (method, path)
        entries.setdefault((new[0]["method"], new[0]["route"]), []).append(new[0])
    return entries


def test_every_route_that_changes_something_is_called_here(
    house: AuditedHouse, called: dict[tuple[str, str], list[dict[str, Any]]]
) -> None:
    """A route that takes the trail writes its entry: add one of your calls to `CALLS`."""
    changing = {
        (method, route.path)
        for route in house.rooms.app.routes
        if isinstance(route, APIRoute) and any(one.call is trail_of for one in route.dependant.dependencies)
        for method in route.methods or ()
    }
    assert changing == set(called)


def test_an_entry_says_who_did_what(
    house: AuditedHouse, called: dict[tuple[str, str], list[dict[str, Any]]]
) -> None:
    every = [one for entries in called.values() for one in entries]
    assert {one["actor"] for one in every} == {"jo"}
    assert {one["service"] for one in every} == {"ingest", "rules", "actions", "backbone"}
    made = called["POST", "/v1/rules"][0]
    assert (made["object"], made["version"], made["before"]) == ("rule/chase", 1, None)
    assert made["after"] == {
        "version": 1,
        "name": "chase",
        "when": WHEN,
        "playbook": "chase",
        "status": "draft",
    }
    changed = called["PUT", "/v1/templates/{name}"][0]
    assert (changed["object"], changed["version"], changed["service"]) == ("template/chase", 2, "actions")
    assert (changed["before"]["subject"], changed["after"]["subject"]) == ("One", "Two")
    back = called["POST", "/v1/templates/{name}/versions/{version}/publish"][0]
    assert (back["version"], back["before"]["version"], back["after"]["subject"]) == (1, 2, "One")
    turned = called["POST", "/v1/rules/{name}/pause"][0]
    assert (turned["before"]["status"], turned["after"]["status"]) == ("shadow", "paused")
    ended = called["DELETE", "/v1/playbooks/{name}"][0]
    assert (ended["after"], ended["before"]["name"]) == (None, "chase")
    started = called["POST", "/v1/rules/{name}/start"][0]
    assert (started["object"], started["after"]) == ("rule/chase", {"asked_for": 2, "matching": False})
    off, on = called["PUT", "/v1/sending"]
    assert (off["object"], off["after"], on["after"]["status"]) == ("sending/sending", on["before"], "on")
    assert called["PUT", "/v1/tiers"][0]["object"] == "tiers/tiers"
    policy = called["PUT", "/v1/policy"][0]
    assert (policy["object"], policy["before"]) == ("policy/policy", None)
    assert policy["after"] == {"version": 1, "hours": {"from": "08:00", "to": "18:00"}}
    assert called["PUT", "/v1/aliases"][0]["after"] == {"aliases": {"rang": "called"}}
    branded = called["PUT", "/v1/brand"][0]
    assert (branded["object"], branded["after"]["name"]) == ("brand/brand", "Acme")
    exited = called["POST", "/v1/plays/{play}/exit"][0]
    assert (exited["before"]["status"], exited["after"]["status"], exited["after"]["reason"]) == (
        "open", "exited", "by_hand",
    )  # fmt: skip
    approved = called["POST", "/v1/actions/{action}/approve"][0]
    assert (approved["before"]["reason"], approved["after"]["reason"], approved["after"]["edited"]) == (
        "awaiting_approval", None, ["subject", "markdown"],
    )  # fmt: skip
    rejected = called["POST", "/v1/actions/{action}/reject"][0]
    assert (rejected["before"]["status"], rejected["after"]["reason"]) == ("pending", "not_approved")
    several = called["POST", "/v1/actions/approve"][0]
    assert (several["object"], len(several["after"]["approved"])) == ("action/several", 1)
    done = called["POST", "/v1/tasks/{task}/complete"][0]
    assert (done["before"]["status"], done["after"]["status"]) == ("snoozed", "completed")
    assert (done["after"]["account"], done["after"]["contact"]) == ("acme", "ann")


def test_no_secret_and_nothing_of_a_person_is_written(
    house: AuditedHouse, called: dict[tuple[str, str], list[dict[str, Any]]]
) -> None:
    endpoint = called["POST", "/v1/endpoints"][0]["after"]
    assert endpoint == {
        "version": 1, "name": "chase", "url": "https://one.test/", "secrets": "***", "headers": "***",
        "auth": {"bearer": "***"},
    }  # fmt: skip
    with house.rooms.db.read() as conn:
        kept = json.dumps([[str(cell) for cell in row] for row in conn.execute(select(audit))])
    assert "acme" in kept
    assert [name for name in (*NAMES, SECRET, KEY) if name in kept] == []


def test_what_fails_or_changes_nothing_has_no_entry(house: AuditedHouse) -> None:
    house.call("PUT", "/v1/rules/calm", json={"when": WHEN, "status": "active"})
    house.call("PUT", "/v1/templates/calm", json={"subject": "Hi", "markdown": "Hi"})
    before = house.audit()
    refused = [
        ("POST", "/v1/rules", {"name": "calm", "when": WHEN}, {}, 409),
        ("PUT", "/v1/rules/calm", {"when": {}}, {}, 422),
        ("PUT", "/v1/rules/calm", {"when": WHEN}, {"If-Match": '"9"'}, 412),
        ("POST", "/v1/rules/calm/pause", {}, {"If-Match": '"9"'}, 412),
        ("POST", "/v1/rules/calm/versions/7/publish", None, {}, 404),
        ("POST", "/v1/templates/calm/versions/1/publish", None, {"If-Match": '"9"'}, 412),
        ("PUT", "/v1/playbooks/calm", {"steps": [{"email": {"template": "none"}}]}, {}, 422),
        ("DELETE", "/v1/templates/none", None, {}, 404),
        ("DELETE", "/v1/suppressions/nobody@acme.test", None, {}, 404),
        ("POST", "/v1/tasks/none/complete", {}, {}, 404),
    ]  # fmt: skip
    for method, path, body, headers, status in refused:
        more = {} if body is None else {"json": body}
        assert house.client.request(method, path, headers=headers, **more).status_code == status, path
    house.call("POST", "/v1/rules/calm/activate")  # it is active
    house.call("POST", "/v1/rules/calm/versions/1/publish")  # it is in force
    house.call("POST", "/v1/templates/calm/versions/1/publish")
    house.call("POST", "/v1/rules/check", json={"name": "calm", "when": WHEN})
    house.call("POST", "/v1/events", json={"type": "x", "account": "acme"})
    house.call("PUT", "/v1/accounts/acme", json=ACCOUNT)
    assert house.audit() == before


def test_a_repeated_request_has_one_entry(house: AuditedHouse) -> None:
    once = {"Idempotency-Key": "once"}
    for path, body in (
        ("rules", {"name": "once", "when": WHEN}),
        ("templates", {"name": "once", **DOCUMENTS["templates"][0]}),
    ):
        for _ in range(2):
            house.call("POST", f"/v1/{path}", json=body, headers=once | {"Idempotency-Key": f"once {path}"})
        assert len(house.audit(object=f"{path[:-1]}/once")) == 1


def test_a_version_that_was_only_saved_replaces_nothing(house: AuditedHouse) -> None:
    for kind in DOCUMENTS:
        first, second = DOCUMENTS[kind]
        path = f"/v1/{kind}/apart"
        for playbook in ("playbooks", "rules"):
            house.call("PUT", f"/v1/{playbook}/apart", json=DOCUMENTS[playbook][0])
        house.call("PUT", path, json=first)
        house.call("PUT", path, json=second, params={"publish": "false"})
        entry = house.latest(f"{kind[:-1]}/apart")
        assert (entry["before"], entry["after"]["in_force"]) == (None, False)
        assert entry["version"] == entry["after"]["version"] > 1


def test_it_is_filtered_and_paged(house: AuditedHouse) -> None:
    for number in range(3):
        house.call("PUT", "/v1/templates/paged", json={"subject": str(number), "markdown": "Hi"})
    mine = house.audit(object="template/paged")
    assert [one["version"] for one in mine] == [3, 2, 1]
    first = house.call("GET", "/v1/audit", params={"object": "template/paged", "limit": 2})
    rest = house.call(
        "GET", "/v1/audit", params={"object": "template/paged", "limit": 2, "cursor": first["next_cursor"]}
    )
    assert (first["items"] + rest["items"], rest["next_cursor"]) == (mine, None)
    assert {one["object"].partition("/")[0] for one in house.audit(object="template")} == {"template"}
    assert house.audit(object="template/none") == house.audit(actor="nobody") == []
    since = house.audit(after=mine[1]["at"])
    assert mine[0] in since
    assert mine[1] not in since
    assert house.client.get("/v1/audit", params={"object": ""}).status_code == 422
    assert house.client.get("/v1/audit", params={"wher": "x"}).status_code == 422


def test_keys_made_and_revoked_by_the_command_are_in_it_and_their_secrets_are_not(
    house: AuditedHouse,
) -> None:
    db, clock = house.rooms.db, house.rooms.clock
    key = create_key(db, clock, "ci", ["rules:read"])
    revoke_key(db, clock, "ci", wait=0)
    revoked, made = house.audit(object="key/ci")
    assert (made["actor"], made["method"], made["service"]) == ("touchline keys", "keys create", "backbone")
    assert (made["before"], made["after"]["scopes"]) == (None, ["rules:read"])
    assert (revoked["method"], revoked["before"], revoked["after"]) == ("keys revoke", made["after"], None)
    assert key[3:9] not in json.dumps(house.audit(limit=1000))
    reader = create_key(db, clock, "reader", ["rules:read", "rules:write", "actions:write", "events:write"])
    refused = house.client.get("/v1/audit", headers={"authorization": f"Bearer {reader}"})
    assert refused.status_code == 403


def test_secrets_are_masked_wherever_they_stand() -> None:
    auth = {"basic": {"username": "u", "password": "p"}}
    doc = {
        "auth": auth,
        "headers": {"X-Key": "k"},
        "verify": {"secret": ["a", "b"], "scheme": "token"},
        "secret": None,
    }
    assert masked([doc, 1]) == [
        {
            "auth": {"basic": {"username": "u", "password": "***"}},
            "headers": "***",
            "verify": {"secret": "***", "scheme": "token"},
            "secret": None,
        },
        1,
    ]


def test_old_entries_leave(house: AuditedHouse) -> None:
    house.call("PUT", "/v1/templates/old", json={"subject": "Old", "markdown": "Hi"})
    db = house.rooms.db
    with db.write() as conn:
        conn.execute(update(audit).where(audit.c.name == "old").values(at=1_000))
    others = len(house.audit(limit=1000)) - 1
    prune(db, 1_000)
    assert len(house.audit(object="template/old")) == 1
    prune(db, 1_001)
    assert house.audit(object="template/old") == []
    assert len(house.audit(limit=1000)) == others
