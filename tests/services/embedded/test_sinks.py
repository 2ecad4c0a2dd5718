"""The library of sinks, posted through a running Touchline: what arrives is what each test of a sink shows."""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import httpx

from backbone.settings import load_settings
from backbone.yaml.reading import read_yaml
from services.app import running
from services.cli.documents import find
from tests.e2e.stack import until

JSON = dict[str, Any]
SINKS = Path(__file__).parents[3] / "sinks"
ACTION = re.compile(r"act[_-][0-9a-f]{26}")
TOKEN = "of the loopback's own"
WRITTEN = ("content-type", "authorization", "idempotency-key", "intercom-version")


class Request(NamedTuple):
    """A request, with the ids of actions taken out; `place`: host, path and query."""

    method: str
    place: str
    headers: JSON
    body: str


class Receiver(BaseHTTPRequestHandler):
    """Takes everything, and gives a token to whoever asks for one."""

    got: list[Request]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        place, answer = unquote(self.path.removeprefix("/")), b"{}"
        if place.endswith("/oauth2/token"):
            answer = json.dumps({"access_token": TOKEN.replace(" ", "-"), "token_type": "Bearer"}).encode()
        else:
            self.got.append(request(self.command, place, dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def do_PATCH(self) -> None:
        self.do_POST()

    def log_message(self, *_: Any) -> None:
        """Nothing."""


def request(method: str, place: str, headers: JSON, body: str) -> Request:
    kept = {name.lower(): value for name, value in headers.items() if name.lower() in WRITTEN}
    alike = {name: ACTION.sub("ACT", value) for name, value in kept.items()}
    return Request(method, ACTION.sub("ACT", place), alike, ACTION.sub("ACT", body))


@contextmanager
def receiver() -> Iterator[tuple[str, list[Request]]]:
    made = type("Here", (Receiver,), {"got": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), made) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", made.got  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()


def moved(endpoint: JSON, here: str) -> JSON:
    """The endpoint at the receiver, with the vendor's host as the first part of its path."""
    found = {**endpoint, "url": endpoint["url"].replace("https://", here)}
    found.pop("rate", None)
    if oauth2 := endpoint.get("auth", {}).get("oauth2"):
        found["auth"] = {"oauth2": {**oauth2, "token_url": oauth2["token_url"].replace("https://", here)}}
    return found


def expected(scenario: JSON) -> Request:
    """What the first action of a sink's own test shows."""
    shown = scenario["expect"]["actions"][0]["request"]
    headers = dict(shown["headers"])
    if "access token" in headers.get("Authorization", ""):
        headers["Authorization"] = f"Bearer {TOKEN.replace(' ', '-')}"
    return request(shown["method"], unquote(shown["url"].removeprefix("https://")), headers, shown["body"])


def test_every_sink_posts_what_its_test_shows(tmp_path: Path) -> None:
    endpoints = [read_yaml(file)[0].value for file in find([SINKS])]
    scenarios = [read_yaml(file)[0].value for file in find([SINKS], tests=True)]
    rule = scenarios[0]["documents"][0]
    account: JSON = {"external_ids": {}}
    for one in scenarios:
        mine = one["accounts"]["a/b?c#"]
        account |= {**mine, "external_ids": account["external_ids"] | mine.get("external_ids", {})}
    settings = load_settings(
        data_dir=tmp_path, port=0, partitions=1, clock="log", webhook_allowed_networks="127.0.0.0/8"
    )
    with receiver() as (here, got), running(settings) as (_, url):
        key = (tmp_path / "admin.key").read_text().strip()
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:

            def call(method: str, path: str, body: Any) -> None:
                answer = client.request(method, path, json=body)
                assert answer.is_success, (path, answer.text)

            for one in endpoints:
                call("POST", "/v1/endpoints", {n: v for n, v in moved(one, here).items() if n != "kind"})
            steps = [{"webhook": {"endpoint": one["name"]}} for one in endpoints]
            call("POST", "/v1/playbooks", {"name": "tell", "steps": steps})
            call("POST", "/v1/rules", {n: v for n, v in rule.items() if n != "kind"} | {"status": "active"})
            account["contacts"] = account.get("contacts", [])
            call("PUT", "/v1/accounts/a%2Fb%3Fc%23?time=2026-01-01T00:00:00Z", account)
            for hour in ("09", "10"):
                event = {"type": "ticket.opened", "account": "a/b?c#", "contact": "ann"}
                call("POST", "/v1/events", event | {"time": f"2026-01-01T{hour}:00:00Z"})
            until("all have arrived", lambda: len(got) == len(endpoints))
    wanted = sorted(expected(one) for one in scenarios)
    assert sorted(one.place for one in got) == sorted(one.place for one in wanted)
    assert sorted(got) == wanted
