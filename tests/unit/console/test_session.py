"""Signing in, forms and their tokens, and what a page may do."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.types import Receive, Scope, Send

from services.console.api import Api, ApiError
from services.console.guard import Tries, local_path
from services.console.session import Sessions
from tests.unit.console.world import HERE, KEY, World, page_of, refusal


def test_a_stranger_is_sent_to_sign_in_and_comes_back() -> None:
    world = World()
    answer = world.call("GET", "/rules?status=active")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Frules%3Fstatus%3Dactive"
    assert 'value="/rules?status=active"' in world.call("GET", answer.headers["location"]).text
    after = world.call("POST", "/login", {"key": KEY, "next": "/rules?status=active"})
    assert after.headers["location"] == "/rules?status=active"


def test_the_cookie_does_not_show_the_key() -> None:
    world = World().sign_in()
    cookie = world.cookies["touchline_session"]
    assert KEY not in cookie
    assert Sessions(b"s" * 32).read(cookie) is not None
    assert Sessions(b"t" * 32).read(cookie) is None
    assert Sessions(b"s" * 32).read(cookie[:-2] + "AA") is None


def test_the_cookie_is_for_this_site_alone() -> None:
    said = World().call("POST", "/login", {"key": KEY}).headers["set-cookie"]
    assert "HttpOnly" in said
    assert "SameSite=lax" in said
    assert "Max-Age=43200" in said
    assert "Secure" not in said
    said = World(public_url="https://cs.test").call("POST", "/login", {"key": KEY}).headers["set-cookie"]
    assert said.startswith("__Host-touchline=")
    assert "Secure" in said
    assert "Path=/" in said


@pytest.mark.parametrize("key", ["", "tl_wrong", "k\u00e4se", "a\nb"])
def test_a_wrong_key_is_told_so(key: str) -> None:
    answer = World().call("POST", "/login", {"key": key})
    assert answer.status_code == 401
    assert "unknown or was revoked" in answer.text
    assert "set-cookie" not in answer.headers


def test_a_revoked_key_is_out_at_the_next_request() -> None:
    world = World().sign_in()
    world.answers["GET /v1/me"] = refusal(401, "revoked")
    answer = world.get("/")
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login")
    assert "Max-Age=0" in answer.headers["set-cookie"]


def test_signing_out_forgets() -> None:
    world = World().sign_in()
    assert world.post("/logout").headers["location"] == "/login"
    assert "touchline_session" not in world.cookies


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.test"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": HERE + ":81"},
    ],
)
@pytest.mark.parametrize("path", ["/sending", "/login", "/logout"])
def test_a_form_from_elsewhere_changes_nothing(path: str, headers: dict[str, str]) -> None:
    world = World().sign_in()
    before = dict(world.cookies)
    answer = world.call("POST", path, {"token": world.token, "status": "off", "key": KEY}, headers)
    assert answer.status_code == 403
    assert world.sent == []
    assert world.cookies == before


@pytest.mark.parametrize("token", [None, "", "0" * 64, "\u00e4"])
def test_a_form_without_the_token_changes_nothing(token: str | None) -> None:
    world = World().sign_in()
    form: dict[str, Any] = {"status": "off"} if token is None else {"status": "off", "token": token}
    assert world.call("POST", "/sending", form).status_code == 403
    assert world.sent == []


def test_the_token_of_another_session_does_not_fit() -> None:
    other, world = World().sign_in(), World().sign_in()
    assert other.token != world.token
    assert world.call("POST", "/sending", {"status": "off", "token": other.token}).status_code == 403


def test_behind_https_the_public_origin_counts() -> None:
    world = World({"PUT /v1/sending": {}}, public_url="https://cs.test").sign_in()
    form = {"token": world.token, "status": "off"}
    assert world.call("POST", "/sending", form, {"origin": HERE}).status_code == 403
    assert world.call("POST", "/sending", form, {"origin": "https://cs.test"}).status_code == 303


def test_one_address_may_try_five_keys_a_second() -> None:
    clock = [0.0]
    tries = Tries(lambda: clock[0])
    assert [tries.is_over("a") for _ in range(6)] == [False] * 5 + [True]
    assert not tries.is_over("b")
    clock[0] = 1.0
    assert not tries.is_over("a")


@pytest.mark.parametrize(
    "path", ["//evil.test", "https://evil.test", "/\\evil.test", "javascript:x", "evil", "", "/a\nb"]
)
def test_signing_in_never_leads_elsewhere(path: str) -> None:
    assert local_path(path) == "/"


def test_every_page_has_the_policy() -> None:
    world = World()
    for answer in (
        world.call("GET", "/login"),
        world.get("/"),
        world.get("/nowhere"),
        world.post("/nowhere"),
    ):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["cache-control"] == "no-store"
        assert "style=" not in answer.text
        assert "<script>" not in answer.text


def test_files_are_kept_for_ever_under_their_digest() -> None:
    world = World()
    address = world.call("GET", "/login").text.partition('href="')[2].partition('"')[0]
    answer = world.call("GET", address)
    assert "immutable" in answer.headers["cache-control"]
    path = address.split("/", 4)
    assert world.call("GET", "/".join([*path[:3], "0" * 12, *path[4:]])).status_code == 404
    assert world.call("GET", f"/static/console/{path[3]}/../app.py").status_code in {303, 404}


def test_large_forms_are_refused() -> None:
    world = World().sign_in()
    assert world.post("/sending", reason="x" * 1_100_000).status_code == 413
    assert world.call("POST", "/login", {"key": "x" * 1_100_000}).status_code == 413


def test_a_call_that_is_not_allowed_says_which_scope_it_needs() -> None:
    answer = refusal(403, "the key 'jo' lacks the scope actions:write", code="forbidden")
    world = World({"PUT /v1/sending": answer}, me={"name": "jo", "scopes": ["rules:read"], "email": None})
    page = world.post("/sending", status="off")
    assert page.status_code == 403
    assert "<code>actions:write</code>" in page.text
    assert "Stop sending" not in world.get("/").text, "what the key may not do is left out"


def test_a_mistake_of_ours_is_a_page_without_its_details() -> None:
    world = World({"GET /v1/attention": {"nothing": "of the kind"}})
    page = world.call("POST", "/login", {"key": KEY})
    page = world.call("GET", "/")
    assert page.status_code == 500
    assert "KeyError" not in page.text


def test_names_are_text() -> None:
    name = "<script>alert(1)</script>\"'{{ 7 * 7 }}"
    page = World(me={"name": name, "scopes": ["admin"], "email": None}).get("/")
    assert "<script>alert" not in page.text
    assert "&lt;script&gt;alert(1)" in page.text
    assert "{{ 7 * 7 }}" in page.text


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/rules/-/new", "rules:write"),
        ("/rules/spike/activate?verb=activate", "rules:write"),
        ("/playbooks/-/new", "actions:write"),
        ("/templates/-/new", "actions:write"),
        ("/templates/welcome/edit", "actions:write"),
        ("/tasks/new", "actions:write"),
        ("/settings/endpoints/-/new", "actions:write"),
        ("/settings/sources/-/new", "rules:write"),
    ],
)
def test_a_form_that_the_key_may_not_send_names_the_scope_instead(path: str, scope: str) -> None:
    me = {"name": "reader", "scopes": ["rules:read", "actions:read"], "email": None}
    answer = World(me=me).get(path)
    assert answer.status_code == 403
    assert f"<code>{scope}</code>" in answer.text
    assert "<textarea" not in answer.text


def test_a_service_that_is_away_takes_no_page_along() -> None:
    away = refusal(502, "the rules service cannot be reached", code="service_unreachable")
    world = World({"GET /v1/attention": away, "GET /v1/tasks": page_of([])})
    answer = world.get("/")
    assert answer.status_code == 200
    assert "The rules service cannot be reached." in answer.text
    assert "Nothing waits for you" not in answer.text
    assert world.get("/tasks").status_code == 200
    assert "Sending is off" not in answer.text


def test_that_sending_is_off_shows_while_another_service_is_away() -> None:
    away = refusal(502, "the rules service cannot be reached", code="service_unreachable")
    off = {"status": "off", "reason": "a wrong price", "by": "jo", "at": "2026-03-10T09:00:00Z"}
    page = World({"GET /v1/attention": away, "GET /v1/sending": off}).get("/").text
    assert "a wrong price" in page
    assert "Stop sending" not in page


def test_the_first_page_says_what_a_key_cannot_see() -> None:
    me = {"name": "sender", "scopes": ["events:write"], "email": None}
    page = World(me=me).get("/").text
    assert "<code>rules:read</code> and <code>actions:read</code>" in page
    assert "Nothing waits for you" not in page
    assert (
        "Nothing waits for you"
        in World(
            {"GET /v1/stats/triggers": {"items": [{"n": 1, "rule": "r", "day": "2026-03-10", "tier": "low"}]}}
        )
        .get("/")
        .text
    )


def test_a_call_that_hangs_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    async def hanging(scope: Scope, receive: Receive, send: Send) -> None:
        await asyncio.Event().wait()

    async def run(method: str) -> ApiError:
        api = Api(httpx.ASGITransport(hanging), KEY)
        with pytest.raises(ApiError) as said:
            await api.send(method, "/v1/tasks")
        return said.value

    monkeypatch.setattr("services.console.api.TIMEOUT_S", 0.01)
    late = asyncio.run(run("GET"))
    assert (late.status, late.code) == (504, "timeout")
    assert "may have been done" not in late.detail
    assert "may have been done" in asyncio.run(run("POST")).detail


def test_a_refusal_is_a_sentence_and_said_once() -> None:
    world = World({
        "GET /v1/rules/none": refusal(404, "there is no rule named none"),
        "GET /v1/plays": refusal(422, "tier: should be high", ("tier", "should be high")),
    })  # fmt: skip
    assert "There is no rule named none." in world.get("/rules/none").text
    page = world.get("/plays?tier=x").text
    assert "<code>tier</code>: should be high" in page
    assert "<p>Tier: should be high.</p>" not in page


def test_a_page_that_is_posted_to_says_so() -> None:
    world = World()
    assert world.post("/triggers").status_code == 405
    assert "cannot be used this way" in world.post("/triggers").text
    assert world.post("/nowhere").status_code == 404
