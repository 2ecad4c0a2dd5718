"""What stands around every page: how much waits in each room, and a warning while sending is off."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from services.console.api import Api, ApiError

# For which pages of one key show the same frame, as what it says takes longer to count than a list.
FRESH_S = 2.0
MOST_KEPT = 1_000

# the page that shows what a call of the API lists
PAGES = {
    "/v1/plays": "/plays",
    "/v1/actions": "/deliveries",
    "/v1/tasks": "/tasks",
    "/v1/rules": "/rules",
    "/v1/playbooks": "/playbooks",
    "/v1/endpoints": "/settings/endpoints",
    "/v1/unmatched": "/settings/unmatched",
    "/v1/task-mails/deliveries": "/settings/task-mails/deliveries",
    "/v1/sending": "/",
    "/v1/status": "/settings/status",
}
ROOMS = {
    "/deliveries": "Deliveries",
    "/rules": "Rules",
    "/plays": "Playbooks",
    "/playbooks": "Playbooks",
    "/settings/endpoints": "Settings",
    "/settings/unmatched": "Settings",
    "/settings/task-mails/deliveries": "Settings",
}


_OFF = {
    "status": "off",
    "reason": None,
    "by": None,
    "at": None,
}  # who may not read more knows this from attention


class Frame(NamedTuple):
    """`attention`: as the API answers it; `counts`: what waits, by the name of the room in the navigation; `off`:
    `GET /v1/sending` while sending is off; `unknown`: why nobody can tell what waits, when the API cannot."""

    attention: Sequence[Mapping[str, Any]]
    counts: Mapping[str, int]
    off: Mapping[str, Any] | None
    unknown: str | None = None


class Frames:
    """The frames of those who have looked lately, by their key. Belongs to the event loop."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._kept: dict[str, tuple[float, asyncio.Task[Frame]]] = {}

    def of(self, key: str, api: Api) -> "asyncio.Task[Frame]":
        """The frame for this key; it may be `FRESH_S` old."""
        now = self._monotonic()
        began, task = self._kept.get(key, (now - FRESH_S, None))
        if task is not None and now - began < FRESH_S:
            return task
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        task = asyncio.create_task(frame_of(api))
        self._kept[key] = (now, task)
        return task

    def forget(self, key: str) -> None:
        """Who has changed something sees what came of it."""
        self._kept.pop(key, None)


async def frame_of(api: Api) -> Frame:
    """The frame for whoever has this key. What it may not see is left out."""
    try:
        items = (await api.get("/v1/attention"))["items"]
    except ApiError as error:
        if error.status < 500:
            return Frame((), {}, None)
        return Frame((), {}, await _off(api, otherwise=None), error.detail)
    is_off = any(item["kind"] == "sending_off" for item in items)
    return Frame(items, counts_of(items), await _off(api, otherwise=_OFF) if is_off else None)


async def _off(api: Api, otherwise: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """`GET /v1/sending` if sending is off, None if it is on; `otherwise` if this cannot be read."""
    try:
        found: Mapping[str, Any] = await api.get("/v1/sending")
    except ApiError:
        return otherwise
    return found if found["status"] == "off" else None


def counts_of(items: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How much waits in each room of the navigation."""
    counts: dict[str, int] = {}
    for item in items:
        room = ROOMS.get(page_of(item["link"]).partition("?")[0])
        if room is not None and item["kind"] != "sending_off":
            counts[room] = counts.get(room, 0) + item["count"]
    return counts


def page_of(link: str) -> str:
    """The page that shows what a link of the API lists: the same query, at our address."""
    parts = urlsplit(link)
    path = PAGES.get(parts.path, "/")
    return f"{path}?{parts.query}" if parts.query and path != "/" and parse_qs(parts.query) else path
