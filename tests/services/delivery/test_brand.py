"""Whose mail it is, in the whole service: the brand and the reader's language in mails, previews and on the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from backbone.clock import WallClock
from backbone.log import TRIGGERS, Entry
from schemas.trigger import Position, Progress, TriggerRecord
from tests.services.actions.kit import _json
from tests.services.delivery.test_service import Running
from tests.unit.plays.kit import account, trigger

BRAND = {
    "name": "Umbrella",
    "postal_address": "1 Main Street\nSpringfield",
    "logo_url": "https://cdn.us.test/logo.png",
}
HELLO = {
    "name": "hello",
    "subject": "Renews on {{ account.attributes.renews | date }}",
    "markdown": "Hi from {{ brand.name or 'us' }}, {{ brand.colour or 'no colour' }}",
    "variants": {
        "fr": {"subject": "Renouvellement le {{ account.attributes.renews | date }}", "markdown": "Bonjour,"},
        "fr-CA": {"subject": "Allô", "html": "<p>Allô</p>", "text": "Allô"},
    },
}
PEOPLE = [
    {"id": "ann", "email": "ann@acme.test", "locale": "fr_BE"},
    {"id": "bob", "email": "bob@acme.test", "locale": "de"},
    {"id": "cat", "email": "cat@acme.test", "locale": "fr-CA"},
]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One service for all; each test saves what it needs, the first finds nothing."""
    made = Running(tmp_path_factory.mktemp("brand"))
    try:
        assert made.client.post("/v1/templates", json=HELLO).status_code == 201
        yield made
    finally:
        made.close()


def save(running: Running, *steps: dict[str, Any]) -> None:
    book = {"topic": "billing", "steps": list(steps)}
    assert running.client.put("/v1/playbooks/book", json=book).status_code in (200, 201)


def fire(running: Running) -> None:
    now = WallClock().now()
    place = running.post(account(now, contacts=PEOPLE, attributes={"renews": "2027-03-03"}))
    made = trigger(now, place[1])
    made.position = Position(*place)
    records = [TriggerRecord(trigger=made), TriggerRecord(progress=Progress(place[0], place[1] + 1, 0))]
    entries = [Entry(partition=place[0], value=_json(record)) for record in records]
    running.log.append(TRIGGERS, entries).result(10)


def test_the_brand_is_one_document(running: Running) -> None:
    page = running.stranger.get("/u/preview")
    assert "img-src" not in page.headers["content-security-policy"]
    assert 'class="brand"' not in page.text
    none = running.client.get("/v1/brand")
    assert (none.json()["name"], none.json()["version"], none.headers["etag"]) == (None, 0, '"0"')
    made = running.client.put("/v1/brand", json=BRAND, headers={"If-Match": '"0"'})
    assert (made.status_code, made.json()["version"], made.json()["changed_by"]) == (200, 1, "tester")
    assert running.client.get("/v1/brand").json() == made.json()
    assert "colour" not in made.json()
    stale = running.client.put("/v1/brand", json=BRAND, headers={"If-Match": '"0"'})
    assert stale.status_code == 412
    refused = running.client.put("/v1/brand", json={**BRAND, "colour": "red", "logo_url": "x"})
    assert sorted(error["field"] for error in refused.json()["errors"]) == ["colour", "logo_url"]
    assert running.client.put("/v1/brand", json={"name": "Acme"}).status_code == 422
    assert running.client.get("/v1/brand").json() == made.json()
    assert running.stranger.get("/v1/brand").status_code == 401
    assert running.stranger.put("/v1/brand", json=BRAND).status_code == 401


def test_the_unsubscribe_page_shows_it(running: Running) -> None:
    running.client.put("/v1/brand", json={**BRAND, "name": "<Umbrella>"})
    for page in (running.stranger.get("/u/preview"), running.stranger.get("/u/nobody")):
        assert page.headers["content-security-policy"].endswith("; img-src https://cdn.us.test")
        assert 'alt="&lt;Umbrella&gt;"' in page.text
        assert "&lt;Umbrella&gt;, 1 Main Street, Springfield" in page.text
        assert "<Umbrella>" not in page.text


def test_everybody_gets_their_variant_and_all_see_whose_mail_it_is(running: Running) -> None:
    save(
        running,
        {"email": {"template": "hello", "to": "all"}},
        {"email": {"template": "hello", "to": "owner"}},
    )
    assert running.client.put("/v1/brand", json=BRAND).status_code == 200
    fire(running)
    running.until(lambda: len(running.mails()) == 4)
    mails = {mail["To"]: mail for mail in running.mails()}
    subjects = {address.partition("@")[0]: mail["Subject"] for address, mail in mails.items()}
    owner = subjects.pop(next(name for name in subjects if name not in ("ann", "bob", "cat")))
    assert subjects == {
        "ann": "Renouvellement le 3 mars 2027",
        "bob": "Renews on 03.03.2027",
        "cat": "Allô",
    }
    assert owner == "Renews on Mar 3, 2027"
    for name, language in (("ann", "fr"), ("bob", "en"), ("cat", "fr-CA")):
        html = mails[f"{name}@acme.test"].get_body("html").get_content()
        assert f'<html lang="{language}"' in html
        assert "Umbrella, 1 Main Street, Springfield" in html
    assert "Hi from Umbrella, no colour" in mails["bob@acme.test"].get_body("plain").get_content()


def test_a_preview_is_in_the_contacts_language(running: Running) -> None:
    save(running, {"task": {"title": "Call {{ account.name }}: {{ account.attributes.renews | date }}"}})
    fire(running)
    running.until(lambda: len(running.client.get("/v1/tasks").json()["items"]) == 1)
    assert running.client.get("/v1/tasks").json()["items"][0]["title"].endswith(": Mar 3, 2027")
    for contact, subject in (("ann", "Renouvellement le 3 mars 2027"), ("bob", "Renews on 03.03.2027")):
        shown = running.client.post(
            "/v1/templates/hello/preview", json={"account": "acme", "contact": contact}
        )
        assert shown.json()["subject"] == subject
    assert "Hi from Umbrella, no colour" in shown.json()["text"]
    wrong = {**HELLO["variants"]["fr"], "markdown": "{{ account.attributes.plan }}"}  # type: ignore[index]
    assert (
        running.client.put("/v1/templates/hello", json={**HELLO, "variants": {"fr": wrong}}).status_code
        == 200
    )
    refused = running.client.post("/v1/templates/hello/preview", json={"account": "acme", "contact": "ann"})
    assert refused.json()["errors"][0]["field"] == "variants.fr.markdown"
    broken = {**HELLO, "variants": {"fr": {"subject": "{{ acount.name }}", "markdown": "m"}}}
    answer = running.client.put("/v1/templates/hello", json=broken)
    assert [error["field"] for error in answer.json()["errors"]] == ["variants.fr.subject"]
