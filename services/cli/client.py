"""The API as the command line uses it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from backbone.errors import ConfigurationError, FieldError, TouchlineError
from backbone.settings import load_settings

TIMEOUT_S = 30.0
OF_RULES = frozenset({"rules", "tiers", "triggers", "accounts"})  # the rest that is asked here is of actions


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
    """One Touchline: `TOUCHLINE_URL` (default: the local one) with `TOUCHLINE_API_KEY` (default: its admin.key).

    Where the services run apart and nothing stands before them, `TOUCHLINE_URL` is several addresses, separated by
    commas: of rules and of actions, in any order.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        settings = load_settings()
        given = url or os.environ.get("TOUCHLINE_URL") or settings.base_url
        urls = [one.strip().rstrip("/") for one in given.split(",") if one.strip()] or [settings.base_url]
        self.url = urls[0]
        key = key or os.environ.get("TOUCHLINE_API_KEY") or _local_key(settings.data_dir / "admin.key")
        headers = {"Authorization": f"Bearer {key}"}
        self._http = {
            one: httpx.Client(base_url=one, headers=headers, timeout=TIMEOUT_S, trust_env=False)
            for one in urls
        }
        self._by_service: dict[str, str] = {}

    def call(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """The decoded answer, None for an empty one. Raises `ApiError`, or `ConfigurationError` if nobody answers."""
        url = self.url if len(self._http) == 1 else self._answering(path)
        return self._call(url, method, path, body, query)

    def _answering(self, path: str) -> str:
        """Which of several addresses answers a path: that of the service whose it is, by what each says it is."""
        if not self._by_service:
            for url in self._http:
                found = self._call(url, "GET", "/v1/status", None, {})
                self._by_service |= dict.fromkeys(found.get("services", ()), url)
        service = "rules" if path.split("/")[2] in OF_RULES else "actions"
        if service not in self._by_service:
            raise ConfigurationError(
                f"TOUCHLINE_URL: none of {', '.join(self._http)} is the {service} service"
            )
        return self._by_service[service]

    def _call(self, url: str, method: str, path: str, body: Any, query: dict[str, Any]) -> Any:
        try:
            answer = self._http[url].request(method, path, json=body, params=query or None)
        except httpx.HTTPError as error:
            raise ConfigurationError(f"{url} does not answer ({error}); is Touchline running?") from None
        kind = answer.headers.get("content-type", "").partition(";")[0]
        if answer.is_error:
            json = kind == "application/problem+json"
            raise ApiError(answer.status_code, answer.json() if json else {"detail": answer.text[:200]})
        if answer.content and kind != "application/json":
            raise ConfigurationError(f"TOUCHLINE_URL: what answers at {url} is no Touchline")
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
