"""Nothing secret of an endpoint is in an answer, a log, a metric or the audit, whatever the other side says of it."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from backbone.settings import load_settings
from backbone.web.api_keys import create_key
from services.app import running

TOKEN = "c4nary-access-token"
FIRST, SECOND = (f"whsec_{letter * 6}c4nary{letter * 20}" for letter in "AB")
AUTH = [
    {"bearer": "c4nary-bearer"},
    {"basic": {"username": "ann", "password": "c4nary-password"}},
    {"oauth2": {"token_url": "{url}/token", "client_id": "us", "client_secret": "c4nary client/secret"}},
    {"oauth2": {"token_url": "{url}/refuses", "client_id": "us", "client_secret": "c4nary client/secret"}},
]
PATIENCE_S = 60.0


class Parrot(BaseHTTPRequestHandler):
    """Refuses everything, and says what it was sent; but for a token server that gives a token."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        said = json.dumps({"headers": dict(self.headers), "body": body})
        status = 400
        if self.path == "/token":
            status, said = 200, json.dumps({"access_token": TOKEN})
        self.send_response(status, "No")
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said.encode())

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def parrot() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_no_canary_is_seen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings = load_settings(
        data_dir=tmp_path, port=0, partitions=1, clock="log", webhook_allowed_networks="127.0.0.0/8"
    )
    seen: list[str] = []
    with parrot() as url, running(settings) as (rooms, address):
        key = create_key(rooms.db, rooms.clock, "jo", ["admin"])
        with httpx.Client(base_url=address, headers={"authorization": f"Bearer {key}"}, timeout=30) as client:

            def call(method: str, path: str, **more: Any) -> Any:
                answer = client.request(method, path, **more)
                assert answer.is_success, (path, answer.text)
                seen.append(answer.text)
                return answer.json() if answer.headers.get("content-type") == "application/json" else None

            names = [f"parrot-{n}" for n in range(len(AUTH))]
            for name, auth in zip(names, AUTH, strict=True):
                doc = {
                    "url": url, "secrets": [FIRST, SECOND], "headers": {"X-Api-Key": "Key c4nary-header"},
                    "auth": json.loads(json.dumps(auth).replace("{url}", url)),
                }  # fmt: skip
                call("PUT", f"/v1/endpoints/{name}", json=doc)
                call("POST", "/v1/endpoints/check", json=doc | {"name": name})
            steps = [{"webhook": {"endpoint": name}} for name in names]
            call("PUT", "/v1/playbooks/all", json={"steps": steps})
            when = {"threshold": {"event": "called", "at_least": 1}}
            call("PUT", "/v1/rules/all", json={"when": when, "status": "active", "playbook": "all"})
            call("POST", "/v1/events", json={"type": "called", "account": "acme"})
            deadline = time.monotonic() + PATIENCE_S
            tried: list[Any] = []
            while len([one for one in tried if one["reason"] in ("rejected", "no_token")]) < len(names):
                assert time.monotonic() < deadline, tried
                time.sleep(0.05)
                tried = client.get("/v1/actions", params={"channel": "webhook"}).json()["items"]
            assert sorted(one["reason"] for one in tried) == ["no_token", "rejected", "rejected", "rejected"]
            details = [call("GET", f"/v1/actions/{one['id']}") for one in tried]
            assert all("***" in one["history"][0]["detail"] for one in details)
            for path in ("endpoints", "endpoints/parrot-1", "endpoints/parrot-2/versions", "audit", "status"):
                call("GET", f"/v1/{path}")
            for path in ("/v1/accounts/acme/record", "/metrics", "/openapi.json"):
                call("GET", path)
    everything = "\n".join([*seen, caplog.text])
    assert "c4nary" not in everything
    assert "parrot-2" in everything
