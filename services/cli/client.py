"""The API as the command line uses it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from backbone.errors import ConfigurationError, FieldError, TouchlineError
from backbone.settings import load_settings

TIMEOUT_S = 30.0


class ApiError(TouchlineError):
    """An answer that is not what was asked for; `problem` is its problem+json."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or problem.get("title") or f"HTTP {status}")
        self.status, self.problem = status, problem

    @property
    def errors(self) -> list[FieldError]:
        """The wrong fields, if the answer names any."""
        found: list[FieldError] = self.problem.get("errors") or []
        return found


class Client:
    """One Touchline: `TOUCHLINE_URL` (default: the local one) with `TOUCHLINE_API_KEY` (default: its admin.key)."""

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        settings = load_settings()
        self.url = (url or os.environ.get("TOUCHLINE_URL") or settings.base_url).rstrip("/")
        key = key or os.environ.get("TOUCHLINE_API_KEY") or _local_key(settings.data_dir / "admin.key")
        self._http = httpx.Client(
            base_url=self.url, headers={"Authorization": f"Bearer {key}"}, timeout=TIMEOUT_S, trust_env=False
        )

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The decoded answer, None for an empty one. Raises `ApiError`, or `ConfigurationError` if nobody answers."""
        try:
            answer = self._http.request(method, path, json=body, params=query or None)
        except httpx.HTTPError as error:
            raise ConfigurationError(f"{self.url} does not answer ({error}); is Touchline running?") from None
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if answer.is_error:
            json = kind == "application/problem+json"
            raise ApiError(answer.status_code, answer.json() if json else {"detail": answer.text[:200]})
        if answer.content and kind != "application/json":
            raise ConfigurationError(f"TOUCHLINE_URL: what answers at {self.url} is no Touchline")
        return answer.json() if answer.content else None

    def find(self, path: str) -> dict[str, Any] | None:
        """What is at a path, None if there is nothing."""
        try:
            found: dict[str, Any] = self.call("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return found

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            page = self.call("GET", path, limit=1_000, **query, **({"cursor": cursor} if cursor else {}))
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return


def _local_key(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        raise ConfigurationError(
            f"no API key: set TOUCHLINE_API_KEY, or start Touchline once with make run, which makes {path}"
        ) from None
