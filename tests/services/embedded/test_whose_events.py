"""Whose a webhook is, with rules beside: after a merge and after an erasure, as rules carried them out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from services.app import running

SOURCE = {
    "verify": {"scheme": "none"},
    "events": [{"type": "won", "id": "id", "account": [{"external_id": "customer"}, {"email": "email"}]}],
}


class Site:
    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def put(self, account: str, **body: Any) -> None:
        self.http.put(f"/v1/accounts/{account}", json=body).raise_for_status()

    def tell(self, type_: str, account: str, **more: Any) -> None:
        self.http.post("/v1/events", json={"type": type_, "account": account, **more}).raise_for_status()

    def hook(self, id_: str, **way: str) -> str:
        counts = self.http.post("/v1/hooks/crm", json={"id": id_, **way}).raise_for_status().json()
        [outcome] = [name for name, count in counts.items() if count]
        return str(outcome)

    def settle(self) -> None:
        deadline = time.monotonic() + 60
        while not self.http.get("/v1/status").json()["idle"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def won(self, account: str) -> list[str]:
        """The ids of these events of an account, as rules has them."""
        self.settle()
        answer = self.http.get(f"/v1/accounts/{account}/events", params={"type": "won"})
        return sorted(one["id"] for one in answer.json()["items"])


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with running(load_settings(data_dir=tmp_path, port=0, partitions=4)) as (rooms, url):
        key = create_key(rooms.db, rooms.clock, "jo", ["admin"])
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as http:
            http.put("/v1/sources/crm", json=SOURCE).raise_for_status()
            yield Site(http)


def test_what_led_to_a_merged_account_leads_to_the_one_that_goes_on(site: Site) -> None:
    ann = {"contacts": [{"id": "ann", "email": "ann@acme.test"}]}
    site.put("old", external_ids={"crm": "7"}, **ann)
    site.put("acme", external_ids={"crm": "8"}, contacts=[{"id": "ann2", "email": "Ann@acme.test"}])
    assert site.hook("1", email="ann@acme.test") == "unmatched", "the address fits both"
    site.tell("account.merged", "old", data={"into": "acme"})
    site.settle()
    assert [site.hook("2", customer="7"), site.hook("3", email="ann@acme.test")] == ["accepted"] * 2
    assert site.won("acme") == ["1", "2", "3"]
    site.put("late", external_ids={"crm": "7"})
    assert site.hook("4", customer="7") == "accepted"
    assert (site.won("acme"), site.won("late")) == (["1", "2", "3", "4"], ["4"])


def test_after_the_erasure_of_the_one_that_went_on_nothing_leads_to_the_other(site: Site) -> None:
    site.put("old", external_ids={"crm": "7"}, contacts=[{"id": "ann", "email": "ann@acme.test"}])
    site.put("acme", name="Acme")
    site.tell("account.merged", "old", data={"into": "acme"})
    site.settle()
    assert site.hook("1", email="ann@acme.test") == "accepted"
    site.tell("account.deleted", "acme")
    site.settle()
    assert [site.hook("2", customer="7"), site.hook("3", email="ann@acme.test")] == ["unmatched"] * 2
    record = site.http.get("/v1/accounts/old/record").json()["services"]["ingest"]
    assert (record["directory"], record["source_events"]) == ([], [])


def test_an_impossible_merge_leads_nowhere_else(site: Site) -> None:
    """Rules refuses it, so the directory does not follow it."""
    site.put("acme", external_ids={"crm": "7"})
    site.put("beta", name="Beta")
    site.put("coop", name="Coop")
    site.tell("account.merged", "acme", data={"into": "beta"})
    site.settle()
    again = {"type": "account.merged", "account": "acme", "data": {"into": "coop"}}
    assert site.http.post("/v1/events", json=again).status_code == 422
    assert site.hook("1", customer="7") == "accepted"
    assert (site.won("beta"), site.won("coop")) == (["1"], [])
