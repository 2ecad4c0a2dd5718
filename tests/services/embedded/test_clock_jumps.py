"""A machine's clock that jumps forty days ahead and back: nobody is mailed by it, and it is told wherever one looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from structlog.testing import capture_logs

from backbone.clock import SteadyClock, WallClock, counted
from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from deploy.local.process import wait_until
from services.app import running

DAY = 86_400_000_000
QUIET = {"absence": {"event": "login", "for": "30d"}}
BUSY = {"threshold": {"event": "login", "within": "7d", "at_least": 2}}


class Machine:
    """Its clock is `off` by so many microseconds."""

    off = 0

    def wall(self) -> int:
        return WallClock().now() + self.off


@contextmanager
def served(folder: Path, machine: Machine, jumps: str, stores: dict[str, Any]) -> Iterator[httpx.Client]:
    settings = load_settings(data_dir=folder, port=0, clock_jumps=jumps, **stores)
    clock = SteadyClock(follow=jumps == "follow", wall=machine.wall, passed=counted)
    with running(settings, clock=clock) as (rooms, url):
        key = create_key(rooms.db, rooms.clock, "root", ["admin"])
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:
            for name, when in (("quiet", QUIET), ("busy", BUSY)):
                rule = {"name": name, "status": "active", "when": when}
                client.put(f"/v1/rules/{name}", json=rule).raise_for_status()
            yield client


def login(client: httpx.Client, account: str) -> None:
    client.post("/v1/events", json={"type": "login", "account": account}).raise_for_status()
    wait_until("all is decided", lambda: status(client)["idle"], 30)


def status(client: httpx.Client) -> Any:
    return client.get("/v1/status").raise_for_status().json()


def triggers(client: httpx.Client) -> list[tuple[str, str]]:
    found = client.get("/v1/triggers").raise_for_status().json()["items"]
    return sorted((one["rule"], one["account"]) for one in found)


def explained(client: httpx.Client, rule: str, account: str) -> Any:
    return client.get(f"/v1/rules/{rule}/explain", params={"account": account}).raise_for_status().json()


def events(told: Sequence[Mapping[str, Any]]) -> list[str]:
    return [one["event"] for one in told]


def test_it_is_not_followed(tmp_path: Path, stores: dict[str, Any]) -> None:
    machine = Machine()
    with served(tmp_path, machine, "hold", stores) as client:
        login(client, "acme")
        assert "clock" not in status(client)
        machine.off = 40 * DAY
        said = status(client)["clock"]
        assert abs(said["jumped_s"] - 40 * 86_400) < 60
        assert "TOUCHLINE_CLOCK_JUMPS" in said["detail"]
        login(client, "acme")  # goes through all that is due, at the time that we go on by
        assert triggers(client) == [("busy", "acme")]  # two logins of one week: no month passed between them
        machine.off = 0
        assert "clock" not in status(client)
        assert "clock_ahead" not in status(client)["services"]["rules"]
        assert "clock" not in explained(client, "busy", "acme")


def test_where_it_is_followed_what_it_did_is_told(tmp_path: Path, stores: dict[str, Any]) -> None:
    machine = Machine()
    with capture_logs() as told, served(tmp_path, machine, "follow", stores) as client:
        login(client, "acme")
        login(client, "calm")
        machine.off = 40 * DAY
        wait_until("a month is over", lambda: ("quiet", "calm") in triggers(client), 30)
        login(client, "acme")
        machine.off = 0
        ahead = status(client)["services"]["rules"]["clock_ahead"]
        assert ahead["partitions"] >= 1
        assert "jumped ahead and back" in ahead["detail"]
        login(client, "acme")
        for rule in ("busy", "quiet"):
            found = explained(client, rule, "acme")
            assert found["window"] is None or found["window"]["from"] <= found["window"]["to"], rule
        # Kafka's own clock, which did not jump, says when an event was received: none counts as one of that month
        assert ("late" in found["clock"]["sentence"]) is not bool(stores)
        assert found["clock"]["as_of"] >= ahead["until"]
        lines = client.get("/metrics").text.splitlines()
        (shown,) = [line for line in lines if line.startswith("touchline_partition_clock_ahead_seconds{")]
        assert float(shown.split()[1]) > 39 * 86_400
        wait_until("it is logged", lambda: "clock.partitions_ahead" in events(told), 30)
    names = events(told)
    assert names.count("clock.jump_followed") == 2
    assert names.count("clock.partitions_ahead") == 1
