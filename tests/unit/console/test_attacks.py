"""What somebody might try who means harm, or whose browser is odd: addresses, forms, cookies and headers."""

import asyncio
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from services.console.api import Api, ApiError
from services.console.dates import day_text, in_zone, when, zone_named
from services.console.front import Front, is_page
from services.console.guard import Address, Tries, address_of, local_path
from services.console.session import Sessions
from tests.unit.console.world import HERE, KEY, NOW, World, page_of, refusal

RULE = {
    "name": "r", "status": "active", "playbook": None,
    "when": {"threshold": {"event": "e", "aggregate": "count", "above": 2, "within": "1d"}},
}  # fmt: skip


def scope_of(path: str = "/", query: bytes = b"", **headers: str) -> dict[str, Any]:
    named = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query,
        "headers": named, "scheme": "http", "server": ("console.test", 80),
    }  # fmt: skip


# -- addresses


@pytest.mark.parametrize(
    "path", ["/rules/a%3Fb", "/rules/50%25", "/rules/a%252Fb", "/rules/%C3%A9?q=%26%20%C3%A9", "/rules/a%23b"]
)
def test_one_comes_back_to_the_very_address(path: str) -> None:
    world = World()
    to = world.call("GET", path).headers["location"]
    shown = world.call("GET", to).text.partition('name="next" value="')[2].partition('"')[0]
    assert shown == path
    assert world.call("POST", "/login", {"key": KEY, "next": shown}).headers["location"] == path


@given(st.binary(max_size=30), st.binary(max_size=30))
def test_an_address_is_safe_in_a_header(path: bytes, query: bytes) -> None:
    found = address_of({"path": "/", "raw_path": b"/" + path, "query_string": query})
    assert found.isascii()
    assert found.isprintable()
    assert " " not in found
    back = local_path(found)
    assert httpx.URL(HERE).join(back).host == "console.test"


@pytest.mark.parametrize("host", ["[", "a/b?", "x:99999", "", "v1?", "console.test/login"])
def test_the_host_a_client_names_does_not_decide_where_it_gets(host: str) -> None:
    for path, page in (("/rules", True), ("/v1/rules", False), ("/static/x/y", False)):
        assert is_page(scope_of(path, b"x=\xff", host=host)) == page
    answer = World().call("POST", "/sending", {"key": KEY}, {"host": host or "x"})
    assert answer.headers["location"] == "/login", "it is no way to sign in"


def test_bytes_that_are_no_text_in_a_query_are_no_mistake_of_ours() -> None:
    world = World({"GET /v1/triggers": page_of([])}).sign_in()
    found: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        found.append(message)

    cookie = f"touchline_session={world.cookies['touchline_session']}"
    for header in ({"cookie": cookie}, {}):
        asyncio.run(world.console(scope_of("/triggers", b"q=\xff", **header), receive, send))
    assert [one["status"] for one in found if "status" in one] == [200, 303]


def test_the_session_opens_no_api() -> None:
    seen: list[Any] = []

    async def api(scope: Any, _receive: Any, _send: Any) -> None:
        seen.append(scope["path"])

    world = World().sign_in()
    before = len(world.asked)
    front = Front(api, world.console)
    cookie = f"touchline_session={world.cookies['touchline_session']}"
    for path in ("/v1/me", "//v1/me", "/v1", "/docs", "/u/x", "/openapi.json"):
        asyncio.run(front(scope_of(path, cookie=cookie, accept="text/html"), _no, _no))
    assert seen == ["/v1/me", "//v1/me", "/v1", "/docs", "/u/x", "/openapi.json"]
    assert len(world.asked) == before, "the console asked nothing for it"


async def _no(*_: Any) -> Any:
    raise AssertionError("not called")


@pytest.mark.parametrize(
    "tail", ["../../app.py", "%2e%2e/app.py", "..%2fapp.py", "htmx/../../app.py", "", "/"]
)
def test_nothing_but_files_meant_for_it_is_served(tail: str) -> None:
    world = World()
    digest = world.call("GET", "/login").text.partition("/static/console/")[2].partition("/")[0]
    answer = world.call("GET", f"/static/console/{digest}/{tail}")
    assert answer.status_code in {303, 404}
    assert "content-security-policy" in answer.headers


# -- where forms come from


