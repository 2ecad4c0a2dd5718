"""The API as the command line uses it."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from backbone.data_folder import KEY_REMEDY, read_private
from backbone.errors import ConfigurationError, FieldError, TouchlineError
from backbone.settings import load_settings, variables

TIMEOUT_S = 30.0
OF_RULES = frozenset({"rules", "tiers", "triggers", "accounts", "backtests"})
OF_INGEST = frozenset({"aliases", "events", "sources"})  # the rest that is asked here is of actions
Shown = Mapping[str, Any]  # a document as the API shows it
_KEY = re.compile(r"[!-~]{1,200}")  # what a header may carry
_URL, _API_KEY = "TOUCHLINE_URL", "TOUCHLINE_API_KEY"


class ApiError(TouchlineError):
    """An error answer; `problem` is its problem+json."""

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

    Where the services run apart without a proxy, `TOUCHLINE_URL` is several addresses, separated by commas:
    those of rules and of actions, in any order, and of ingest for its aliases and sources.
    """

    def __init__(self, url: str | None = None, key: str | None = None) -> None:
        settings, said = load_settings(), variables()
        given = url or said.get(_URL) or settings.base_url
        urls = [one.strip().rstrip("/") for one in given.split(",") if one.strip()] or [settings.base_url]
        self.url = urls[0]
        key, self._key_from = _key(key or said.get(_API_KEY), settings.data_dir / "admin.key")
        headers = {"Authorization": f"Bearer {key}"}
        self._http = {
            one: httpx.Client(base_url=_checked(one), headers=headers, timeout=TIMEOUT_S, trust_env=False)
            for one in urls
        }
        self._by_service: dict[str, str] = {}
        # Of whom we speak to, and as whom.
        self.identity = self.url, hashlib.sha256(key.encode()).hexdigest()

    def call(
        self, method: str, path: str, body: Any = None, *, builds_on: Shown | None = None, **query: Any
    ) -> Any:
        """The decoded answer, None for an empty one. `builds_on`: the document as it was shown, for `If-Match`.

        Raises `ApiError`, or `ConfigurationError` if nobody answers.
        """
        url = self.url if len(self._http) == 1 else self._answering(path)
        return self._call(url, method, path, body, query, builds_on)

    def send(self, path: str, body: bytes, media: str) -> Any:
        """The decoded answer to a POST of bytes of this media type. Raises as `call` does."""
        url = self.url if len(self._http) == 1 else self._answering(path)
        return self._answer(url, "POST", path, content=body, headers={"Content-Type": media})

    def close(self) -> None:
        """Close the connections."""
        for http in self._http.values():
            http.close()

    def reaches(self, path: str) -> bool:
        """Whether the service that answers a path is among several addresses; always true for a single address."""
        return len(self._http) == 1 or self._service(path) in self._services()

    def _answering(self, path: str) -> str:
        """The address that answers a path, among several: each service says which paths are its own."""
        service = self._service(path)
        if service not in self._services():
            raise ConfigurationError(
                f"TOUCHLINE_URL: none of {', '.join(self._http)} is the {service} service"
            )
        return self._services()[service]

    @staticmethod
    def _service(path: str) -> str:
        first = path.split("/")[2]
        return "rules" if first in OF_RULES else "ingest" if first in OF_INGEST else "actions"

    def _services(self) -> dict[str, str]:
        if not self._by_service:
            for url in self._http:
                found = self._call(url, "GET", "/v1/status", None, {})
                self._by_service |= dict.fromkeys(found.get("services", ()), url)
        return self._by_service

    def _call(
        self,
        url: str,
        method: str,
        path: str,
        body: Any,
        query: dict[str, Any],
        builds_on: Shown | None = None,
    ) -> Any:
        headers = {} if builds_on is None else {"If-Match": tags(builds_on)}
        return self._answer(url, method, path, json=body, params=query or None, headers=headers)

    def _answer(self, url: str, method: str, path: str, **request: Any) -> Any:
        try:
            answer = self._http[url].request(method, path, **request)
        except httpx.HTTPError as error:
            raise ConfigurationError(f"{url} does not answer ({error}); is Touchline running?") from None
        kind = answer.headers.get("content-type", "").partition(";")[0]
        try:
            if answer.is_error:
                said = answer.json() if kind == "application/problem+json" else {"detail": answer.text[:200]}
                said = said if isinstance(said, dict) else {}
                if (wait := answer.headers.get("retry-after", "")).isdecimal():
                    said |= {"retry_after": int(wait)}
                raise self._error(answer.status_code, said)
            if answer.content and kind != "application/json":
                raise ValueError(kind)
            return answer.json() if answer.content else None
        except ValueError:
            raise _stranger(url) from None

    def _error(self, status: int, problem: dict[str, Any]) -> ApiError:
        if status == 401:
            problem = {
                **problem,
                "detail": f"{problem.get('detail')} ({self._key_from}, sent to {self.url})",
            }
        if status == 412:
            problem = {**problem, "detail": "somebody changed it on the server meanwhile; apply again"}
        return ApiError(status, problem)

    def items(self, path: str, **query: Any) -> Iterator[dict[str, Any]]:
        """Every item of a list, page by page."""
        cursor: str | None = None
        while True:
            asked: dict[str, Any] = query | ({"cursor": cursor} if cursor else {})
            page = self.call("GET", path, limit=1_000, **asked)
            if not isinstance(page, dict) or not {"items", "next_cursor"} <= page.keys():
                raise _stranger(self.url)
            yield from page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return


def tags(shown: Shown) -> str:
    """The ETags that a document can have had as it was shown: of a rule, with its status too."""
    version, status = shown["version"], shown.get("status")
    return f'"{version}"' if status is None else f'"{version}", "{version}-{status}"'


def _stranger(url: str) -> ConfigurationError:
    return ConfigurationError(f"{_URL}: what answers at {url} is no Touchline")


def _checked(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"{_URL}: {url} is no address ({error})") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise ConfigurationError(f"{_URL}: {url} should begin with http:// or https:// and name a host")
    return url


def _key(key: str | None, path: Path) -> tuple[str, str]:
    """The key to use, the one in the file if none is given, and where it comes from."""
    if not key:
        try:
            return read_private(path, f"{KEY_REMEDY}; or set {_API_KEY}"), str(path)
        except FileNotFoundError:
            raise ConfigurationError(
                f"no API key: set {_API_KEY}, or start Touchline once with make run, which makes {path}"
            ) from None
    if not _KEY.fullmatch(key):
        raise ConfigurationError(f"{_API_KEY}: is no API key: it holds spaces, or characters that no key has")
    return key, _API_KEY
