"""What the sending policy reads: a mail that cannot be judged ends by itself (see `test_unreadable`)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, text

from services.actions.tables import accounts, begins, digest_items
from tests.services.delivery.kit import Fake
from tests.services.delivery.test_policy import Post
from tests.services.delivery.test_unreadable import FAILED, GOOD, SEEN, details, spoil, states, until_over


@pytest.fixture
def post(tmp_path: Path) -> Any:
    made = Post(tmp_path)
    made.policy({"caps": [{"at_most": 100, "within": "7d"}]})
    yield made
    made.close()


@pytest.mark.parametrize(
    ("column", "waits"), [("priority", True), ("late_at", True), ("waited", False), ("ready_at", False)]
)
def test_a_mail_that_cannot_be_judged(post: Post, column: str, waits: bool) -> None:
    for action in ("act_bad", *GOOD):
        post.mail(action, to=f"{action}@acme.test", waits=waits)
    spoil(post, column, "'soon'")
    post.loop(email=Fake())
    until_over(post)
    assert states(post) == dict.fromkeys(GOOD, ("done", None)) | {"act_bad": FAILED}
    assert details(post, "act_bad") == [(1, "permanent", SEEN + column)]


def test_a_mail_behind_one_that_cannot_be_read_is_next(post: Post) -> None:
    post.mail("act_bad", due_at=post.clock.now() - 1)
    post.mail("act_behind", reason="behind", next_attempt_at=post.clock.now() + 10**9)
    spoil(post, "rendered", "'{'")
    post.loop(email=Fake())
    until_over(post)
    assert states(post) == {"act_bad": FAILED, "act_behind": ("done", None)}


def test_an_earlier_mail_of_the_same_play_that_cannot_be_read_counts_as_none(post: Post) -> None:
    post.mail("act_bad", play="ply_1", status="done", waits=False, next_attempt_at=None)
    spoil(post, "begun_at", "'long ago'")
    post.mail("act_next", play="ply_1", waited=1)
    post.loop(email=Fake())
    until_over(post)
    assert states(post)["act_next"] == ("done", None)


def test_an_account_that_cannot_be_read(post: Post) -> None:
    for action in ("act_bad", *GOOD):
        post.mail(action, to=f"{action}@acme.test", account="odd" if action == "act_bad" else "acme")
    with post.db.write() as conn:
        conn.execute(insert(accounts).values(account="odd", partition=0, profile=b'{"id": 5, "timezone": 5}'))
    post.loop(email=Fake())
    until_over(post)
    assert states(post) == dict.fromkeys(GOOD, ("done", None)) | {"act_bad": FAILED}
    assert details(post, "act_bad") == [(1, "permanent", f"{SEEN}profile")]


def test_a_beginning_that_cannot_be_read_counts_for_no_cap(post: Post) -> None:
    post.policy({"caps": [{"at_most": 1, "within": "7d"}]})
    post.mail("act_begun")
    post.loop(email=Fake())
    until_over(post)
    table = begins.name if post.db.dialect == "sqlite" else f"actions.{begins.name}"
    with post.db.write() as conn:
        conn.execute(text(f"UPDATE {table} SET at = 'yesterday'"))  # for SQLite greater than any number
    post.mail("act_next")
    post.loops[0].wake()
    until_over(post)
    assert states(post)["act_next"] == ("done", None)


def test_an_item_of_a_digest_that_cannot_be_read_costs_its_mail_alone(post: Post) -> None:
    for action in ("act_bad", *GOOD):
        post.mail(action, to=f"{action}@acme.test", digest_key="weekly")
    item = {
        "id": "i", "digest": "d", "home": 0, "partition": 0, "play": "ply_act_bad", "account": "acme", "since": 0,
        "due": 0, "action": "act_bad", "item": {"id": 5}, "scope": {},
    }  # fmt: skip
    with post.db.write() as conn:
        conn.execute(insert(digest_items), [item])
    post.loop(email=Fake())
    until_over(post)
    assert states(post) == dict.fromkeys(GOOD, ("done", None)) | {"act_bad": FAILED}
    assert details(post, "act_bad") == [(1, "permanent", f"{SEEN}item")]
