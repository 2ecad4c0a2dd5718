"""A server that is called in its own process's tests."""

import time
from typing import Any

import httpx

from services.app import Runtime


class House:
    """All services in one, and a client of them."""

    def __init__(self, rooms: Runtime, client: httpx.Client) -> None:
        self.rooms, self.client = rooms, client

    def call(self, method: str, path: str, **more: Any) -> Any:
        answer = self.client.request(method, path, **more)
        assert answer.is_success, (method, path, answer.text)
        return answer.json() if answer.content else None

    def settle(self) -> None:
        while not self.call("GET", "/v1/status")["idle"]:
            time.sleep(0.02)
