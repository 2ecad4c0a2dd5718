"""One render pool for the room's tests, and the facts about an account."""

from collections.abc import Iterator
from typing import Any

import pytest

from services.actions.rendering import RenderPool


@pytest.fixture(scope="session")
def renderer() -> Iterator[RenderPool]:
    """A render pool with one process."""
    renderer = RenderPool(workers=1)
    renderer.warm_up()
    yield renderer
    renderer.close()


@pytest.fixture
def context() -> dict[str, Any]:
    """The names in scope of a template."""
    return {
        "account": {
            "id": "acme",
            "name": "Acme & Sons",
            "attributes": {"arr": 1200.0, "renews": "2027-03-01"},
        },
        "contact": {
            "id": "ann",
            "name": "Ann Lee",
            "email": "ann@acme.test",
            "roles": ["admin"],
            "attributes": {},
        },
        "owner": {"name": "Jo Doe", "email": "jo@us.test"},
        "trigger": {
            "key": "88",
            "value": 3,
            "event": {"data": {"items": [1, 2], "url": "https://a.test/x?a=1&b=2"}},
        },
        "tier": "low",
        "unsubscribe_url": "https://us.test/u/token?a=1&b=2",
        "now": "2026-11-22T09:00:00Z",
    }
