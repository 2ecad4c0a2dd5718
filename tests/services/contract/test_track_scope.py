"""A key that may stand in a web page, through all three services: what it cannot change, and whom it gets no mail."""

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from services.app import running

ACME = {
    "name": "Acme",
    "attributes": {"arr": 10},
    "contacts": [{"id": "ann", "email": "ann@acme.test", "roles": ["admin"]}],
}


class Site:
    """A web page and those who keep the accounts."""

    def __init__(self, admin: httpx.Client, page: str) -> None:
        self.admin, self.page = admin, page

    def call(self, kind: str, **body: Any) -> None:
        """What the page sends."""
        answer = httpx.post(f"{self.admin.base_url}/v1/{kind}", json=body, auth=(self.page, ""))
        assert answer.json() == {"success": True}, answer.text
        self.settle()

    def put(self, path: str, body: Any) -> None:
        answer = self.admin.put(path, json=body)
        assert answer.is_success, answer.text
        self.settle()

    def settle(self) -> None:
        deadline = time.monotonic() + 30
        while not self.admin.get("/v1/status").json()["idle"]:
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def account(self, name: str = "acme") -> dict[str, Any]:
        found: dict[str, Any] = self.admin.get(f"/v1/accounts/{name}").json()
        return found

    def contact(self, name: str) -> dict[str, Any]:
        return next(one for one in self.account()["contacts"] if one["id"] == name)

    def mails(self) -> list[tuple[str, str, str | None]]:
        """Of the newest first: to whom, whether, why not."""
        items = self.admin.get("/v1/actions", params={"account": "acme"}).json()["items"]
        return [(one["contact"], one["status"], one["reason"]) for one in items]


@pytest.fixture
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"), port=0, partitions=2, clock="log")
    with running(settings) as (rooms, url):
        key = (rooms.settings.data_dir / "admin.key").read_text().strip()
        page = create_key(rooms.db, rooms.clock, "page", ["track"])
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as admin:
            made = Site(admin, page)
            made.put("/v1/templates/hi", {"name": "hi", "subject": "Hi", "markdown": "Hi"})
            made.put("/v1/playbooks/hi", {"name": "hi", "steps": [{"email": {"template": "hi"}}]})
            when = {"threshold": {"event": "clicked", "at_least": 1}}
            rule = {"when": when, "scope": "contact", "cooldown": "0s", "playbook": "hi", "status": "active"}
            made.put("/v1/rules/hi", {"name": "hi", **rule})
            made.put("/v1/accounts/acme", ACME)
            yield made


def test_a_page_changes_nothing_that_others_made(site: Site) -> None:
    before = site.account()
    site.call("group", userId="eve", groupId="acme", traits={"name": "Evil", "arr": 10**9})
    site.call("identify", userId="ann", traits={"email": "eve@evil.test"}, context={"groupId": "acme"})
    after = site.account()
    for name in ("name", "attributes", "tier", "owner", "domains"):
        assert after[name] == before[name]
    assert site.contact("ann") == before["contacts"][0]
    assert site.contact("eve")["unvouched"] is True
    assert "unvouched" not in site.contact("ann")


def test_who_is_known_from_a_page_alone_gets_no_mail_until_somebody_vouches(site: Site) -> None:
    site.call("identify", userId="eve", traits={"email": "eve@evil.test"})
    site.call("group", userId="eve", groupId="acme")
    site.call("track", userId="eve", event="Clicked", messageId="1")
    assert site.mails() == [("eve", "skipped", "unvouched")]
    site.call("track", userId="ann", event="Clicked", messageId="2", context={"groupId": "acme"})
    assert site.mails()[0] == ("ann", "done", None)
    site.put("/v1/accounts/acme", site.account())
    assert site.contact("eve")["unvouched"] is True, "what GET shows, written back, vouches for nobody"
    site.call("track", userId="eve", event="Clicked", messageId="3")
    assert site.mails()[0] == ("eve", "skipped", "unvouched")
    site.put("/v1/accounts/acme", {"contacts": [{"id": "eve", "name": "Eve"}]})
    site.call("track", userId="eve", event="Clicked", messageId="4")
    assert site.mails()[0] == ("eve", "done", None)


def test_an_address_in_the_accounts_domains_vouches(site: Site) -> None:
    for user, domain in (("bob", "acme.test"), ("eve", "evil.test")):
        site.call("group", userId=user, groupId="acme", context={"traits": {"email": f"{user}@{domain}"}})
    site.put("/v1/accounts/acme", {"domains": ["ACME.test"]})
    assert site.account()["domains"] == ["acme.test"]
    assert "unvouched" not in site.contact("bob")
    assert site.contact("eve")["unvouched"] is True
    for user in ("bob", "eve"):
        site.call("track", userId=user, event="Clicked", messageId=user)
    assert site.mails() == [("eve", "skipped", "unvouched"), ("bob", "done", None)]
    refused = site.admin.put("/v1/accounts/acme", json={"domains": ["acme.test", "gmail.com"]})
    [error] = refused.json()["errors"]
    assert error["field"] == "domains.1"
    assert "public mail provider" in error["message"]


def test_a_page_merges_what_pages_alone_made_and_what_it_closed_others_open(site: Site) -> None:
    site.call("track", userId="mallory", event="Seen")
    site.call("group", userId="mallory", groupId="evil")
    assert site.account("mallory")["merged_into"] == "evil"
    site.put("/v1/accounts/mallory", {"name": "Mallory & Sons"})
    assert (site.account("mallory")["merged_into"], site.account("mallory")["name"]) == (
        None,
        "Mallory & Sons",
    )
    site.call("track", userId="acme", event="Seen")
    site.call("group", userId="acme", groupId="evil")
    assert (site.account()["merged_into"], site.account()["name"]) == (None, "Acme")
