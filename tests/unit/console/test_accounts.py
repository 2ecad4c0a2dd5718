"""Accounts: the list, one customer with what happened and what rules lack, and what one may change there."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.console.pages.account import chips_of, kinds_of, suppressed_of
from services.console.pages.account_words import anchors_of, line_of
from services.console.pages.timeline import Row
from tests.unit.console.world import World, page_of, refusal

HOSTILE = "<img src=x onerror=alert(1)> {{ 7 * 7 }} \"'"
ODD = "a/b c'd%?#"
ODD_PATH = "/accounts/a%2Fb%20c%27d%25%3F%23"


def an_account(id_: str = "acme", **more: Any) -> dict[str, Any]:
    """An account as the API answers it."""
    contact: dict[str, Any] = {
        "id": "ann", "email": "Ann@acme.test", "phone": None, "name": "Ann", "roles": ["admin"], "active": True,
        "timezone": None, "locale": None, "attributes": {},
    }  # fmt: skip
    known = {
        "id": id_, "name": "Acme", "tier": "high", "tier_reason": "high by entry 1 of the tier policy",
        "owner": {"name": "Jo", "email": "jo@us.test"}, "timezone": "Europe/Berlin", "domains": ["acme.test"],
        "external_ids": {"stripe": "cus_1", "zendesk": ["36", "37"]},
        "attributes": {"arr": 60000, "beta": True, "plan": "pro", "tags": ["a"]}, "contacts": [contact],
        "first_event_at": "2026-01-01T00:00:00Z", "last_event_at": "2026-03-10T08:00:00Z", "merged_into": None,
    }  # fmt: skip
    return {**known, **more}


EVENT = {
    "id": "e1", "source": "api", "type": "login", "time": "2026-03-10T08:00:00Z", "contact": "ann",
    "data": {"device": "phone"}, "position": {"partition": 0, "offset": 5},
}  # fmt: skip
TRIGGER = {
    "id": "g1", "rule": "gone-quiet", "key": None, "at": "2026-03-10T08:00:00Z", "sentence": "No login for 30 days.",
    "event": {"id": "e1", "source": "api", "type": "login"},
}  # fmt: skip
PLAY = {
    "id": "p1", "playbook": "win-back", "rule": "gone-quiet", "trigger": "g1", "status": "open", "sentence": None,
    "started_at": "2026-03-10T08:00:01Z",
}  # fmt: skip
MAIL = {
    "id": "m1", "play": "p1", "playbook": "win-back", "channel": "email", "recipient": "ann@acme.test",
    "status": "done", "sentence": None, "due_at": "2026-03-10T08:00:02Z",
}  # fmt: skip
TASK = {
    "id": "t1", "play": "p1", "playbook": "win-back", "title": "Call Acme", "assignee": "jo@us.test",
    "status": "completed", "sentence": None, "note": "They stay.", "outcome": "reached",
    "created_at": "2026-03-09T08:00:00Z",
}  # fmt: skip


def a_world(account: Any = None, me: Any = None, **more: Any) -> World:
    account = account or an_account()
    path = f"/v1/accounts/{account['id']}"

    def actions(request: Any) -> Any:
        return page_of([MAIL] if request.url.params["channel"] == "email" else [])

    lacking = {"rule": "gone-quiet", "share": 0.8, "sentence": "7 days to go.", "contact": None}
    answers: dict[str, Any] = {
        f"GET {path}": account,
        f"GET {path}/explain": {"items": [lacking, {**lacking, "rule": "spike", "share": None}]},
        f"GET {path}/events": page_of([EVENT]),
        "GET /v1/triggers": page_of([TRIGGER]),
        "GET /v1/plays": page_of([PLAY]),
        "GET /v1/actions": actions,
        "GET /v1/tasks": page_of([TASK]),
        "GET /v1/suppressions": page_of([]),
        "GET /v1/accounts": page_of([account]),
    }
    return World({**answers, **more}, me=me or {"name": "jo", "scopes": ["admin"], "email": "jo@us.test"})


# -- the list


def test_accounts_are_searched_under_the_names_of_the_api() -> None:
    world = a_world()
    world.answers["GET /v1/accounts"] = page_of([an_account()], "next")
    page = world.get("/accounts?q=ac%20me&tier=high&owner=&cursor=c").text
    asked = [each for each in world.asked if each.url.path == "/v1/accounts"][-1]
    assert dict(asked.url.params) == {"q": "ac me", "tier": "high", "limit": "50", "cursor": "c"}
    assert 'href="/accounts/acme">Acme</a>' in page
    assert "high by entry 1" in page
    assert "cursor=next" in page
    assert 'href="/accounts?owner=jo%40us.test"' in page


def test_an_empty_list_says_how_accounts_come_in() -> None:
    world = a_world(**{"GET /v1/accounts": page_of([])})
    assert "touchline import accounts.csv" in world.get("/accounts").text
    assert "No account fits" in world.get("/accounts?q=nobody").text
    assert "no more" in world.get("/accounts?cursor=c").text


def test_an_odd_id_leads_to_its_page() -> None:
    world = a_world(an_account(ODD))
    assert f'href="{ODD_PATH}"' in world.get("/accounts").text
    page = world.get(ODD_PATH)
    assert page.status_code == 200
    assert f'action="{ODD_PATH}/erase"' in page.text


# -- one account


def test_the_page_says_who_it_is_what_happened_and_what_rules_lack() -> None:
    page = a_world().get("/accounts/acme").text
    for said in (
        "high by entry 1",
        "60,000",
        "yes",
        "36, 37",
        "acme.test",
        "jo@us.test",
        "Ann@acme.test",
        "7 days to go.",
    ):
        assert said in page
    assert 'width="80.0"' in page
    assert "80 %" in page
    for said in (
        "login",
        "gone-quiet fired",
        "No login for 30 days.",
        "win-back",
        "Mail to ann@acme.test",
        "Call Acme",
    ):
        assert said in page
    assert "reached · They stay." in page
    assert page.index("<h3>Today</h3>") < page.index("<h3>Yesterday</h3>")
    assert "Older" not in page


def test_each_effect_leads_to_its_cause() -> None:
    page = a_world().get("/accounts/acme").text
    assert 'href="#event-0-5">at login</a>' in page
    assert 'href="#g1">from gone-quiet</a>' in page
    assert 'href="#p1">in win-back</a>' in page
    alone = a_world().get("/accounts/acme?kinds=plays").text
    assert 'href="/triggers/g1">from gone-quiet</a>' in alone
    assert "Mail to" not in alone


def test_chips_add_and_remove_kinds() -> None:
    assert kinds_of({"kinds": "mails,odd"}) == ["mails"]
    assert len(kinds_of({"kinds": ""})) == 6
    some = {chip.name: chip.target for chip in chips_of("acme", ["mails", "plays"])}
    assert some["Mails"] == "/accounts/acme?kinds=plays#timeline"
    assert some["Tasks"] == "/accounts/acme?kinds=plays%2Cmails%2Ctasks#timeline"
    everything = {chip.name: chip.target for chip in chips_of("acme", kinds_of({}))}
    assert everything["Mails"] == "/accounts/acme?kinds=mails#timeline"
    world = a_world()
    world.get("/accounts/acme?kinds=mails")
    paths = {each.url.path for each in world.asked}
    assert "/v1/actions" in paths
    assert paths.isdisjoint({"/v1/tasks", "/v1/triggers", "/v1/accounts/acme/events"})


def test_older_is_a_link_that_keeps_the_kinds() -> None:
    events = [{**EVENT, "id": f"e{n}", "position": {"partition": 0, "offset": 99 - n}} for n in range(50)]
    world = a_world()
    world.answers["GET /v1/accounts/acme/events"] = page_of(events, "more")
    page = world.get("/accounts/acme?kinds=events").text
    assert "kinds=events&amp;before=9999-12-31T23%3A59%3A59Z&amp;events=more#timeline" in page
    assert (
        "Back to the newest"
        in world.get("/accounts/acme?kinds=events&before=2026-01-01T00:00:00Z&events=more").text
    )


def test_nothing_happened_and_no_rule() -> None:
    nothing = page_of([])
    world = a_world(
        an_account(contacts=[], owner=None),
        **{
            "GET /v1/accounts/acme/events": nothing, "GET /v1/accounts/acme/explain": {"items": []},
            "GET /v1/triggers": nothing, "GET /v1/plays": nothing, "GET /v1/actions": nothing, "GET /v1/tasks": nothing,
        },
    )  # fmt: skip
    page = world.get("/accounts/acme").text
    for said in (
        "Nothing has happened yet",
        "No rule is in force",
        "no mail can go out",
        "tasks for the owner are for nobody",
    ):
        assert said in page
    assert "/v1/suppressions" not in {each.url.path for each in world.asked}


def test_an_unknown_account_says_how_events_find_theirs() -> None:
    page = World().get("/accounts/nobody")
    assert page.status_code == 404
    assert "nobody" in page.text
    assert 'href="/settings/unmatched"' in page.text


def test_a_merged_account_leads_on() -> None:
    assert 'href="/accounts/b%2Fc"' in a_world(an_account(merged_into="b/c")).get("/accounts/acme").text


def test_what_others_wrote_is_text() -> None:
    contact: dict[str, Any] = {
        **an_account()["contacts"][0],
        "id": HOSTILE,
        "name": HOSTILE,
        "email": HOSTILE,
        "roles": [HOSTILE],
    }
    world = a_world(
        an_account(
            name=HOSTILE, tier_reason=HOSTILE, owner={"name": HOSTILE, "email": HOSTILE}, domains=[HOSTILE],
            external_ids={HOSTILE: HOSTILE}, attributes={HOSTILE: {HOSTILE: [HOSTILE]}}, contacts=[contact],
        ),
        **{
            "GET /v1/accounts/acme/events": page_of([{**EVENT, "type": HOSTILE, "data": {HOSTILE: HOSTILE, "x": {}}}]),
            "GET /v1/tasks": page_of([{**TASK, "title": HOSTILE, "note": HOSTILE}]),
        },
    )  # fmt: skip
    for path in ("/accounts/acme", "/accounts"):
        page = world.get(path).text
        assert "<img" not in page
        assert "{{ 7 * 7 }}" in page


def test_a_reader_is_offered_no_changes() -> None:
    world = a_world(me={"name": "kim", "scopes": ["rules:read"], "email": None})
    for path in ("plays", "actions", "tasks", "suppressions"):
        world.answers[f"GET /v1/{path}"] = refusal(403, "lacks the scope actions:read", code="forbidden")
    page = world.get("/accounts/acme")
    assert page.status_code == 200
    assert "gone-quiet fired" in page.text
    assert 'action="/accounts' not in page.text.replace('action="/accounts"', "")
    assert "download=record" not in page.text


def test_without_the_scope_for_accounts_it_says_which() -> None:
    world = a_world(**{"GET /v1/accounts/acme": refusal(403, "lacks the scope rules:read", code="forbidden")})
    page = world.get("/accounts/acme")
    assert page.status_code == 403
    assert "<code>rules:read</code>" in page.text


def test_days_are_those_of_the_reader() -> None:
    late = {**EVENT, "time": "2026-03-09T23:30:00Z"}  # after midnight in Berlin
    world = a_world(**{"GET /v1/accounts/acme/events": page_of([late])})
    world.sign_in()
    world.cookies.set("touchline_zone", "Europe/Berlin")
    page = world.get("/accounts/acme?kinds=events").text
    assert "<h3>Today</h3>" in page
    assert ">00:30</time>" in page


def test_lines_in_words() -> None:
    at = datetime(2026, 3, 10, tzinfo=ZoneInfo("UTC"))
    own = {**EVENT, "type": "touchline.email.unsubscribed", "data": {"play": "p/1", "playbook": "win-back"}}
    line = line_of(Row("events", at, at, own), {})
    assert (line.title, line.target) == ("Unsubscribed from the mails of win-back", "/plays/p%2F1")
    rich = {**EVENT, "data": {"a": 1200, "b": True, "c": None, "d": {"e": 1}, "f": "x" * 200}}
    line = line_of(Row("events", at, at, rich), {})
    assert line.more == "by ann, a 1,200, b yes"
    assert line.data == rich["data"]
    assert line_of(Row("events", at, at, EVENT), {}).data is None, "it stands in the line"
    shadow = {**TRIGGER, "shadow": True, "key": "88", "event": None}
    line = line_of(Row("triggers", at, at, shadow), {})
    assert (line.title, line.more, line.cause) == ("gone-quiet fired in shadow", "for 88", None)
    assert anchors_of([Row("plays", at, at, PLAY), Row("events", at, at, EVENT)]) == {
        ("p1",): "p1", ("api", "e1"): "event-0-5",
    }  # fmt: skip


# -- changes


def test_ending_a_play() -> None:
    world = a_world(**{"POST /v1/plays/p1/exit": {}})
    assert 'name="play" value="p1"' in world.get("/accounts/acme").text
    answer = world.post("/accounts/acme/exit", play="p1")
    assert world.sent == [("POST", "/v1/plays/p1/exit", None)]
    assert answer.headers["location"] == "/accounts/acme"


def test_a_play_that_has_ended_already() -> None:
    world = a_world(
        **{"POST /v1/plays/p1/exit": refusal(409, "the play is finished; only an open one can be ended")}
    )
    page = world.post("/accounts/acme/exit", play="p1")
    assert page.status_code == 409
    assert "the play is finished" in page.text


def test_suppressing_an_address_and_lifting_it() -> None:
    kept = {"address": "ann@acme.test", "topic": "billing", "sentence": "ann gets no mail about billing."}
    world = a_world(
        **{
            "POST /v1/suppressions": (201, {}), "DELETE /v1/suppressions/Ann@acme.test": (204, None),
            "GET /v1/suppressions": page_of([kept]),
        }
    )  # fmt: skip
    page = world.get("/accounts/acme").text
    assert "ann gets no mail about billing." in page
    assert dict([each for each in world.asked if each.url.path == "/v1/suppressions"][-1].url.params) == {
        "address": "Ann@acme.test", "limit": "1000",
    }  # fmt: skip
    world.post(
        "/accounts/acme/suppress", address="Ann@acme.test", topic=" ", reason="asked by phone", once="o1"
    )
    assert world.sent[-1][2] == {"address": "Ann@acme.test", "topic": None, "reason": "asked by phone"}
    assert world.asked[-1].headers["idempotency-key"].rpartition("-")[0] == "o1"
    world.post("/accounts/acme/lift", address="Ann@acme.test", topic="billing")
    assert world.sent[-1] == ("DELETE", "/v1/suppressions/Ann%40acme.test?topic=billing", None)
    assert suppressed_of(an_account(), [{**kept, "address": None}]) == {}


@pytest.mark.parametrize("typed", ["", "Acme", "acm"])
def test_nothing_is_erased_unless_its_id_was_typed(typed: str) -> None:
    world = a_world()
    page = world.post("/accounts/acme/erase", typed=typed)
    assert page.status_code == 422
    assert "Nothing was erased" in page.text
    assert world.post("/accounts/acme/erase", typed="acme", contact="ann").status_code == 422
    assert world.sent == []


def test_erasing_an_account_or_a_person() -> None:
    world = a_world(**{"POST /v1/events": (202, {"accepted": 1, "rejected": []})})
    answer = world.post("/accounts/acme/erase", typed="acme", once="o")
    assert world.sent == [("POST", "/v1/events", {"type": "account.deleted", "account": "acme"})]
    assert answer.headers["location"] == "/accounts"
    answer = world.post("/accounts/acme/erase", typed="ann", contact="ann")
    assert world.sent[-1][2] == {"type": "contact.deleted", "account": "acme", "contact": "ann"}
    assert answer.headers["location"] == "/accounts/acme"


def test_everything_that_is_kept_as_a_file() -> None:
    world = a_world(**{"GET /v1/accounts/acme/record": {"account": {"id": "acme"}}})
    answer = world.get("/accounts/acme?download=record")
    assert answer.json() == {"account": {"id": "acme"}}
    assert "attachment" in answer.headers["content-disposition"]
