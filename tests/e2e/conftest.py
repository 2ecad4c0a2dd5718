"""A stack on the shared servers, with sinks for its mails and webhooks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.conftest import KafkaServer
from tests.e2e.faults import SETTINGS
from tests.e2e.sinks import Sinks, sinks
from tests.e2e.stack import Stack, stacked

MakeStack = Callable[..., Stack]


@pytest.fixture
def sink() -> Iterator[Sinks]:
    """The sinks that mails and webhooks go to."""
    with sinks() as found:
        yield found


@pytest.fixture
def make_stack(
    kafka: KafkaServer, fresh_postgres_url: str, sink: Sinks, tmp_path: Path
) -> Iterator[MakeStack]:
    """Starts a stack: make_stack(rules=3, CLOCK="wall"). One process each of ingest, rules and actions by default."""
    with ExitStack() as stack:

        def make(ingest: int = 1, rules: int = 1, actions: int = 1, **settings: str) -> Stack:
            counts = {"ingest": ingest, "rules": rules, "actions": actions}
            given = {**SETTINGS, "SMTP_URL": sink.smtp_url, **settings}
            return stack.enter_context(
                stacked(Stack(tmp_path / "stack", kafka.bootstrap_servers, fresh_postgres_url, counts, given))
            )

        yield make
