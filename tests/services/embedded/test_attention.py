"""What needs a person: each count is that of the list behind its link, and what is well is not in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, update

from backbone import notices
from backbone.database import Database
from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from schemas.notices import NoticeKind
from services.actions.storage import endpoints
from services.actions.tables import actions, documents
from services.actions.task_mail_tables import task_mails
from services.app import running
from services.rules.service import RulesService
from tests.conftest import KafkaServer
from tests.migrated import migrated
from tests.services.embedded.house_kit import House
from tests.services.ingest.kit import park

DAY = 86_400_000_000
NOW = 1_772_409_600_000_000  # 2 March 2026
WHEN = {"threshold": {"event": "called", "at_least": 1}}
ASKED = {"email": {"template": "asked", "approve": True}}
AWAITING = "/v1/actions?reason=awaiting_approval"
QUIET = {"absence": {"event": "login", "for": "1d"}}


class AttentiveHouse(House):
    """A running server."""

    def items(self, **headers: str) -> dict[str, dict[str, Any]]:
        """What needs a person, by kind and path."""
        found = self.call("GET", "/v1/attention", headers=headers)["items"]
        return {f"{one['kind']} {one['link'].partition('?')[0]}": one for one in found}

    def listed(self, link: str) -> list[dict[str, Any]]:
        """The whole list behind a link."""
        found, cursor = [], None
        joint = "&" if "?" in link else "?"
        while True:
            page = self.call("GET", link + ("" if cursor is None else f"{joint}cursor={cursor}"))
            found += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return found


@pytest.fixture(params=["small", pytest.param("large", marks=[pytest.mark.kafka, pytest.mark.postgres])])
def house(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[AttentiveHouse]:
    given: dict[str, Any] = {"clock": "log", "partitions": 1}
    if request.param == "large":
        kafka: KafkaServer = request.getfixturevalue("kafka")
        given |= {
            "database_url": request.getfixturevalue("fresh_postgres_url"),
            "kafka_bootstrap_servers": kafka.bootstrap_servers,
            "secret_key": "sixteen letters and more",
        }
        with closing(Database(given["database_url"])) as db:
            migrated(db)
    with running(load_settings(data_dir=tmp_path / "data", port=0, **given)) as (rooms, url):
        key = create_key(rooms.db, rooms.clock, "jo", ["admin"])
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:
            yield AttentiveHouse(rooms, client)


def trouble(house: AttentiveHouse) -> None:
    """Something of every kind, and beside each something that is well."""
    known = {"tier": "high", "contacts": [{"id": "a", "email": "a@x.test"}]}
    for account in ("acme", "beta"):
        house.call("PUT", f"/v1/accounts/{account}?time=2026-02-01T00:00:00Z", json=known)
    house.call("PUT", "/v1/templates/asked", json={"subject": "Hi", "markdown": "Hi"})
    for name, steps in (("asks", [ASKED, ASKED]), ("stops", [{"wait": "9d"}]), ("goes", [{"wait": "9d"}])):
        house.call("PUT", f"/v1/playbooks/{name}", json={"steps": steps})
        house.call("PUT", f"/v1/rules/{name}", json={"when": WHEN, "status": "active", "playbook": name})
    house.call("POST", "/v1/playbooks/stops/pause")
    for name, within in (("quiet", "1h"), ("loud", "100d")):
        alive = {"event": "login", "within": within}
        house.call("PUT", f"/v1/rules/{name}", json={"when": QUIET, "status": "active", "alive": alive})
    started = {"type": "login", "account": "acme", "time": "2026-03-01T00:00:00Z"}
    called = [{"type": "called", "account": one, "time": "2026-03-02T00:00:00Z"} for one in ("acme", "beta")]
    house.call("POST", "/v1/events", json=[started, *called])
    house.call("POST", "/v1/clock", json={"time": "2026-03-02T00:00:00Z"})
    for customer in ("cus_1", "cus_2"):
        park(house.rooms, customer, f"{customer}@x.test")
    house.settle()
    for name in ("crm", "well"):
        house.call("PUT", f"/v1/endpoints/{name}", json={"url": "https://one.test/"})
    now = NOW
    with house.rooms.db.write() as conn:
        endpoints.note(conn, [("crm", "timeout")], now - endpoints.FAILS_US)
        endpoints.note(conn, [("crm", "timeout")], now)
        notices.raise_(conn, NoticeKind.RULE_UNHEALTHY, "goes", "version 1", now, mark="1")
        notices.raise_(conn, NoticeKind.RULE_UNHEALTHY, "asks", "version 9", now, mark="9")  # saved since
        conn.execute(
            insert(actions), [ended("failed", 1, now), ended("failed", 8, now), ended("done", 1, now)]
        )
        conn.execute(insert(actions), [ended("failed", 2, now), ended("uncertain", 6, now)])
        conn.execute(
            insert(task_mails), [told("failed", 1, now), told("failed", 8, now), told("done", 1, now)]
        )
        conn.execute(insert(task_mails), [told("failed", 2, now), told("uncertain", 6, now)])
        broken = {"steps": [{"wait": "soon"}]}
        of_asks = (documents.versions.c.kind == "playbook", documents.versions.c.name == "asks")
        conn.execute(update(documents.versions).where(*of_asks).values(doc=broken))


def ended(status: str, days: int, now: int) -> dict[str, Any]:
    """An action that was due so many days ago."""
    at = now - days * DAY
    return {
        "id": f"act_{status}_{days}", "partition": 0, "play": "none", "playbook": "goes", "account": "acme",
        "channel": "webhook", "step": "0", "recipient": "crm", "addressee": "crm", "topic": "lifecycle",
        "status": status, "created_at": at, "due_at": at, "rendered": {"body": {}},
    }  # fmt: skip


def told(status: str, days: int, now: int) -> dict[str, Any]:
    """A mail to an assignee that was due so many days ago."""
    return {
        "id": f"tm_{status}_{days}", "kind": "made", "assigned": "jo@us.test", "address": "jo@us.test",
        "status": status, "due_at": now - days * DAY, "done_at": now,
    }  # fmt: skip


def test_each_count_is_that_of_the_list_behind_its_link(house: AttentiveHouse) -> None:
    house.settle()
    assert house.items() == {}
    trouble(house)
    found = house.items()
    counts = {name: one["count"] for name, one in found.items()}
    assert counts == {
        "unmatched /v1/unmatched": 2, "unhealthy /v1/rules": 1, "silent /v1/rules": 1, "held /v1/plays": 2,
        "awaiting_approval /v1/actions": 4,
        "failed /v1/actions": 2, "uncertain /v1/actions": 1,
        "failed /v1/task-mails/deliveries": 2, "uncertain /v1/task-mails/deliveries": 1,
        "unhealthy /v1/playbooks": 1, "disabled /v1/endpoints": 1,
    }  # fmt: skip
    lists = {name: house.listed(one["link"]) for name, one in found.items()}
    assert {name: len(items) for name, items in lists.items()} == counts
    named = {name: [one["name"] for one in items] for name, items in lists.items() if "name" in items[0]}
    assert named == {
        "unhealthy /v1/rules": ["goes"], "silent /v1/rules": ["quiet"], "unhealthy /v1/playbooks": ["asks"],
        "disabled /v1/endpoints": ["crm"],
    }  # fmt: skip
    parked = lists["unmatched /v1/unmatched"]
    assert found["unmatched /v1/unmatched"]["oldest"] == min(one["received_at"] for one in parked)
    since = {name: one["oldest"] for name, one in found.items()}
    assert since["held /v1/plays"] == min(one["held_at"] for one in lists["held /v1/plays"])
    assert since["failed /v1/actions"] == min(one["due_at"] for one in lists["failed /v1/actions"])
    assert since["silent /v1/rules"] == "2026-03-01T00:00:00Z"
    assert since["disabled /v1/endpoints"] == since["unhealthy /v1/rules"] == "2026-03-02T00:00:00Z"
    assert {one["name"] for one in house.listed("/v1/endpoints?status=active")} == {"well"}
    well = {one["name"] for one in house.listed("/v1/rules?unhealthy=false&silent=false")}
    assert well == {"asks", "stops", "loud"}
    assert {one["name"] for one in house.listed("/v1/playbooks?unhealthy=false")} == {"stops", "goes"}


def test_it_says_that_sending_is_off_and_that_a_worker_is_behind(house: AttentiveHouse) -> None:
    house.call("PUT", "/v1/sending", json={"status": "off", "reason": "wrong prices"})
    off = house.items()["sending_off /v1/actions"]
    assert (off["count"], off["oldest"]) == (0, house.call("GET", "/v1/sending")["at"])
    house.call("PUT", "/v1/endpoints/crm", json={"url": "https://one.test/"})
    house.call("PUT", "/v1/playbooks/posts", json={"steps": [{"webhook": {"endpoint": "crm"}}]})
    house.call("PUT", "/v1/rules/posts", json={"when": WHEN, "status": "active", "playbook": "posts"})
    house.call("POST", "/v1/events", json={"type": "called", "account": "acme"})
    house.settle()
    off = house.items()["sending_off /v1/actions"]
    assert off["count"] == len(house.listed(off["link"])) == 1
    (rules,) = [one for one in house.rooms.services if isinstance(one, RulesService)]
    rules.worker.stop()
    house.call("POST", "/v1/events", json=[{"type": "called", "account": f"a{n}"} for n in range(3)])
    behind = house.items()["behind /v1/status"]
    assert behind["count"] == house.call("GET", behind["link"])["services"]["rules"]["lag"] == 3
    house.call("PUT", "/v1/sending", json={"status": "on"})
    assert "sending_off /v1/actions" not in house.items()


def test_what_a_key_may_not_read_is_left_out(house: AttentiveHouse) -> None:
    trouble(house)
    db, clock = house.rooms.db, house.rooms.clock
    for scope, wanted in (
        ("rules:read", {"/v1/rules", "/v1/unmatched"}),
        (
            "actions:read",
            {"/v1/plays", "/v1/actions", "/v1/task-mails/deliveries", "/v1/playbooks", "/v1/endpoints"},
        ),
    ):
        key = create_key(db, clock, scope, [scope])
        found = house.items(authorization=f"Bearer {key}")
        assert {name.partition(" ")[2] for name in found} == wanted
    page = create_key(db, clock, "page", ["track"])
    assert house.client.get("/v1/attention", headers={"authorization": f"Bearer {page}"}).status_code == 403


def test_what_is_done_leaves_it(house: AttentiveHouse) -> None:
    trouble(house)
    held = house.listed("/v1/plays?status=held")
    house.call("POST", f"/v1/plays/{held[0]['id']}/discard")
    assert house.items()["held /v1/plays"]["count"] == 1
    house.call("POST", "/v1/endpoints/crm/enable")
    assert "disabled /v1/endpoints" not in house.items()
    house.call("POST", "/v1/rules/quiet/pause")
    assert "silent /v1/rules" not in house.items()
    house.call("POST", "/v1/actions/approve", json={"ids": [one["id"] for one in house.listed(AWAITING)][:3]})
    assert house.items()["awaiting_approval /v1/actions"]["count"] == 1
