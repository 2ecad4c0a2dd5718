"""The OpenAPI page: valid, complete, and true of what every route answers."""

import time
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from schemas.account import ACCOUNT_EXAMPLE
from schemas.aliases import ALIASES_EXAMPLE
from schemas.brand import BRAND_EXAMPLE
from schemas.json_schemas import KINDS
from schemas.key import KEY_EXAMPLE
from schemas.policy import POLICY_EXAMPLE
from schemas.rule import RULE_EXAMPLE, TIERS_EXAMPLE
from schemas.source import SOURCE_EXAMPLE
from schemas.start import START_EXAMPLE
from schemas.task import TASK_EXAMPLE
from schemas.task_mails import TASK_MAILS_EXAMPLE
from services.actions.api.documents import TEMPLATE_EXAMPLE, TOPIC_EXAMPLE
from services.actions.api.endpoints import ENDPOINT_EXAMPLE
from services.actions.storage import endpoints
from services.app import Runtime
from tests.services.contract.pages import Page, Place
from tests.services.ingest.kit import park

TASK = {"task": {"title": "Call {{ account.name }}", "assignee": "kim@us.test"}}
PLAYBOOK = {
    "name": "chase",
    "topic": "billing",
    "steps": [TASK, {"email": {"template": "invoice-reminder"}}, {"wait": "7d"}],
}
OVERDUE = {"threshold": {"event": "invoice.overdue", "within": "7d", "at_least": {"high": 1, "low": 1}}}
RULE = {"name": "overdue", "when": OVERDUE, "playbook": "chase", "status": "active"}
TREND = {"trend": {"event": "login", "over": "7d", "baseline": "7d", "falls_by": 20}}
DOCUMENTS: list[tuple[str, dict[str, Any]]] = [
    ("rules", {**RULE_EXAMPLE, "name": "extra", "playbook": None}),
    ("playbooks", {**PLAYBOOK, "name": "extra"}),
    ("templates", {**TEMPLATE_EXAMPLE, "name": "extra"}),
    ("endpoints", ENDPOINT_EXAMPLE | {"name": "extra"}),
    ("sources", SOURCE_EXAMPLE | {"name": "extra"}),
    ("topics", TOPIC_EXAMPLE | {"name": "extra"}),
]
PROVIDERS: dict[str, str] = {
    **dict.fromkeys(("ses", "sendgrid", "postmark", "mailgun"), "{}"),
    **dict.fromkeys(("rfc3464", "rfc5965"), "Subject: hello\n\n"),
}


class Caller:
    """Calls the server, and holds every answer against the page."""

    def __init__(self, api: httpx.Client) -> None:
        self._api, self.page = api, Page(api)
        self.seen: set[Place] = set()
        self.flaws: list[str] = []

    def __call__(self, method: str, path: str, **more: Any) -> Any:
        answer = self._api.request(method, path, **more)
        assert answer.is_success, (method, path, answer.text)
        if answer.status_code == 204:
            return None
        self.seen.add(self.page.place_of(answer))
        self.flaws += self.page.flaws(answer)
        return answer.json() if answer.headers["content-type"] == "application/json" else answer.text

    def settle(self) -> None:
        while not self("get", "/v1/status")["idle"]:
            time.sleep(0.02)


@pytest.fixture(scope="module")
def call(api: httpx.Client, served: tuple[Runtime, str]) -> Caller:
    caller = Caller(api)
    _documents(caller)
    _endpoints(caller, served[0])
    _accounts(caller)
    _plays(caller)
    _tasks(caller)
    _segment(caller)
    _hooks(caller)
    _backtests(caller)
    _held(caller)
    _by_hand(caller)
    _decisions(caller)
    _unmatched(caller, served[0])
    _rest(caller)
    return caller


