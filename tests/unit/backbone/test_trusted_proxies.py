"""What a proxy says of its caller counts if the proxy is trusted, and never otherwise."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.errors import ConfigurationError
from backbone.settings import Settings, load_settings
from backbone.web.connection import Connection
from backbone.web.server import ThreadedServer
from backbone.web.trusted_proxies import MOST_HOPS, address_of, caller_of, seen_through

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def scope_of(peer: str, **headers: str) -> dict[str, Any]:
    pairs = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"client": (peer, 999), "scheme": "http", "headers": [(b"host", b"inside:80"), *pairs]}


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        (" 203.0.113.9:4711 ", "203.0.113.9"),
        ("2001:db8::7", "2001:db8::7"),
        ("[2001:db8::7]:443", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("unknown", None),
        ("_hidden", None),
        ("203.0.113.9, 1.1.1.1", None),
        ("", None),
        ("203.0.113.999", None),
    ],
)
def test_an_entry(entry: str, address: str | None) -> None:
    found = address_of(entry)
    assert (None if found is None else str(found)) == address


@pytest.mark.parametrize(
    ("peer", "chain", "caller"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # a spoofer: nobody trusted wrote this
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        (
            "10.0.0.1",
            ["1.1.1.1", "198.51.100.1"],
            "198.51.100.1",
        ),  # what the caller sent itself stands on the left
        ("10.0.0.1", ["10.0.0.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.0.0.2", "10.0.0.3"], "198.51.100.1"),  # a chain of proxies of ours
        ("10.0.0.1", ["10.0.0.8", "10.0.0.2"], "10.0.0.8"),  # a caller within our own network
        ("10.0.0.1", ["198.51.100.1", "unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1", "unknown", "10.0.0.2"], "10.0.0.2"),
        ("fd00::1", ["2001:db8::7"], "2001:db8::7"),
        ("10.0.0.1", ["198.51.100.1"] + ["10.0.0.2"] * MOST_HOPS, "10.0.0.2"),
    ],
)
def test_the_caller(peer: str, chain: list[str], caller: str) -> None:
    assert str(caller_of(ipaddress.ip_address(peer), chain, PROXIES).address) == caller


@given(
    peer=st.ip_addresses(v=4),
    said=st.lists(st.sampled_from(["1.1.1.1", "10.0.0.7", "unknown", "", "[::1]:9"]), max_size=5),
    proxies=st.lists(st.sampled_from(["10.0.0.1", "10.9.9.9"]), max_size=4),
)
def test_whatever_a_caller_sends_its_address_is_the_one_that_the_first_proxy_saw(
    peer: ipaddress.IPv4Address, said: list[str], proxies: list[str]
) -> None:
    """Each trusted proxy appends whom it was called by; the caller can only write what stands left of itself."""
    if peer in PROXIES[0]:
        return
    path = [str(peer), *proxies]
    found = caller_of(ipaddress.ip_address(path[-1]), [*said, *path[:-1]], PROXIES)
    assert str(found.address) == str(peer)


def test_a_scope_from_a_trusted_proxy() -> None:
    scope = scope_of(
        "10.0.0.1", x_forwarded_for="203.0.113.9", x_forwarded_proto="https", x_forwarded_host="app.acme.test"
    )
    seen = seen_through(scope, PROXIES)
    assert (seen["client"], seen["scheme"]) == (("203.0.113.9", 0), "https")
    assert [value for name, value in seen["headers"] if name == b"host"] == [b"app.acme.test"]
    assert scope["client"] == ("10.0.0.1", 999)  # the server's own is left alone


def test_a_scope_from_anybody_else_is_what_it_was() -> None:
    told = {"x_forwarded_for": "127.0.0.1", "x_forwarded_proto": "https", "x_forwarded_host": "evil.test"}
    for peer, networks in (("203.0.113.9", PROXIES), ("10.0.0.1", ())):
        scope = scope_of(peer, **told)
        assert seen_through(scope, networks) is scope
    assert seen_through({**scope_of("", **told), "client": None}, PROXIES)["client"] is None


@pytest.mark.parametrize(
    ("chain", "protocols", "scheme"),
    [
        ("203.0.113.9", "https", "https"),
        ("203.0.113.9", "HTTPS", "https"),
        ("203.0.113.9", "javascript", "http"),
        ("203.0.113.9, 10.0.0.2", "https, http", "https"),  # one for each hop: that of the caller's own
        ("203.0.113.9, 10.0.0.2", "https", "https"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.2", "https, http, http", "http"),
        ("6.6.6.6, 203.0.113.9, 10.0.0.2", "https, http", "http"),
    ],
)
def test_the_protocol(chain: str, protocols: str, scheme: str) -> None:
    scope = scope_of("10.0.0.1", x_forwarded_for=chain, x_forwarded_proto=protocols)
    assert seen_through(scope, PROXIES)["scheme"] == scheme


def test_a_host_that_is_none_is_left_out() -> None:
    scope = scope_of("10.0.0.1", x_forwarded_for="203.0.113.9", x_forwarded_host='a"b/c')
    assert (b"host", b"inside:80") in seen_through(scope, PROXIES)["headers"]


async def tell(scope: Any, _receive: Any, send: Any) -> None:
    """Answers with what it knows of the caller."""
    told = {
        "client": scope["client"][0],
        "scheme": scope["scheme"],
        "host": dict(scope["headers"])[b"host"].decode(),
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


@pytest.fixture
def serve() -> Iterator[Any]:
    running: list[ThreadedServer] = []

    def start(**given: Any) -> str:
        server = ThreadedServer(tell, Settings(_env_file=None, port=0, **given))
        running.append(server)
        server.start()
        return server.url

    yield start
    for server in running:
        server.stop()


SAID = {
    "X-Forwarded-For": "6.6.6.6, 203.0.113.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "app.acme.test"
}  # fmt: skip


def test_the_server_believes_nobody_by_itself(serve: Any) -> None:
    found = httpx.get(serve(), headers=SAID).json()
    assert (found["client"], found["scheme"]) == ("127.0.0.1", "http")
    assert found["host"].startswith("127.0.0.1:")


def test_the_server_believes_the_proxies_that_it_is_told_of(serve: Any) -> None:
    url = serve(trusted_proxies="127.0.0.0/8, ::1/128")
    assert httpx.get(url, headers=SAID).json() == {
        "client": "203.0.113.9", "scheme": "https", "host": "app.acme.test"
    }  # fmt: skip
    assert httpx.get(url).json()["client"] == "127.0.0.1"
    found = httpx.get(serve(trusted_proxies="10.0.0.0/8"), headers=SAID).json()
    assert (found["client"], found["scheme"]) == ("127.0.0.1", "http")


def test_a_proxys_connection_counts_for_its_caller_only_while_it_serves_him(
    serve: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a caller's slow requests do not count as the proxy's, nor the proxy's idle connections as a caller's."""
    seen: list[tuple[str, str]] = []
    ours = Connection._send

    async def spy(self: Connection, *args: Any) -> None:
        before = self.address
        await ours(self, *args)
        seen.append((before, self.address))

    monkeypatch.setattr(Connection, "_send", spy)
    httpx.get(serve(trusted_proxies="127.0.0.0/8"), headers=SAID)
    assert seen[0][0] == seen[-1][0] == "203.0.113.9"
    assert seen[-1][1] == "127.0.0.1"


@pytest.mark.parametrize("wrong", ["10.0.0.0/33", "proxy.acme.test", "10.0.0.1/8"])
def test_what_is_no_network_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="TOUCHLINE_TRUSTED_PROXIES"):
        load_settings(trusted_proxies=wrong)


@pytest.mark.parametrize(
    "wrong", ["rules:8080", "ftp://rules", "http://rules/v1", "http://a:b@rules", "http://rules:99999"]
)
def test_what_is_no_address_of_a_service_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigurationError, match="TOUCHLINE_RULES_URL"):
        load_settings(rules_url=wrong)
    assert load_settings(rules_url="http://[::1]:8082/").rules_url == "http://[::1]:8082"
