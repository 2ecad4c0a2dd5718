"""A PostgreSQL whose disk is full: events are taken, nothing else goes through, and all goes on once there is room.

What PostgreSQL says then (SQLSTATE 53100) is said by triggers on all tables.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from backbone.database import Database
from backbone.log import DEAD_LETTERS
from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from deploy.local.process import wait_until
from services.app import running

FULL = """
CREATE SEQUENCE refused;
CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  PERFORM nextval('refused');  -- what a sequence has given stays so after a rollback
  RAISE EXCEPTION USING ERRCODE = '53100', MESSAGE = 'could not extend file: No space left on device',
    DETAIL = 'canary@acme.test';
END $$;
DO $$ DECLARE one record; BEGIN
  FOR one IN SELECT * FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') LOOP
    EXECUTE 'CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON ' || quote_ident(one.schemaname) || '.'
      || quote_ident(one.tablename) || ' EXECUTE FUNCTION no_room()';
  END LOOP;
END $$;
"""
ROOM = "DROP FUNCTION no_room() CASCADE"


def run(db: Database, commands: str) -> None:
    with db.engine.begin() as connection:
        connection.execute(text(commands))


@pytest.mark.parametrize("stores", ["large"], indirect=True)
@pytest.mark.kafka
@pytest.mark.postgres
def test_what_a_full_disk_held_up_goes_on_once_there_is_room(
    stores: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = load_settings(data_dir=tmp_path / "data", port=0, partitions=2, **stores)
    with running(settings) as (rooms, url):
        headers = {"authorization": f"Bearer {create_key(rooms.db, rooms.clock, 'root', ['admin'])}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as api:
            steps = [{"task": {"title": "Call"}}]
            api.put(
                "/v1/playbooks/call", json={"name": "call", "limit": None, "steps": steps}
            ).raise_for_status()
            when = {"threshold": {"event": "go", "at_least": 1}}
            rule = {"name": "go", "when": when, "playbook": "call", "status": "active"}
            api.put("/v1/rules/go", json=rule).raise_for_status()
            run(rooms.db, FULL)
            accounts = [f"a{n}" for n in range(20)]
            for account in accounts:
                event = {"id": account, "type": "go", "account": account}
                assert api.post("/v1/events", json=event).status_code == 202

            def refused() -> bool:
                with rooms.db.read() as connection:
                    return bool(connection.scalar(text("SELECT is_called FROM refused")))

            wait_until("rules tries to write", refused, 30)
            answer = api.put("/v1/rules/more", json={**rule, "name": "more"})
            assert answer.status_code == 503
            assert "canary" not in answer.text
            assert api.get("/v1/tasks").raise_for_status().json()["items"] == []
            run(rooms.db, ROOM)

            def made() -> list[str]:
                items = api.get("/v1/tasks", params={"limit": 100}).raise_for_status().json()["items"]
                return sorted(one["account"] for one in items)

            wait_until("all goes on", lambda: api.get("/v1/status").json()["idle"] and len(made()) >= 20, 60)
            assert made() == sorted(accounts)
            assert not any(rooms.log.end_offsets(DEAD_LETTERS).values())
    assert "canary" not in caplog.text
