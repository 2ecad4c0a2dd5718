"""Whether a hook comes from its system: every scheme, and that nothing else passes."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from schemas.event import from_microseconds
from schemas.source import SourceIn
from services.ingest.sources.verify import HookRequest, verifier

NOW_S = 1_795_338_000
NOW = NOW_S * 1_000_000
URL = "https://touchline.us.test/base/v1/hooks/crm?a=1&b=%20"
RAW = base64.b64encode(b"r" * 24).decode()
Headers = dict[str, str]


def check(verify: dict[str, Any], body: bytes, headers: Headers, *, query: str = "", now: int = NOW) -> bool:
    doc = {"name": "crm", "verify": verify, "events": [{"type": "x", "account": {"id": "id"}}]}
    request = HookRequest(body, {name.lower(): one for name, one in headers.items()}, query, URL)
    return verifier(SourceIn.model_validate(doc))(request, now)


def digest(secret: str, signed: bytes, algorithm: str = "sha256") -> bytes:
    return hmac.new(secret.encode(), signed, algorithm).digest()


def stripe(secret: str, body: bytes, at: int) -> Headers:
    return {"Stripe-Signature": f"t={at},v0=ab,v1={digest(secret, b'%d.' % at + body).hex()}"}


def hubspot(secret: str, body: bytes, at: int) -> Headers:
    signed = b"POST" + URL.encode() + body + b"%d000" % at
    return {"X-Sig": base64.b64encode(digest(secret, signed)).decode(), "X-Time": f"{at}000"}


def zendesk(secret: str, body: bytes, at: int) -> Headers:
    stamp = from_microseconds(at * 1_000_000).isoformat().replace("+00:00", "Z")
    return {"X-Sig": base64.b64encode(digest(secret, stamp.encode() + body)).decode(), "X-Time": stamp}


def standard(secret: str, body: bytes, at: int) -> Headers:
    signature = Webhook(secret).sign("msg_1", from_microseconds(at * 1_000_000), body.decode("latin-1"))
    return {"webhook-id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": f"v1a,x {signature}"}


BASE64 = {"scheme": "hmac", "header": "X-Sig", "encoding": "base64"}
HUBSPOT = {**BASE64, "signed": "{method}{url}{body}{timestamp}", "timestamp": "X-Time"}
ZENDESK = {**BASE64, "signed": "{timestamp}{body}", "timestamp": "X-Time"}
TIMED: dict[str, Any] = {
    "stripe": ({"scheme": "stripe"}, stripe),
    "url and milliseconds": (HUBSPOT, hubspot),
    "rfc 3339": (ZENDESK, zendesk),
    "standard-webhooks": ({"scheme": "standard-webhooks"}, standard),
}
UNTIMED: dict[str, Any] = {
    "hex with a prefix": (
        {"scheme": "hmac", "header": "X-Hub-Signature", "algorithm": "sha1", "prefix": "sha1="},
        lambda secret, body: {"X-Hub-Signature": "sha1=" + digest(secret, body, "sha1").hex()},
    ),
    "one of several": (
        {"scheme": "hmac", "header": "X-Sig", "prefix": "v1="},
        lambda secret, body: {"X-Sig": f"v1={'0' * 64}, v1=zz,v0=1 ,v1={digest(secret, body).hex()}"},
    ),
    "sha512 over another header": (
        {**BASE64, "algorithm": "sha512", "signed": "{header:X-Id}.{body}"},
        lambda secret, body: {
            "X-Id": "7",
            "X-Sig": base64.b64encode(digest(secret, b"7." + body, "sha512")).decode(),
        },
    ),
}
timed = pytest.mark.parametrize(("verify", "sign"), TIMED.values(), ids=list(TIMED))
untimed = pytest.mark.parametrize(("verify", "sign"), UNTIMED.values(), ids=list(UNTIMED))


@timed
def test_a_signature_with_a_time_holds_for_five_minutes_either_way(verify: dict[str, Any], sign: Any) -> None:
    def holds(at: int, body: bytes = b"{}") -> bool:
        return check({**verify, "secret": RAW}, body, sign(RAW, b"{}", at))

    assert all(holds(NOW_S + off) for off in (-300, 0, 300))
    assert not any(holds(NOW_S + off) for off in (-301, 301, -86_400))
    assert not holds(NOW_S, body=b"{ }")


@timed
def test_its_time_cannot_be_changed_or_left_out(verify: dict[str, Any], sign: Any) -> None:
    """A captured request stays as old as it is."""
    old = sign(RAW, b"{}", NOW_S - 1_000)
    new = sign(RAW, b"{}", NOW_S)
    with_time = [name for name in old if "Time" in name or "timestamp" in name]
    if not with_time:  # it stands in the signature's own header
        name = "Stripe-Signature"
        changed = {name: old[name].replace(str(NOW_S - 1_000), str(NOW_S))}
        two = {name: f"t={NOW_S},{old[name]}"}
        assert not check({**verify, "secret": RAW}, b"{}", two)
    else:
        changed = old | {one: new[one] for one in with_time}
    assert not check({**verify, "secret": RAW}, b"{}", changed)
    for name in new:
        less = {one: value for one, value in new.items() if one != name}
        assert not check({**verify, "secret": RAW}, b"{}", less)


@untimed
def test_a_signature_over_the_body(verify: dict[str, Any], sign: Any) -> None:
    assert check({**verify, "secret": RAW}, b"{}", sign(RAW, b"{}"))
    assert not check({**verify, "secret": RAW}, b"{ }", sign(RAW, b"{}"))
    assert not check({**verify, "secret": RAW}, b"{}", sign(RAW + "x", b"{}"))
    for name in sign(RAW, b"{}"):
        assert not check(
            {**verify, "secret": RAW}, b"{}", {one: v for one, v in sign(RAW, b"{}").items() if one != name}
        )


@pytest.mark.parametrize("field", ["secret", "secrets"])
@pytest.mark.parametrize("name", ["stripe", "standard-webhooks"])
def test_two_secrets_while_one_is_replaced(field: str, name: str) -> None:
    verify, sign = TIMED[name]
    old, new, other = (base64.b64encode(one * 24).decode() for one in (b"o", b"n", b"x"))
    for secret, holds in ((old, True), (new, True), (other, False)):
        assert check({**verify, field: [old, new]}, b"{}", sign(secret, b"{}", NOW_S)) == holds


@given(st.binary(max_size=300), st.sampled_from(sorted(TIMED)), st.data())
def test_nothing_that_is_made_up_passes(body: bytes, name: str, data: st.DataObject) -> None:
    """Neither a forged signature nor a true one with a byte changed."""
    verify, sign = TIMED[name]
    true = sign(RAW, b"{}", NOW_S)
    header = data.draw(st.sampled_from(sorted(true)))
    garbage = data.draw(st.text(st.characters(max_codepoint=255), max_size=200))
    if garbage not in {*true.values(), *(one.strip() for one in true.values())}:
        assert not check({**verify, "secret": RAW}, b"{}", true | {header: garbage})
    if body != b"{}":
        assert not check({**verify, "secret": RAW}, body, true)


def basic(text: str) -> Headers:
    return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}


def test_basic() -> None:
    verify = {"scheme": "basic", "username": "zuora", "password": ["pä:ss", "new"]}
    assert check(verify, b"", basic("zuora:pä:ss"))
    assert check(verify, b"", basic("zuora:new"))
    for wrong in (
        basic("zuora:no"), basic("zuora"), basic("zuora:"), basic("other:new"), basic(""), {},
        {"Authorization": "Basic !"}, {"Authorization": "Bearer " + basic("zuora:new")["Authorization"][6:]},
    ):  # fmt: skip
        assert not check(verify, b"", wrong)


def test_token() -> None:
    in_header = {"scheme": "token", "header": "X-Token", "secret": "tökén"}
    assert check(in_header, b"", {"x-token": "tökén".encode().decode("latin-1")})
    for wrong in ({}, {"x-token": ""}, {"x-token": "tökén "}, {"authorization": "tökén"}):
        assert not check(in_header, b"", wrong)
    in_query = {"scheme": "token", "query": "token", "secret": ["a b", "c"]}
    assert check(in_query, b"", {}, query="x=1&token=a%20b")
    assert check(in_query, b"", {}, query="token=c")
    for query in (
        "",
        "token=",
        "token",
        "Token=c",
        "token=c&token=d",
        "token=d&token=c",
        "x=c",
        "&" * 200 + "token=c",
    ):
        assert not check(in_query, b"", {"token": "c"}, query=query) or query.startswith("&&")


@pytest.mark.parametrize(
    "verify", [{"scheme": "stripe"}, {**UNTIMED["hex with a prefix"][0]}, {"scheme": "standard-webhooks"},
               {"scheme": "basic", "username": "x"}, {"scheme": "token", "header": "X-Token"}],
    ids=lambda one: str(one["scheme"]),
)  # fmt: skip
def test_without_a_secret_nothing_holds(verify: dict[str, Any]) -> None:
    """Not even what an empty one would sign."""
    for headers in (
        stripe("", b"", NOW_S),
        {"X-Hub-Signature": "sha1=" + hmac.new(b"", b"", hashlib.sha1).hexdigest()},
        basic("x:"), {"X-Token": ""},
    ):  # fmt: skip
        assert not check(verify, b"", headers)


def test_none_is_open() -> None:
    assert check({"scheme": "none"}, b"anything", {})
