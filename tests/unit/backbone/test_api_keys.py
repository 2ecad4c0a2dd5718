import base64
import stat
from pathlib import Path

import pytest

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.errors import DatabaseUnavailable, Forbidden, Invalid, NotFound, Unauthorized
from backbone.web.api_keys import (
    CACHE_S,
    STALE_S,
    Keys,
    create_key,
    ensure_admin_key,
    key_of,
    list_keys,
    revoke_key,
)
from schemas.key import SCOPES
from tests.migrated import migrated

CLOCK = ManualClock(1_000_000)


class Time:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path}/x.db")
    migrated(database, ["backbone"])
    return database


def test_a_key_is_stored_as_a_hash_only(db: Database, tmp_path: Path) -> None:
    key = create_key(db, CLOCK, "ci", ["events:write", "rules:read"])
    [info] = list_keys(db)
    assert (info.name, info.scopes, info.revoked_at) == ("ci", ["events:write", "rules:read"], None)
    assert key.startswith(info.prefix)
    assert len(info.prefix) < len(key) / 3
    db.close()
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert key[9:].encode() not in stored


def test_scopes(db: Database) -> None:
    keys = Keys(db)
    principal = keys.find(create_key(db, CLOCK, "x", ["rules:read"]))
    assert principal.allows("rules:read")
    assert principal.allows("any")
    assert not principal.allows("rules:write")
    assert not principal.allows("admin")
    assert keys.find(create_key(db, CLOCK, "y", ["admin"])).allows("rules:write")


def test_keys_that_others_hold_allow_what_they_are_for_and_nothing_else(db: Database) -> None:
    keys = Keys(db)
    page = keys.find(create_key(db, CLOCK, "page", ["track"]))
    assert [scope for scope in (*SCOPES, "any") if page.allows(scope)] == ["track"]
    for scopes in (["events:write"], ["admin"], ["track", "rules:read"]):
        assert keys.find(create_key(db, CLOCK, "other", scopes)).allows("track")
    assert not keys.find(create_key(db, CLOCK, "other", ["rules:read"])).allows("track")
    provider = keys.find(create_key(db, CLOCK, "provider", ["feedback"]))
    assert [scope for scope in (*SCOPES, "any") if provider.allows(scope)] == ["feedback"]
    narrow = keys.find(create_key(db, CLOCK, "narrow", ["track", "feedback"]))
    with pytest.raises(Forbidden, match="the key 'narrow' lacks a scope beside feedback, track"):
        narrow.must("any")
    both = keys.find(create_key(db, CLOCK, "both", ["track", "rules:read"]))
    assert both.allows("any")
    assert not both.allows("events:write")


def test_a_key_says_whose_it_is(db: Database) -> None:
    keys = Keys(db)
    key = create_key(db, CLOCK, "jo", ["rules:read"], " Jo@us.test ")
    assert keys.find(key).email == "Jo@us.test"
    assert keys.find(create_key(db, CLOCK, "ci", ["rules:read"])).email is None
    assert {one.name: one.email for one in list_keys(db)} == {"ci": None, "jo": "Jo@us.test"}
    with pytest.raises(Invalid, match="email"):
        create_key(db, CLOCK, "kim", ["rules:read"], "kim")


@pytest.mark.parametrize(
    ("name", "scopes"), [("", ["admin"]), ("x", []), ("x", ["rules:*"]), ("x" * 257, ["admin"])]
)
def test_bad_keys_are_refused(db: Database, name: str, scopes: list[str]) -> None:
    with pytest.raises(Invalid):
        create_key(db, CLOCK, name, scopes)


def test_revocation_holds_once_the_cache_is_old(db: Database) -> None:
    time = Time()
    keys = Keys(db, monotonic=time)
    key = create_key(db, CLOCK, "x", ["admin"])
    keys.find(key)
    assert keys.cached(key) is not None
    assert revoke_key(db, CLOCK, "x", wait=0) == 1
    time.now = CACHE_S
    assert keys.cached(key) is None
    with pytest.raises(Unauthorized):
        keys.find(key)
    with pytest.raises(NotFound):
        revoke_key(db, CLOCK, "x", wait=0)


def test_a_known_key_outlives_the_database_for_a_while(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    time = Time()
    keys = Keys(db, monotonic=time)
    key = create_key(db, CLOCK, "x", ["admin"])
    known = keys.find(key)

    def away() -> None:
        raise DatabaseUnavailable

    monkeypatch.setattr(db, "read", away)
    time.now = STALE_S
    assert keys.find(key) == known
    time.now = STALE_S + 1
    with pytest.raises(DatabaseUnavailable):
        keys.find(key)
    with pytest.raises(DatabaseUnavailable):
        keys.find("tl_unknown")


def test_the_admin_key_is_made_once(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "admin.key"
    key = ensure_admin_key(db, CLOCK, path)
    assert key is not None
    assert path.read_text().strip() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_admin_key(db, CLOCK, path) is None
    assert len(list_keys(db)) == 1
    assert Keys(db).find(key).allows("admin")


def test_an_admin_key_beside_a_new_database_is_taken_over(db: Database, tmp_path: Path) -> None:
    path = tmp_path / "admin.key"
    path.write_text("tl_from_before\n")
    assert ensure_admin_key(db, CLOCK, path) is None
    assert Keys(db).find("tl_from_before").name == "admin"


def test_where_a_key_stands() -> None:
    assert key_of("Bearer abc") == "abc"
    assert key_of("bearer  abc ") == "abc"
    assert key_of("Basic " + base64.b64encode(b"abc:").decode()) == "abc"
    assert key_of("Basic " + base64.b64encode(b"abc").decode()) == "abc"


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "abc", "Basic !!!", "Basic /w==", "Bearer " + "x" * 201]
)
def test_no_key(header: str | None) -> None:
    with pytest.raises(Unauthorized):
        key_of(header)
