"""A mail that waits for the one before it in its play begins once that is over, however it ends, and not a look later.

The clock stands still meanwhile, so whatever waits for its look would wait for ever.
"""

from __future__ import annotations

from typing import Any

import pytest

from services.actions.plays.model import Leased, NotApproved
from services.actions.plays.retry_policy import Outcome
from services.actions.storage import approvals
from tests.services.delivery.kit import Fake
from tests.services.delivery.test_policy import HOUR, OFFICE, Post, at, either, post

__all__ = ["either", "post"]


def followed(post: Post, **fields: Any) -> None:
    """A mail that has to wait, and one that follows it in its play and waits for it."""
    post.mail("act_1", play="ply_1", **fields)
    post.go()
    post.mail("act_2", play="ply_1")
    post.go()
    post.waits("act_2", "behind")


def test_a_mail_that_follows_one_that_the_server_rejects_begins_with_it(post: Post) -> None:
    """Nothing waits for a look, for the clock stands still."""
    post.policy(OFFICE)
    post.hand.time = at("30 07:00")
    rejected = Outcome(kind="permanent", reason="rejected")
    post.loop(email=Fake(lambda mail: rejected if mail.id == "act_1" else Outcome(kind="done")))
    followed(post)
    post.go("30 08:00")
    post.ends(act_2=None)
    assert post.states()["act_1"] == ("failed", "rejected")


def test_a_mail_that_follows_one_that_is_not_sent_does_not_wait_for_a_look(post: Post) -> None:
    """The first one is for an address that a staging system does not write to; so it ends without having begun."""

    class Staging(Fake):
        async def prepare(self, action: Leased) -> Any:
            if action.id == "act_1":
                return Outcome(kind="skipped", reason="not_on_list")
            return await super().prepare(action)

    post.policy(OFFICE)
    post.hand.time = at("30 07:00")
    post.loop(email=Staging())
    followed(post)
    post.go("30 08:00")
    post.ends(act_1="not_on_list", act_2=None)


@pytest.mark.parametrize("how", ["rejected", "over"])
def test_a_mail_that_follows_one_that_nobody_approves_begins_with_the_decision(
    either: Post, how: str
) -> None:
    either.policy(OFFICE)
    either.loop(email=Fake())
    until = either.clock.now() + HOUR
    followed(either, approve_until=until, next_attempt_at=None, next_look_at=None, reason="awaiting_approval")
    with either.db.write() as conn:
        if how == "rejected":
            row = approvals.locked(conn, ["act_1"])["act_1"]
            approvals.reject(conn, row, "jo", None, at=either.clock.now(), log_clock=False)
        else:
            approvals.give_up(conn, NotApproved("act_1", "ply_1", until, either.clock.now()))
    either.go()
    either.ends(act_1="not_approved", act_2=None)