def _documents(call: Caller) -> None:
    call("get", "/v1/tiers")
    call("get", "/v1/policy")
    call("get", "/v1/aliases")
    call("post", "/v1/policy/check", json=POLICY_EXAMPLE)
    call("get", "/v1/brand")
    call("post", "/v1/brand/check", json=BRAND_EXAMPLE)
    call("get", "/v1/task-mails")
    call("post", "/v1/task-mails/check", json=TASK_MAILS_EXAMPLE)
    for _ in range(2):
        call("put", "/v1/policy", json=POLICY_EXAMPLE)
        call("get", "/v1/policy")
        call("put", "/v1/tiers", json=TIERS_EXAMPLE)
        call("put", "/v1/aliases", json=ALIASES_EXAMPLE)
        call("put", "/v1/brand", json=BRAND_EXAMPLE)
        call("get", "/v1/brand")
        call("put", "/v1/task-mails", json=TASK_MAILS_EXAMPLE)
        call("get", "/v1/task-mails")
        call("get", "/v1/tiers")
        call("get", "/v1/aliases")
    call("post", "/v1/templates", json=TEMPLATE_EXAMPLE)
    call("post", "/v1/playbooks", json=PLAYBOOK)
    call("post", "/v1/rules", json=RULE)
    for kind, body in DOCUMENTS:
        if kind != "topics":
            call("post", f"/v1/{kind}/check", json=body)
        call("put", f"/v1/{kind}/extra", json=body)
        call("put", f"/v1/{kind}/extra", json=body)
        call("get", f"/v1/{kind}/extra")
        if kind == "playbooks":
            call("get", "/v1/playbooks/extra/impact")
        call("get", f"/v1/{kind}")
        call("delete", f"/v1/{kind}/extra")
        call("get", f"/v1/{kind}/extra/versions")
        call("post", f"/v1/{kind}/extra/versions/1/publish")
        call("put", f"/v1/{kind}/extra?publish=false", json=body)
        call("delete", f"/v1/{kind}/extra")
        call("post", f"/v1/{kind}", json=body | {"name": "again"})
    for verb in ("pause", "shadow", "activate"):
        call("post", f"/v1/rules/overdue/{verb}")
    call("put", "/v1/rules/trend", json={"when": TREND, "status": "active"})


def _unmatched(call: Caller, rooms: Runtime) -> None:
    for name in ("unm_assigned", "unm_deleted"):
        park(rooms, name, f"{name}@acme.test")
    call("get", "/v1/unmatched")
    call("post", "/v1/unmatched/unm_assigned/assign", json={"account": "acme", "learn": True})
    call("delete", "/v1/unmatched/unm_deleted")


def _endpoints(call: Caller, rooms: Runtime) -> None:
    for since in (endpoints.FAILS_US, 0):
        with rooms.db.write() as conn:
            endpoints.note(conn, [("again", "timeout")], rooms.clock.now() - since)
    call("get", "/v1/endpoints/again")
    assert call("get", "/v1/endpoints?status=disabled")["items"]
    assert call("get", "/v1/attention")["items"]
    call("post", "/v1/endpoints/again/enable")
    call("post", "/v1/endpoints/again/retry", json={"after": "2026-01-01T00:00:00Z"})


def _accounts(call: Caller) -> None:
    call("put", "/v1/accounts/acme", json=ACCOUNT_EXAMPLE)
    call("put", "/v1/accounts/odd", json={"attributes": {"arr": "240,000"}})
    event = {"id": "inv-1", "type": "invoice.overdue", "account": "acme", "contact": "ann"}
    call("post", "/v1/events", json=event)
    call(
        "post",
        "/v1/events",
        json=[event | {"id": "inv-2", "subject": "88", "data": {"n": 1}}, {"type": "lost"}],
    )
    call("post", "/v1/clock", json={"time": "2026-11-22T10:00:00Z"})
    call.settle()
    assert call("get", "/v1/accounts/acme/events")["items"]
    assert call("get", "/v1/accounts/acme")["contacts"]
    call("get", "/v1/accounts")
    assert call("get", "/v1/accounts?q=ACM")["items"]
    assert call("get", "/v1/accounts/acme/explain")["items"]
    assert call("get", "/v1/rules?q=overdue&status=active&playbook=chase")["items"]
    assert call("get", "/v1/playbooks?q=chase&status=active")["items"]
    assert "items" in call("get", "/v1/playbooks/chase/standing")
    call("get", "/v1/accounts/acme/record")
    call("get", "/v1/rules/overdue/explain?account=acme")
    call("get", "/v1/rules/overdue/explain?account=nobody")
    call("get", "/v1/rules/trend/explain?account=acme")
    call("get", "/v1/rules/overdue/matches?near=0")
    assert call("get", "/v1/audit?object=rule/overdue")["items"]
    call("get", "/v1/rules/trend/matches")
    (trigger,) = call("get", "/v1/triggers")["items"]
    call("get", f"/v1/triggers/{trigger['id']}")


