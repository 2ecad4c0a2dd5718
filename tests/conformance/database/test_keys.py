"""API keys over HTTP on both databases: made, listed and revoked, and the last admin key stays."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.web.api_keys import create_key, list_keys, revoke_key
from tests.conformance.database.reading import NOW, Reader
from tests.migrated import migrated

CLOCK = ManualClock(NOW)
JO = {"name": "jo", "scopes": ["rules:read", "actions:write"], "email": " Jo@us.test "}


@pytest.fixture
def reader(db: Database, tmp_path: Path) -> Iterator[Reader]:
    migrated(db, ["backbone"])
    made = Reader(db, tmp_path / "log")
    yield made
    made.close()


def as_key(reader: Reader, key: str, path: str) -> httpx.Response:
    return reader.client.get(path, headers={"authorization": f"Bearer {key}"})


def names(reader: Reader, **asked: Any) -> list[str]:
    return [one["name"] for one in reader.whole("/v1/keys", limit=2, **asked)]


def test_a_key_is_made_shown_once_and_revoked(reader: Reader) -> None:
    once = {"Idempotency-Key": "k"}
    made = reader.client.post("/v1/keys", json=JO, headers=once)
    assert (made.status_code, made.headers["location"]) == (201, "/v1/keys/jo")
    key = made.json()["key"]
    again = reader.client.post("/v1/keys", json=JO, headers=once)
    assert (again.status_code, again.json()) == (201, {k: v for k, v in made.json().items() if k != "key"})
    shown = {"name": "jo", "scopes": ["actions:write", "rules:read"], "email": "Jo@us.test"}
    assert as_key(reader, key, "/v1/me").json() == shown
    assert reader.client.get("/v1/me").json() == {"name": "test", "scopes": ["admin"], "email": None}
    (listed,) = reader.whole("/v1/keys", limit=9, name="jo")
    assert shown.items() <= listed.items()
    assert listed["revoked_at"] is None
    assert key.startswith(listed["prefix"])
    assert key not in str(listed)
    assert reader.client.delete("/v1/keys/jo").status_code == 204
    assert as_key(reader, key, "/v1/me").status_code == 401
    assert (names(reader), names(reader, revoked=True)) == (["test"], ["jo"])
    assert reader.client.delete("/v1/keys/jo").status_code == 404
    assert reader.client.post("/v1/keys", json=JO).status_code == 201, "the name is free again"


def test_only_an_admin_sees_or_changes_keys(reader: Reader) -> None:
    key = create_key(
        reader.db, CLOCK, "reader", ["rules:read", "rules:write", "actions:write", "events:write"]
    )
    allowed = {"authorization": f"Bearer {key}"}
    assert as_key(reader, key, "/v1/me").status_code == 200
    assert as_key(reader, key, "/v1/keys").status_code == 403
    assert reader.client.post("/v1/keys", json=JO, headers=allowed).status_code == 403
    assert reader.client.delete("/v1/keys/test", headers=allowed).status_code == 403
    assert as_key(reader, create_key(reader.db, CLOCK, "page", ["track"]), "/v1/me").status_code == 403
    assert sorted(names(reader)) == ["page", "reader", "test"]


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["rules:*"]}, "scopes.0"),
        ({"email": "jo"}, "email"),
        ({"emial": "jo@us.test"}, "emial"),
    ],
)
def test_what_is_wrong_is_named(reader: Reader, wrong: dict[str, Any], field: str) -> None:
    answer = reader.client.post("/v1/keys", json=JO | wrong)
    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (422, [field])


def test_a_name_is_taken_once_and_one_delete_revokes_all_that_the_command_gave_it(reader: Reader) -> None:
    for _ in range(2):
        create_key(reader.db, CLOCK, "ci/cd", ["rules:read"])
    assert reader.client.post("/v1/keys", json=JO | {"name": "ci/cd"}).status_code == 409
    first = reader.whole("/v1/keys", limit=9, name="ci/cd")[0]["id"]
    assert reader.client.delete(f"/v1/keys/{first}").status_code == 204
    assert len(reader.whole("/v1/keys", limit=9, name="ci/cd")) == 1
    assert reader.client.delete("/v1/keys/ci/cd").status_code == 204
    assert names(reader) == ["test"]


def test_the_last_admin_key_is_not_revoked_here(reader: Reader) -> None:
    refused = reader.client.delete("/v1/keys/test")
    assert (refused.status_code, refused.json()["code"]) == (409, "state")
    assert "the last key with the scope admin" in refused.json()["detail"]
    create_key(reader.db, CLOCK, "other", ["admin", "rules:read"])
    assert reader.client.delete("/v1/keys/other").status_code == 204, "one that is not the last"
    assert reader.client.delete("/v1/keys/test").status_code == 409, "a revoked one counts no more"
    assert revoke_key(reader.db, CLOCK, "test", wait=0) == 1, "the command may"


def test_two_admins_who_revoke_each_other_at_once_leave_one(reader: Reader) -> None:
    keys = {name: create_key(reader.db, CLOCK, name, ["admin"]) for name in ("a", "b")}
    revoke_key(reader.db, CLOCK, "test", wait=0)

    def revoke(who: str, whom: str) -> int:
        allowed = {"authorization": f"Bearer {keys[who]}"}
        return reader.client.delete(f"/v1/keys/{whom}", headers=allowed).status_code

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(revoke, "ab", "ba"))
    working = [one.name for one in list_keys(reader.db) if one.revoked_at is None]
    assert len(working) == 1
    assert said.count(204) == 1


def test_changes_are_in_the_audit_without_the_key_and_the_address(reader: Reader) -> None:
    key = reader.client.post("/v1/keys", json=JO).json()["key"]
    reader.client.delete("/v1/keys/jo")
    revoked, made = reader.whole("/v1/audit", limit=9, object="key/jo")
    assert (made["actor"], made["method"], made["before"]) == ("test", "POST", None)
    assert (revoked["route"], revoked["after"]) == ("/v1/keys/{name:path}", None)
    assert key[3:] not in str((made, revoked))
    assert "us.test" not in str((made, revoked))
