"""A fake Touchline for the command line. It holds only documents, and records the calls that change them."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from services.cli.main import main

SINGLE = {f"/v1/{name}": name for name in ("tiers", "policy", "aliases", "brand", "task-mails")}
Refusal = Callable[[str, str], tuple[int, dict[str, Any]] | None]


class Fake:
    """`documents`: by path. `calls`: those that changed something. `refuses`: may answer in the fake's place.

    `others`: names of endpoints whose secrets in files are not those on the server.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.documents: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.others: set[str] = set()
        self.refuses: Refusal = lambda _method, _path: None
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("TOUCHLINE_API_KEY", "tl_x")
        monkeypatch.setattr(httpx.Client, "request", self._request)

    def save(self, path: str, **document: Any) -> None:
        """Store a document at a path."""
        before = self.documents.get(path, {"version": 0})
        name = path.rpartition("/")[2]
        self.documents[path] = {
            **({} if path in SINGLE else {"name": name}),
            **({"status": before.get("status", "draft")} if path.startswith("/v1/rules/") else {}),
            **{key: value for key, value in document.items() if key != "kind"},
            "version": before["version"] + 1,
            "changed_by": "ann",
        }

    def touchline(self, *words: str) -> tuple[Any, str, str]:
        """Run a command; returns (exit status, output, errors)."""
        self.calls.clear()
        self._monkeypatch.setattr("sys.argv", ["touchline", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = self._capsys.readouterr()
        return ended.value.code, said.out, said.err

    def _request(self, method: str, path: str, **more: Any) -> httpx.Response:
        refused = self.refuses(method, path)
        status, body = refused or self._answer(method, path, more)
        kind = "application/problem+json" if status >= 400 else "application/json"
        content = b"" if body is None else json.dumps(body).encode()
        return httpx.Response(status, content=content, headers={"content-type": kind})

    def _answer(self, method: str, path: str, more: dict[str, Any]) -> tuple[int, Any]:
        if path.endswith("/check"):
            return 200, {"warnings": [], "secrets_differ": more["json"].get("name") in self.others}
        if method == "GET" and path in SINGLE:
            return 200, self.documents.get(path, {SINGLE[path]: [], "version": 0})
        if method == "GET":
            items = [document for place, document in self.documents.items() if place.startswith(f"{path}/")]
            return 200, {"items": items, "next_cursor": None}
        self.calls.append(f"{method} {path.removeprefix('/v1/')}")
        held = self.documents.get(path)
        wanted = more.get("headers", {}).get("If-Match")
        if held is not None and wanted is not None and f'"{held["version"]}"' not in wanted.split(", "):
            return 412, {"detail": "stale"}
        if path.endswith("/publish"):
            return 200, {}
        if method == "DELETE":
            del self.documents[path]
            return 204, None
        self.save(path, **more["json"])
        return 200, self.documents[path]
