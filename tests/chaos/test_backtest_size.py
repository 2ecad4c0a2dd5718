"""A backtest over five million records, within its memory and its temporary disk."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backbone.log import EVENTS, Entry
from backbone.log.embedded.log import EmbeddedLog
from deploy.local.process import wait_until
from tests.chaos.conftest import Size, Told
from tests.e2e.server import running

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(4 * 3600)]

PARTITIONS, AT_ONCE, ACCOUNTS = 8, 20_000, 200_000
START = datetime(2026, 1, 1, tzinfo=UTC)
RULE = {"name": "busy", "when": {"threshold": {"event": "login", "within": "7d", "at_least": 2}}}
VALUES = [1, 3, 4]


def fill(folder: Path, count: int, imported: float) -> None:
    """So many logins over 90 days; the first part of them came in a backfill, in no order."""
    folder.mkdir()
    log = EmbeddedLog(folder, PARTITIONS)
    step = timedelta(days=90) / count
    part = []
    for number in range(count):
        old = number < count * imported
        place = number * 7_919 % int(count * imported) if old else number
        account = f"a{number * 31 % ACCOUNTS}"
        event = {
            "id": f"e{number}", "source": "test", "type": "login", "account": account,
            "time": (START + step * place).isoformat(), "data": {"n": number}, **({"historical": True} if old else {}),
        }  # fmt: skip
        part.append(Entry(json.dumps(event).encode(), key=account))
        if len(part) == AT_ONCE or number == count - 1:
            log.append(EVENTS, part).result(120)
            part = []
    log.close()


@pytest.mark.parametrize("imported", [0.0, 0.5])
def test_five_million_records(tmp_path: Path, size: Size, told: Told, imported: float) -> None:
    count = size(5_000_000, "EVENTS")
    fill(tmp_path / "data", count, imported)
    with running(tmp_path, CLOCK="log", PARTITIONS=str(PARTITIONS)) as server, server.client() as client:
        body = {"rule": RULE, "vary": {"when.threshold.at_least": VALUES}}
        path = f"/v1/backtests/{client.post('/v1/backtests', json=body).json()['id']}"
        running_still = ("queued", "running")
        wait_until("it ends", lambda: client.get(path).json()["status"] not in running_still, 3 * 3600)
        found = client.get(path).json()
    assert (found["status"], found["error"]) == ("done", None)
    assert found["events"] == count
    told(f"a backtest of {count:,} records, {imported:.0%} of them imported", found["by_tier"])
