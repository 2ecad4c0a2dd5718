"""Two workers that let mails to one address begin at the same moment never count past each other."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from services.actions.delivery.attempt_writer import AttemptWriter, Batch, Wanted
from services.actions.plays.model import Leased
from tests.services.delivery.kit import HASHER
from tests.services.delivery.test_policy import Post

pytestmark = pytest.mark.postgres
WAITING = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")


@pytest.fixture
def post(tmp_path: Path, fresh_postgres_url: str) -> Iterator[Post]:
    made = Post(tmp_path, "postgresql+psycopg" + fresh_postgres_url[fresh_postgres_url.index(":") :])
    yield made
    made.close()


def leased(post: Post, writer: AttemptWriter) -> list[Leased]:
    with post.db.write() as conn:
        return writer.write(conn, Batch(lease=Wanted(10)), post.clock.now()).leased


@pytest.mark.parametrize("per", ["address", "account"])
def test_the_second_waits_for_the_first_and_counts_it(post: Post, per: str) -> None:
    """The second mail was not there yet when the first was judged, and would have gone first."""
    post.policy({"caps": [{"at_most": 1, "within": "7d", "per": per}]})
    other = {"account": "other"} if per == "address" else {"to": "bob@acme.test"}
    one, two = (AttemptWriter(name, HASHER, 2, log_clock=False) for name in ("one", "two"))
    post.mail("act_1")
    first = leased(post, one)
    begun: list[str] = []

    def second() -> None:
        mails = leased(post, two)
        with post.db.write() as conn:
            begun.extend(two.write(conn, Batch(begins=mails), post.clock.now()).begun)

    with post.db.write() as conn:
        assert list(one.write(conn, Batch(begins=first), post.clock.now()).begun) == ["act_1"]
        post.mail("act_2", priority=9, **other)
        thread = threading.Thread(target=second)
        thread.start()
        post.until(lambda: begun or _waits(post))
        assert begun == [], "it has not waited for the first"
    thread.join(30)
    assert begun == []
    post.waits("act_2", "capped")


def _waits(post: Post) -> bool:
    with post.db.read() as conn:
        return bool(conn.scalar(WAITING))