@pytest.mark.parametrize(
    ("public_url", "origin"),
    [
        ("https://cs.test:443", "https://cs.test"),
        ("HTTPS://CS.test", "https://cs.test"),
        ("http://cs.test:80", "http://cs.test"),
        ("https://cs.test/touchline", "https://cs.test"),
        ("https://cs.test:8443", "https://cs.test:8443"),
    ],
)
def test_an_origin_is_as_browsers_write_it(public_url: str, origin: str) -> None:
    address = Address(public_url)
    assert address.is_own(Request(scope_of(origin=origin)))
    assert address.is_https(Request(scope_of())) == origin.startswith("https")
    for other in (origin + ":81", origin.replace("cs.", "x.cs."), origin + ".evil.test", "null", ""):
        assert not address.is_own(Request(scope_of(origin=other)))


def test_a_network_of_one_customer_counts_as_one_address() -> None:
    tries = Tries(lambda: 0.0)
    assert [tries.is_over(f"2001:db8::{n}") for n in range(6)] == [False] * 5 + [True]
    assert not tries.is_over("2001:db8:0:1::1")


# -- what was done, as the next page says it


def test_a_message_is_for_its_own_session() -> None:
    sessions = Sessions(b"s" * 32)
    mine, other = (sessions.token(sessions.begin(KEY)[0]) for _ in range(2))
    cookie = sessions.message(mine, "Call 555: you won")
    assert sessions.read_message(mine, cookie) == "Call 555: you won"
    assert sessions.read_message(other, cookie) is None
    assert sessions.read_message(mine, sessions.begin(KEY)[1]) is None, "a session is no message"
    assert sessions.read(cookie) is None, "and a message no session"


def test_signing_out_forgets_what_was_said() -> None:
    world = World({"PUT /v1/sending": {}}).sign_in()
    world.post("/sending", status="on")
    assert "touchline_said" in world.cookies
    world.post("/logout")
    assert "touchline_said" not in world.cookies


def test_the_longest_message_fits_into_a_cookie() -> None:
    sessions = Sessions(b"s" * 32)
    token = sessions.token(sessions.begin(KEY)[0])
    assert len(sessions.message(token, "\U0001f600" * 400)) < 3_500


# -- forms


def test_a_form_of_too_many_fields_is_refused() -> None:
    for world in (World(), World().sign_in()):
        answer = world.call("POST", "/sending", {f"f{n}": "" for n in range(2_001)})
        assert answer.status_code == 413
        assert "2,000 fields" in answer.text


@pytest.mark.parametrize("value", ["\u00e9", '"a"\r\nX-Evil: 1', "\u2028"])
def test_what_a_form_says_is_never_half_a_header(value: str) -> None:
    world = World({"GET /v1/keys": page_of([])}).sign_in()
    for path, field in (("/settings/keys", "once"), ("/rules/r/delete", "etag"), ("/rules/r/turn", "etag")):
        answer = world.post(path, name="n", verb="pause", **{field: value})
        assert answer.status_code == 400, path
        assert "This form is damaged" in answer.text
    assert world.sent == []


def test_a_form_in_another_encoding_is_none_of_ours() -> None:
    world = World().sign_in()

    for kind in ("text/plain", "multipart/form-data; boundary=x", "application/json"):
        assert world.call("POST", "/sending", None, {"content-type": kind}).status_code == 403
    assert world.sent == []


@pytest.mark.parametrize(
    "data",
    ["[" * 100_000, '{"a": "\\ud800"}', '{"a": NaN}', '{"a": 1e999}', "{", '{"a": "\\u0000"}', "9" * 9_000],
)
def test_data_that_is_no_json_is_said_to_be_none(data: str) -> None:
    listed = page_of([])
    world = World({"GET /v1/rules": listed, "GET /v1/triggers": listed, "GET /v1/actions": listed})
    answer = world.post("/start/sample", account="a", event="e", data=data)
    assert answer.status_code == 422
    assert "The data is no JSON" in answer.text
    assert world.sent == []


