"""What people ask of rules: answered with one connection at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute
from sqlalchemy import Connection

from backbone.clock import ManualClock
from services.rules.api.account_events import AccountEvents
from services.rules.api.accounts import accounts_router
from services.rules.api.explain import Explainer
from services.rules.metrics import RULE_UNHEALTHY, show_health
from tests.services.rules.test_worker import T0, rules


def test_an_account_is_shown_without_a_second_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Right after a save all wait for the one who compiles: he must not wait for a connection that they hold."""
    with rules(tmp_path / "one") as ours:
        ours.post(1, account="acme")
        ours.catch_up()
        held = most = 0
        read = ours.db.read

        @contextmanager
        def counted() -> Iterator[Connection]:
            nonlocal held, most
            held += 1
            most = max(most, held)
            try:
                with read() as conn:
                    yield conn
            finally:
                held -= 1

        monkeypatch.setattr(ours.db, "read", counted)
        explainer = Explainer(
            ours.db, ManualClock(T0), wall=False, partition_of=lambda _: 0, unhealthy=lambda _: None
        )
        routes = [
            route
            for route in accounts_router(
                ours.db, explainer, AccountEvents(ours.db, ours.log, wall=True)
            ).routes
            if isinstance(route, APIRoute)
        ]
        one: Any = next(route.endpoint for route in routes if route.path.endswith("{id:path}"))
        assert b'"tier":"tech"' in one(id="acme", _=None).body
        assert most == 1


def test_a_rule_is_shown_as_unhealthy_until_it_is_well() -> None:
    shown = show_health([{"r": "boom"}, {}, {"s": "boom"}], set())
    assert shown == {"r", "s"}
    gauge = RULE_UNHEALTHY.labels
    assert [gauge(rule)._value.get() for rule in "rs"] == [1, 1]
    shown = show_health([{}, {}, {"s": "boom"}], shown)
    assert [gauge(rule)._value.get() for rule in "rs"] == [0, 1]
    assert show_health([{}], shown) == set()
    assert gauge("s")._value.get() == 0