def _plays(call: Caller) -> None:
    (play,) = call("get", "/v1/plays")["items"]
    actions = call("get", "/v1/actions")["items"]
    assert {action["channel"] for action in actions} == {"email", "task"}
    for action in actions:
        call("get", f"/v1/actions/{action['id']}")
    assert call("get", f"/v1/plays/{play['id']}")["history"]
    call("post", "/v1/templates/invoice-reminder/preview", json={"account": "acme", "contact": "ann"})
    wish = {"to": "jo@us.test", "account": "acme", "contact": "ann"}
    call("post", "/v1/templates/invoice-reminder/send-test", json=wish)
    call("post", f"/v1/plays/{play['id']}/exit")
    call("get", f"/v1/plays/{play['id']}")

    _rehearsal(call, play["playbook"], play["trigger"])


def _held(call: Caller) -> None:
    call("post", "/v1/playbooks/chase/pause", json={"reason": "the template is wrong"})
    for name in ("held-1", "held-2"):
        call("put", f"/v1/accounts/{name}", json={"tier": "high"})
        call("post", "/v1/events", json={"type": "invoice.overdue", "account": name})
    call.settle()
    first, second = call("get", "/v1/plays?status=held")["items"]
    call("post", f"/v1/plays/{first['id']}/release")
    call("post", f"/v1/plays/{second['id']}/discard")
    call("post", "/v1/playbooks/chase/resume", json={"held": "release"})


def _decisions(call: Caller) -> None:
    call("put", "/v1/templates/asked", json={"subject": "Hi", "markdown": "Hi"})
    call("post", "/v1/suppressions", json={"address": "gone@acme.test"})
    asked = {"email": {"template": "asked", "approve": True}}
    steps = [asked, asked, asked, {"email": {"template": "asked", "to": "gone@acme.test"}}]
    call("put", "/v1/playbooks/asks", json={"steps": steps})
    when = {"threshold": {"event": "asks", "at_least": 1}}
    call("put", "/v1/rules/asks", json={"when": when, "playbook": "asks", "status": "active"})
    call("post", "/v1/events", json={"type": "asks", "account": "acme", "contact": "ann"})
    call.settle()
    first, second, third = call("get", "/v1/actions?reason=awaiting_approval")["items"]
    call("post", f"/v1/actions/{first['id']}/approve", json={"subject": "Hello"})
    call("post", f"/v1/actions/{second['id']}/reject", json={"reason": "they have signed"})
    call("post", "/v1/actions/approve", json={"ids": [third["id"], "nothing"]})
    (skipped,) = call("get", "/v1/actions?playbook=asks&reason=suppressed")["items"]
    call("post", f"/v1/actions/{skipped['id']}/retry")


def _rehearsal(call: Caller, playbook: str, trigger: str) -> None:
    triggers = [one for one in call("get", "/v1/triggers")["items"] if one["id"] == trigger]
    asked = {"playbook": playbook, "triggers": triggers}
    job = call("post", "/v1/rehearsals", json=asked)["id"]
    call("get", "/v1/rehearsals")
    while (found := call("get", f"/v1/rehearsals/{job}"))["status"] in {"queued", "running"}:
        time.sleep(0.02)
    assert (found["status"], found["plays"], len(found["samples"])) == ("done", 1, 1)
    call("delete", f"/v1/rehearsals/{job}")


def _tasks(call: Caller) -> None:
    task = call("post", "/v1/tasks", json=TASK_EXAMPLE | {"account": "acme"})["id"]
    call("post", "/v1/tasks", json=TASK_EXAMPLE | {"account": "acne", "assignee": "kim@us.test"})
    call("post", f"/v1/tasks/{task}/snooze", json={"until": "2026-12-24T08:00:00Z"})
    call("post", f"/v1/tasks/{task}/reassign", json={"assignee": "kim@us.test"})
    call("get", f"/v1/tasks/{task}")
    call("post", f"/v1/tasks/{task}/complete", json={"note": "Done.", "outcome": "reached"})
    assert len(call("get", "/v1/tasks")["items"]) == 3
    for _ in range(2):
        call("post", "/v1/suppressions", json={"address": "kim@acme.test", "topic": "billing"})
    call("get", "/v1/suppressions")
    call("delete", "/v1/suppressions/kim@acme.test")
    for provider, body in PROVIDERS.items():
        call("post", f"/v1/mail/feedback/{provider}", content=body)
    call("get", "/v1/sending")
    for status in ("off", "on"):
        call("put", "/v1/sending", json={"status": status, "reason": "a rehearsal"})


