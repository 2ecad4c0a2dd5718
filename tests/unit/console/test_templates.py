"""`/templates`: the mail for a chosen account, the form, its check and preview, and the test mail."""

from typing import Any

import pytest
from starlette.datastructures import FormData

from services.console.pages.templates import document_of, one_of_each
from tests.unit.console.world import World, page_of, refusal

HOSTILE = "</textarea><script>x()</script>{{ 7 * 7 }}"
ACCOUNTS = page_of([{"id": "a/1", "name": "Acme", "tier": "high"}, {"id": "b", "name": None, "tier": "low"}])


def template(**more: Any) -> dict[str, Any]:
    return {
        "name": "hello", "description": None, "subject": "Hi {{ contact.name }}", "markdown": "Hello **you**",
        "html": None, "text": None, "variants": {}, "version": 3, "changed_by": "jo",
        "changed_at": "2026-03-01T00:00:00Z", **more,
    }  # fmt: skip


def answers(**more: Any) -> dict[str, Any]:
    return {
        "GET /v1/templates/hello": template(),
        "GET /v1/accounts": ACCOUNTS,
        "GET /v1/triggers": page_of([{"id": "trg_1", "rule": "spike", "at": "2026-03-01T00:00:00Z"}]),
        "POST /v1/templates/hello/preview": {"subject": "Hi Ann", "html": "<p>Hello</p>", "text": "Hello"},
        **more,
    }


def test_it_is_shown_for_the_first_account_or_the_chosen_one() -> None:
    world = World(answers())
    page = world.get("/templates/hello").text
    assert world.sent == [("POST", "/v1/templates/hello/preview", {"account": "a/1"})]
    assert "/templates/hello/frame?account=a%2F1" in page
    assert "spike, 2026-03-01" in page
    world.get("/templates/hello?account=b&trigger=trg_1")
    assert world.sent[-1][2] == {"account": "b", "trigger": "trg_1"}


def test_one_account_of_each_tier_is_offered() -> None:
    accounts = [{"id": str(n), "tier": tier} for n, tier in enumerate(["low", "low", "high", "low"])]
    assert [one["id"] for one in one_of_each(accounts)] == ["0", "2"]


def test_without_accounts_it_says_how_they_come() -> None:
    world = World(answers(**{"GET /v1/accounts": page_of([])}))
    assert "PUT /v1/accounts" in world.get("/templates/hello").text
    assert world.sent == []


def test_what_cannot_be_made_says_why() -> None:
    wrong = refusal(422, "invalid", ("markdown", "line 3: trigger.event.data has no invoice"))
    world = World(answers(**{"POST /v1/templates/hello/preview": wrong}))
    assert "line 3: trigger.event.data has no invoice" in world.get("/templates/hello").text
    assert world.get("/templates/hello/frame?account=b").status_code == 200


def test_the_form_says_what_it_says() -> None:
    form = FormData([
        ("name", " hello "), ("subject", "S"), ("markdown", "\nM\n"), ("html", ""), ("description", ""),
        ("variant", "fr"), ("variants.fr.subject", "Bonjour"), ("variants.fr.markdown", "Salut"),
        ("variant", "de"), ("variants.de.subject", ""), ("new_variant", "es"),
    ])  # fmt: skip
    assert document_of(form) == {
        "name": "hello", "subject": "S", "markdown": "M",
        "variants": {
            "fr": {"subject": "Bonjour", "markdown": "Salut"},
            "es": {"subject": "S", "markdown": "M"},
        },
    }  # fmt: skip


def test_saving_keeps_to_the_version_that_was_shown() -> None:
    world = World(answers(**{"PUT /v1/templates/hello": template(version=4)}))
    answer = world.post("/templates/save", name="hello", version="3", subject="S", markdown="M", account="b")
    assert answer.headers["location"] == "/templates/hello?account=b"
    assert world.sent == [("PUT", "/v1/templates/hello", {"name": "hello", "subject": "S", "markdown": "M"})]
    assert next(one for one in world.asked if one.method == "PUT").headers["if-match"] == '"3"'


def test_a_new_one_is_made_once() -> None:
    world = World(answers(**{"POST /v1/templates": (201, template(version=1))}))
    world.post("/templates/save", name="hello", subject="S", markdown="M", once="o1")
    made = next(one for one in world.asked if one.method == "POST")
    assert made.headers["idempotency-key"].rpartition("-")[0] == "o1"


@pytest.mark.parametrize("status", [409, 412, 422])
def test_a_refused_save_keeps_what_was_typed(status: int) -> None:
    refused = refusal(status, "no", ("markdown", "line 1: unexpected }"))
    world = World(answers(**{"PUT /v1/templates/hello": refused}))
    answer = world.post("/templates/save", name="hello", version="3", subject="typed", markdown=HOSTILE)
    assert answer.status_code == status
    assert "line 1: unexpected }" in answer.text
    assert 'value="typed"' in answer.text
    assert "<script>x" not in answer.text


def test_the_check_saves_nothing() -> None:
    world = World(
        answers(**{"POST /v1/templates/check": {"warnings": [{"field": "html", "message": "no footer"}]}})
    )
    assert "no footer" in world.post("/templates/check", name="x", subject="s", markdown="m").text
    world.answers["POST /v1/templates/check"] = refusal(422, "invalid", ("subject", "is missing"))
    assert "is missing" in world.post("/templates/check", name="x").text
    assert {path for _, path, _ in world.sent} == {"/v1/templates/check"}


def test_the_preview_is_of_what_is_typed_and_runs_nothing() -> None:
    world = World(answers())
    answer = world.post("/templates/preview", name="hello", subject="S", markdown="M", account="b")
    assert world.sent[-1] == (
        "POST",
        "/v1/templates/hello/preview",
        {"account": "b", "template": {"name": "hello", "subject": "S", "markdown": "M"}},
    )
    assert "sandbox" in answer.headers["content-security-policy"]
    world.answers["POST /v1/templates/hello/preview"] = refusal(422, "invalid", ("markdown", HOSTILE))
    answer = world.post("/templates/preview", name="hello", subject="S", markdown="M", account="b")
    assert "<script>x" not in answer.text
    assert "cannot be shown yet" in answer.text


def test_a_test_mail_says_what_became_of_it() -> None:
    sent = {"to": "jo@us.test", "subject": "S", "message_id": "<x>", "detail": "250 queued"}
    world = World(answers(**{"POST /v1/templates/hello/send-test": sent}))
    world.post("/templates/hello/send-test", to=" jo@us.test ", account="b")
    assert world.sent == [("POST", "/v1/templates/hello/send-test", {"account": "b", "to": "jo@us.test"})]
    assert "250 queued" in world.get("/templates/hello").text
    world.answers["POST /v1/templates/hello/send-test"] = refusal(502, "550 no such user")
    world.post("/templates/hello/send-test", to="x@us.test", account="b")
    assert "550 no such user" in world.get("/templates/hello").text


def test_who_may_only_read_sees_and_changes_nothing() -> None:
    world = World(
        answers(**{"GET /v1/templates": page_of([template()])}),
        me={"name": "x", "scopes": ["actions:read"], "email": None},
    )
    for path in ("/templates", "/templates/hello"):
        page = world.get(path).text
        assert "/edit" not in page
        assert "/new" not in page
        assert "send-test" not in page
