"""Mails about tasks on Kafka and PostgreSQL: two actions processes die in the middle of sending, again and again.

No mail arrives twice, and what nobody knows the end of is recorded as that.
"""

from __future__ import annotations

from contextlib import closing, suppress

import httpx
import pytest
from sqlalchemy import select, update

from services.actions.task_mail_tables import task_mails
from tests.e2e.conftest import MakeStack
from tests.e2e.failpoints import OF_TASK_MAILS
from tests.e2e.sinks import Sinks
from tests.e2e.stack import until

pytestmark = [pytest.mark.kafka, pytest.mark.postgres]

PEOPLE = 40


@pytest.mark.timeout(180)
def test_no_mail_about_tasks_arrives_twice(make_stack: MakeStack, sink: Sinks) -> None:
    stack = make_stack(actions=2, CLOCK="wall")
    first, second = stack.of("actions")
    second.kill9()
    for point in sorted(OF_TASK_MAILS):
        first.kill9()
        first.start(failpoint=f"{point}:5")
        until("it is ready, or has died at once of what was left", first.ready_or_dead)
        with stack.client() as client, suppress(httpx.HTTPError):  # it dies at some time
            client.put("/v1/task-mails", json={"made": True}).raise_for_status()
            for number in range(PEOPLE):
                body = {"title": f"Call {point}", "assignee": f"p{number}@us.test"}
                client.post("/v1/tasks", json=body).raise_for_status()
        until("the process dies in the middle", lambda: not first.child.alive, 60)
    with closing(stack.open_database()) as db:
        with db.write() as conn:  # the claims of the dead run out at once, not in half a minute
            conn.execute(update(task_mails).values(lease_until=0))
        first.start()
        second.start()

        def ended() -> bool:
            with db.read() as conn:
                return (
                    conn.scalar(select(task_mails.c.id).where(task_mails.c.next_attempt_at.is_not(None)))
                    is None
                )

        until("every mail has an end", ended, 60)
        with db.read() as conn:
            rows = conn.execute(select(task_mails)).all()
    arrived = sink.mails
    counts = {row.id: sum(n for name, n in arrived.items() if row.id in name) for row in rows}
    assert {row.status for row in rows} == {"done", "uncertain"}
    assert all(counts[row.id] == 1 for row in rows if row.status == "done")
    lost = [counts[row.id] for row in rows if row.status == "uncertain"]
    assert all(row.attempts == 1 for row in rows)
    assert set(lost) == {0, 1}  # killed before the wire, and behind it