def _segment(call: Caller) -> None:
    for name in ("track", "identify", "group", "page", "screen", "alias"):
        said = {"userId": "bob", "event": "Clicked", "groupId": "acme", "previousId": "anon-7"}
        call("post", f"/v1/{name}", json=said)
    call(
        "post",
        "/v1/batch",
        json={"batch": [{"type": "track", "userId": "bob", "event": "x"}, {"type": "track"}]},
    )
    call("get", "/v1/projects/some-key/settings")


def _hooks(call: Caller) -> None:
    mapping = {"type": "called", "account": {"id": "id", "create": True}, "time": "at"}
    call("put", "/v1/sources/open", json={"verify": {"scheme": "none"}, "events": [mapping]})
    call("get", "/v1/hooks/open")
    call("post", "/v1/hooks/open", json=[{"id": "acme"}, {}])
    call("post", "/v1/sources/open/preview", json={"body": [{"id": "acme"}, {"id": "acme", "at": "soon"}]})


def _backtests(call: Caller) -> None:
    body = {"rule": "overdue", "against": "trend", "vary": {"cooldown": ["1d", "0s"]}}
    path = f"/v1/backtests/{call('post', '/v1/backtests', json=body)['id']}"
    while call("get", path)["status"] in ("queued", "running"):
        time.sleep(0.1)
    assert call("get", "/v1/backtests")["items"][0]["triggers"] == 1
    for query, fired in (
        ("", 1),
        ("?variant=1", 2),
        ("?change=added", 1),
    ):  # without a cooldown, both invoices fire
        assert len(call("get", f"{path}/triggers{query}")["items"]) == fired
    assert len(call("get", f"{path}/matches?near=0")["items"]) == 1
    call("delete", path)


def _by_hand(call: Caller) -> None:
    named = {"subjects": [{"account": "acme"}, {"account": "nobody"}], "dry_run": True}
    call("post", "/v1/rules/trend/start", json=named)
    call("post", "/v1/rules/trend/start", json=START_EXAMPLE, headers={"Idempotency-Key": "by-hand"})


def _rest(call: Caller) -> None:
    call("post", "/v1/keys", json=KEY_EXAMPLE)
    call("delete", f"/v1/keys/{KEY_EXAMPLE['name']}")
    made = {"title": "Call", "assignee": "jo@us.test"}
    call("post", "/v1/tasks", json=made)
    while not call("get", "/v1/task-mails/deliveries")["items"]:
        time.sleep(0.1)
    assert call("get", "/v1/keys?revoked=true")["items"]
    assert call("get", "/v1/me")["scopes"] == ["admin"]
    call.settle()
    for kind in ("triggers", "accounts", "plays", "actions", "tasks"):
        assert '"id":' in call("get", f"/v1/export/{kind}")
        assert call("get", f"/v1/export/{kind}?format=csv").startswith("cursor,deleted,id,")
    for kind in ("triggers", "plays", "actions", "tasks"):
        assert call("get", f"/v1/stats/{kind}?by=day,rule&timezone=Asia/Kolkata")["items"]
    for path in ("/healthz", "/readyz", "/metrics", "/u/preview"):
        call("get", path)
    call("post", "/u/preview")
    for kind in (*KINDS, "test", "document"):
        call("get", f"/v1/schemas/{kind}")


def test_the_page_is_valid(api: httpx.Client) -> None:
    document = Page(api).document
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()] == []
    document["components"]["schemas"]["ProblemDetails"]["properties"]["status"]["default"] = None
    assert [error.message for error in OpenAPIV31SpecValidator(document).iter_errors()]


def test_every_answer_has_a_schema(api: httpx.Client) -> None:
    page = Page(api)
    assert page.without_schema() == []
    del page.document["paths"]["/v1/rules"]["get"]["responses"]["200"]["content"]["application/json"][
        "schema"
    ]
    assert page.without_schema() == [("get", "/v1/rules", "200")]


def test_every_route_answers_as_the_page_says(call: Caller) -> None:
    assert call.flaws == []
    assert {place for place, _ in call.page.successes()} - call.seen == set()


def test_a_field_that_is_not_declared_is_seen(call: Caller, api: httpx.Client) -> None:
    answer = api.get("/v1/rules")
    page = Page(api)
    assert page.flaws(answer) == []
    del page.document["components"]["schemas"]["RuleOut"]["properties"]["changed_by"]
    assert "changed_by" in "".join(page.flaws(answer))
    assert call.page.flaws(answer) == []