@pytest.mark.parametrize(
    ("page", "path", "form"),
    [
        ("/settings/suppressions", "/settings/suppressions", {"address": "jo@x.test"}),
        ("/settings/keys", "/settings/keys", {"name": "n", "scopes": "track"}),
        ("/start", "/start/sample", {"account": "a", "event": "e", "data": "{}"}),
    ],
)
def test_a_form_that_is_sent_twice_creates_once(page: str, path: str, form: dict[str, str]) -> None:
    listed = page_of([])
    world = World({
        "GET /v1/keys": listed, "GET /v1/suppressions": listed, "GET /v1/rules": page_of([RULE]),
        "GET /v1/triggers": listed, "GET /v1/actions": listed, "PUT /v1/accounts/a": {},
        "POST /v1/keys": {"key": KEY, "name": "n"}, "POST /v1/suppressions": {}, "POST /v1/events": {},
    })  # fmt: skip
    once = world.get(page).text.partition('name="once" value="')[2].partition('"')[0]
    assert len(once) > 20
    world.post(path, once=once, **form)
    world.post(path, once=once, **form)
    world.post(path, once="another", **form)
    made = [
        one.headers.get("idempotency-key") or one.content
        for one in world.asked
        if one.method == "POST" and one.url.path.startswith("/v1/")
    ]
    assert len(made) == 3
    assert made[0] == made[1] != made[2]


def test_a_count_of_thousands_of_digits_is_none() -> None:
    world = World({"PUT /v1/accounts/a": {}, "POST /v1/events": {}})
    assert (
        world.post("/start/sample", account="a", event="e", data="{}", count="9" * 5_000).status_code == 303
    )
    assert len(world.sent[-1][2]) == 1


def test_a_version_of_thousands_of_digits_is_nowhere() -> None:
    world = World().sign_in()
    assert world.post(f"/rules/r/versions/{'9' * 5_000}/publish").status_code == 404
    assert world.get(f"/rules/r/versions/{'9' * 5_000}/publish").status_code == 404


# -- what is asked of the API


def asked(answer: httpx.Response, path: str, *parts: str, **more: Any) -> Any:
    """What `Api` makes of a call whose answer is known."""
    transport = httpx.MockTransport(lambda _: answer)
    return asyncio.run(Api(transport, KEY).send("POST", path, *parts, **more))


@pytest.mark.parametrize("part", ["", ".", ".."])
def test_no_part_of_a_path_leads_to_another(part: str) -> None:
    with pytest.raises(ApiError) as refused:
        asked(httpx.Response(200), "/v1/suppressions/{}", part)
    assert refused.value.status == 404


def test_a_name_of_any_length_is_no_mistake_of_ours() -> None:
    with pytest.raises(ApiError) as refused:
        asked(httpx.Response(200), "/v1/suppressions/{}", "a" * 900_000)
    assert refused.value.status == 414


@pytest.mark.parametrize("body", [{"a": "\ud800"}, {"a": object()}, {(1, 2): 3}])
def test_what_json_cannot_carry_is_not_sent(body: Any) -> None:
    with pytest.raises(ApiError) as refused:
        asked(httpx.Response(200), "/v1/x", body=body)
    assert refused.value.status == 422


@pytest.mark.parametrize("status", [204, 301, 307])
def test_an_answer_that_leads_elsewhere_is_no_answer(status: int) -> None:
    answer = httpx.Response(status, headers={"location": "http://evil.test"})
    if status == 204:
        assert asked(answer, "/v1/x") is None
        return
    with pytest.raises(ApiError) as refused:
        asked(answer, "/v1/x")
    assert refused.value.status == 502


def test_an_empty_key_is_not_even_tried() -> None:
    world = World()
    assert world.call("POST", "/login", {"key": "  "}).status_code == 401
    assert world.asked == []


# -- times


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York", "Pacific/Kiritimati"])
@pytest.mark.parametrize("iso", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])
def test_the_ends_of_the_calendar_are_shown_anywhere(zone: str, iso: str) -> None:
    assert when(iso, ZoneInfo(zone), NOW).iso == iso
    assert day_text(iso, ZoneInfo(zone), NOW)
    found = in_zone(iso[:16], ZoneInfo(zone))
    assert found is None or found.utcoffset() is not None


@given(
    st.text(max_size=40)
    | st.sampled_from(["../../etc/passwd", "Europe", ".", "..", "tzdata.zi", "a" * 9_000])
)
def test_any_cookie_names_a_zone(name: str) -> None:
    assert zone_named(name).utcoffset(NOW) is not None


def test_a_refusal_shows_the_apis_words_as_text() -> None:
    evil = "<img src=x onerror=alert(1)>"
    world = World({"GET /v1/triggers": refusal(422, evil, (evil, evil))})
    assert evil not in world.get("/triggers").text
