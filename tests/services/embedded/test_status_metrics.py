"""What is scraped says how far each service is behind, though nobody asks for the status."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx

from backbone.errors import DatabaseUnavailable
from backbone.settings import load_settings
from deploy.local.process import wait_until
from services.app import Runtime, running


def told(url: str) -> dict[str, float]:
    """The lag by service, over all partitions."""
    found: dict[str, float] = {}
    text = httpx.get(f"{url}/metrics").text
    for service, value in re.findall(r'^touchline_lag\{.*?service="([a-z ]+)"\} (\S+)$', text, re.MULTILINE):
        found[service] = found.get(service, 0) + float(value)
    return found


def test_the_lag_of_every_service_is_scraped(tmp_path: Path) -> None:
    with running(load_settings(data_dir=tmp_path, port=0)) as (_, url):
        wait_until(
            "all are told", lambda: told(url).keys() >= {"rules", "actions events", "actions triggers"}, 30
        )


def test_events_that_wait_are_seen(tmp_path: Path) -> None:
    """With a worker that stands still; and a database that is away for a moment ends nothing."""
    with running(load_settings(data_dir=tmp_path, port=0)) as (rooms, url):
        rules = _rules(rooms)
        rules.worker._stopping.set()
        rules.worker._thread.join(30)
        measure, failed = rules.measure, []

        def fails_once() -> object:
            if not failed:
                failed.append(True)
                raise DatabaseUnavailable("gone")
            return measure()

        rules.measure = fails_once
        headers = {"Authorization": f"Bearer {rooms.new_admin_key}"}
        events = [{"type": "login", "account": f"a{n}"} for n in range(40)]
        assert httpx.post(f"{url}/v1/events", json=events, headers=headers).status_code == 202
        wait_until("the lag is told", lambda: told(url).get("rules", 0) >= 40, 30)
        assert failed


def _rules(rooms: Runtime) -> Any:
    return next(service for service in rooms.services if service.name == "rules")
