"""`touchline apply` and `export` against servers that refuse: a line for people, and nothing left half done."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli.export import export
from services.cli.main import main

Answer = Callable[[str, str], tuple[int, Any]]
RULE = "kind: rule\nname: {name}\nwhen: {{threshold: {{event: e, at_least: 1}}}}\n"


@pytest.fixture
def touchline(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Runs the command against an answer by method and path; (exit status, output, errors, calls that change)."""
    monkeypatch.setenv("TOUCHLINE_API_KEY", "tl_x")

    def run(answer: Answer, *words: str) -> tuple[Any, str, str, list[str]]:
        changes: list[str] = []

        def request(_: httpx.Client, method: str, path: str, **__: Any) -> httpx.Response:
            status, body = answer(method, path)
            if method in {"PUT", "DELETE"}:
                changes.append(f"{method} {path}")
            kind = "application/problem+json" if status >= 400 else "application/json"
            if isinstance(body, str):
                return httpx.Response(status, text=body)
            return httpx.Response(status, content=json.dumps(body), headers={"content-type": kind})

        monkeypatch.setattr(httpx.Client, "request", request)
        monkeypatch.setattr("sys.argv", ["touchline", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code, said.out, said.err, changes

    return run


@pytest.mark.parametrize(("status", "detail"), [(401, "the API key is unknown"), (503, "not now")])
@pytest.mark.parametrize("command", ["export", "apply"])
def test_a_refusal_is_one_line(
    touchline: Any, tmp_path: Path, status: int, detail: str, command: str
) -> None:
    (tmp_path / "rule.yaml").write_text(RULE.format(name="a"))
    code, _, err, _ = touchline(lambda *_: (status, {"detail": detail}), command, str(tmp_path))
    where = " (TOUCHLINE_API_KEY, sent to http://127.0.0.1:8080)" if status == 401 else ""
    assert (code, err) == (1, f"touchline: {detail}{where}\n")


def test_something_else_answers(touchline: Any, tmp_path: Path) -> None:
    code, _, err, _ = touchline(lambda *_: (200, "<h1>Welcome</h1>"), "export", str(tmp_path))
    assert code == 1
    assert err.startswith("touchline: TOUCHLINE_URL: what answers at http")


SINGLE: dict[str, Any] = {
    "/v1/tiers": {"tiers": []},
    "/v1/policy": {"version": 0},
    "/v1/aliases": {"aliases": {}},
    "/v1/brand": {"name": None},
    "/v1/task-mails": {"version": 0},
}
APART: dict[str, Any] = {
    "http://in": {"ingest": {}},
    "http://judge": {"rules": {}},
    "http://hand": {"actions": {}},
}


@pytest.mark.parametrize("order", [list(APART), list(reversed(APART))])
def test_services_apart_are_each_asked_for_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: list[str]
) -> None:
    monkeypatch.setenv("TOUCHLINE_API_KEY", "tl_x")
    monkeypatch.setenv("TOUCHLINE_URL", ", ".join(order) + "/")
    asked: set[tuple[str, str]] = set()

    def request(client: httpx.Client, _: str, path: str, **__: Any) -> httpx.Response:
        if path == "/v1/status":
            return httpx.Response(200, json={"services": APART[str(client.base_url).rstrip("/")]})
        asked.add((path, str(client.base_url)))
        return httpx.Response(200, json=SINGLE.get(path, {"items": [], "next_cursor": None}))

    monkeypatch.setattr(httpx.Client, "request", request)
    assert export(tmp_path) == 0
    judge = {"/v1/rules", "/v1/tiers"}
    hand = {"/v1/playbooks", "/v1/templates", "/v1/endpoints", "/v1/policy", "/v1/brand", "/v1/task-mails"}
    door = {(path, "http://in") for path in ("/v1/aliases", "/v1/sources")}
    assert (
        asked == {(path, "http://judge") for path in judge} | {(path, "http://hand") for path in hand} | door
    )


def test_a_service_that_is_not_among_the_addresses_is_named(
    touchline: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOUCHLINE_URL", "http://judge,http://other")

    def answer(_: str, path: str) -> tuple[int, Any]:
        return 200, {"services": {"rules": {}}} if path == "/v1/status" else {
            "items": [],
            "next_cursor": None,
        }

    code, _, err, _ = touchline(answer, "export", str(tmp_path))
    assert code == 1
    assert err == "touchline: TOUCHLINE_URL: none of http://judge, http://other is the actions service\n"


@pytest.mark.parametrize("undone", [True, False])
def test_what_was_written_is_put_back_or_named(touchline: Any, tmp_path: Path, undone: bool) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").write_text(RULE.format(name=name))

    def answer(method: str, path: str) -> tuple[int, Any]:
        if path.endswith("/check"):
            return 200, {"warnings": []}
        if method == "GET":
            return (
                (404, {"detail": "none"})
                if path.count("/") == 3
                else (200, {"items": [], "next_cursor": None})
            )
        if (method, path) == ("PUT", "/v1/rules/c"):
            return 422, {"detail": "no", "errors": [{"field": "when", "message": "is odd"}]}
        if (method, path) == ("DELETE", "/v1/rules/b") and not undone:
            return 503, {"detail": "not now"}
        return 200, {}

    code, _, err, changes = touchline(answer, "apply", str(tmp_path))
    assert code == 1
    assert changes[-2:] == ["DELETE /v1/rules/b", "DELETE /v1/rules/a"]
    assert "rule c: when: is odd" in err
    assert ("rule b: was applied and cannot be put back: not now" in err) is not undone
