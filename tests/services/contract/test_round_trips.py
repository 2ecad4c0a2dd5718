"""Contract, section 8: what GET gives can be written back, whatever it is; other unknown fields stay refused."""

import time
from typing import Any

import httpx
import pytest

from schemas.aliases import ALIASES_EXAMPLE
from schemas.brand import BRAND_EXAMPLE
from schemas.policy import POLICY_EXAMPLE
from schemas.rule import RULE_EXAMPLE, TIERS_EXAMPLE
from schemas.source import SOURCE_EXAMPLE
from schemas.task_mails import TASK_MAILS_EXAMPLE
from services.actions.api.documents import PLAYBOOK_EXAMPLE, TEMPLATE_EXAMPLE, TOPIC_EXAMPLE
from services.actions.api.endpoints import ENDPOINT_EXAMPLE

CHANGING = {"version", "changed_at"}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("/v1/rules/support-spike", RULE_EXAMPLE),
    ("/v1/templates/invoice-reminder", TEMPLATE_EXAMPLE),
    ("/v1/playbooks/invoice-overdue", PLAYBOOK_EXAMPLE),
    ("/v1/endpoints/crm", ENDPOINT_EXAMPLE),
    ("/v1/sources/billing", SOURCE_EXAMPLE),
    ("/v1/topics/billing", TOPIC_EXAMPLE),
    ("/v1/tiers", TIERS_EXAMPLE),
    ("/v1/policy", POLICY_EXAMPLE),
    ("/v1/aliases", ALIASES_EXAMPLE),
    ("/v1/brand", BRAND_EXAMPLE),
    ("/v1/task-mails", TASK_MAILS_EXAMPLE),
]


def settled(api: httpx.Client) -> None:
    while not api.get("/v1/status").json()["idle"]:
        time.sleep(0.02)


def kept(shown: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in shown.items() if name not in CHANGING}


def test_no_kind_of_documents_is_forgotten(api: httpx.Client) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    written = {path.removesuffix("/{name}") for path, calls in paths.items() if "put" in calls}
    others = {"/v1/accounts/{id}", "/v1/sending"}
    assert written - others == {"/".join(path.split("/")[:3]) for path, _ in CASES}


@pytest.mark.parametrize(("path", "body"), CASES, ids=[path for path, _ in CASES])
def test_a_document_as_get_gives_it_may_be_put_again(
    api: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    saved = api.put(path, json=body)
    assert saved.status_code in {200, 201}, saved.text
    shown = api.get(path).json()
    again = api.put(path, json=shown)
    assert again.status_code == 200, again.text
    after = api.get(path).json()
    assert kept(after) == kept(shown)
    assert after["version"] == shown["version"] + 1  # what stood there as version named nothing
    assert api.put(path, json=saved.json()).status_code == 200  # the answer to a save, warnings and all
    if path.count("/") > 2:
        old = api.get(f"{path}/versions").json()["items"][-1]
        assert api.put(path, json=old).status_code == 200


@pytest.mark.parametrize(("path", "body"), CASES, ids=[path for path, _ in CASES])
def test_other_fields_that_nobody_knows_stay_refused(
    api: httpx.Client, path: str, body: dict[str, Any]
) -> None:
    for more in ({"verison": 3}, {"id": "x"}, {"updated_at": None}):
        refused = api.put(path, json={**body, **more})
        assert refused.status_code == 422
        assert [error["field"] for error in refused.json()["errors"]] == list(more)


def test_the_sending_switch_as_get_gives_it_may_be_put_again(api: httpx.Client) -> None:
    for status in ("off", "on"):
        api.put("/v1/sending", json={"status": status, "reason": "a rehearsal"})
        shown = api.get("/v1/sending").json()
        assert api.put("/v1/sending", json=shown).json() == shown
    assert api.put("/v1/sending", json={**shown, "stauts": "off"}).status_code == 422


def test_a_suppression_as_get_gives_it_may_be_posted_again(api: httpx.Client) -> None:
    made = api.post("/v1/suppressions", json={"address": "ann@acme.test"})
    assert api.post("/v1/suppressions", json=made.json()).json() == made.json()
    assert api.post("/v1/suppressions", json={"address": "ann@acme.test", "hsah": 1}).status_code == 422


def account(api: httpx.Client, body: dict[str, Any] | None = None, name: str = "round") -> dict[str, Any]:
    if body is not None:
        put = api.put(f"/v1/accounts/{name}", json=body)
        assert put.status_code == 202, put.text
        settled(api)
    shown: dict[str, Any] = api.get(f"/v1/accounts/{name}").json()
    return {field: value for field, value in shown.items() if field != "last_event_at"}


def test_an_account_as_get_gives_it_may_be_put_again(api: httpx.Client) -> None:
    contacts = [{"id": "ann", "email": "ann@acme.test", "roles": ["admin"], "attributes": {"title": "CTO"}}]
    owner = {"name": "Jo", "email": "jo@us.test"}
    body = {"name": "Round", "owner": owner, "attributes": {"arr": 60000}, "contacts": contacts}
    first = account(api, body)
    assert account(api, first) == first
    api.put("/v1/tiers", json=TIERS_EXAMPLE)
    settled(api)
    by_policy = account(api)
    assert by_policy["tier"] == "high"
    assert account(api, by_policy) == by_policy
    lower = account(api, {**by_policy, "attributes": {"arr": 10000}})
    assert lower["tier"] == "low", "the policy goes on to hold: what it gave was no tier of the account's own"


def test_a_tier_that_was_changed_in_what_get_gave_becomes_the_accounts_own(api: httpx.Client) -> None:
    shown = account(api, {"name": "Own"}, "own")
    changed = account(api, {**shown, "tier": "low" if shown["tier"] == "tech" else "tech"}, "own")
    assert changed["tier"] != shown["tier"]
    assert account(api, changed, "own") == changed
    assert account(api, {**changed, "tier": None}, "own") == shown


def test_what_was_shown_of_another_account_is_refused(api: httpx.Client) -> None:
    shown = account(api, {"name": "One"}, "one")
    refused = api.put("/v1/accounts/two", json=shown)
    assert [error["field"] for error in refused.json()["errors"]] == ["id"]
    assert api.put("/v1/accounts/two", json={"nmae": "x"}).status_code == 422
    assert api.put("/v1/accounts/two", json={"contacts": [{"id": "a", "version": 1}]}).status_code == 422
