"""What ingest keeps of Segment's users, with several processes at it: two of everything, on one database."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
from sqlalchemy import func, insert, select, text

from backbone.clock import ManualClock
from backbone.database import Database
from backbone.migrations import migrate
from schemas.event import DAY_US, Event, from_microseconds, microseconds
from schemas.merging import SEGMENT, SEGMENT_PUBLIC, merge_of
from services.ingest.decoding.validation import ValidEvent
from services.ingest.identity.merged_accounts import MergedAccounts
from services.ingest.identity.placement import IdentityCall, Placement
from services.ingest.identity.pruning import EVERY, KEPT_US, Pruning
from services.ingest.identity.store import IdentityStore
from services.ingest.tables import calls, metadata, users

NOW = 1_795_338_000_000_000
KEY = b"sixteen letters!"
Result = TypeVar("Result")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def processes(url: str, clock: ManualClock) -> Iterator[list[tuple[Database, MergedAccounts, IdentityStore]]]:
    """Two of ingest's, each with connections of its own."""
    made = []
    for _ in range(2):
        db = Database(url)
        migrate(db, "ingest")
        merges = MergedAccounts(db, KEY)
        made.append((db, merges, IdentityStore(db, clock, merges)))
    yield made
    for db, _, _ in made:
        db.close()


@pytest.fixture
def first(processes: list[tuple[Database, MergedAccounts, IdentityStore]]) -> IdentityStore:
    return processes[0][2]


def call(
    kind: str,
    time: int,
    known: str | None = None,
    anonymous: str | None = None,
    *,
    message: str | None = None,
    group: str | None = None,
    unvouched: bool = False,
    **traits: Any,
) -> IdentityCall:
    said = {"attributes": traits} if kind == "contact.updated" else None
    event = Event(
        type=kind, source=SEGMENT_PUBLIC if unvouched else SEGMENT, id=message or "", contact=known, data=said,
        time=from_microseconds(NOW + time), unvouched=unvouched,
    )  # fmt: skip
    return IdentityCall(
        event=event, known=known, anonymous=anonymous, message=message, group=group, traits=said
    )


def where(placed: list[Placement]) -> list[tuple[str | None, int]]:
    return [(one.event.account, microseconds(one.event.time)) for one in placed if one.event.time]


def at_once(jobs: list[Callable[[], Result]]) -> list[Result]:
    """All of them in threads of their own, let go together."""
    gate = threading.Barrier(len(jobs))

    def run(job: Callable[[], Result]) -> Result:
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(run, jobs))


def test_a_batch_sent_again_to_another_process_at_once_goes_where_it_went(
    processes: list[tuple[Database, MergedAccounts, IdentityStore]],
) -> None:
    for user in map(str, range(20)):

        def batch(user: str = user, later: int = 0) -> list[IdentityCall]:
            return [
                call("clicked", 5 + later, user, message="1"),
                call("account.updated", 5 + later, user, message="2", group=f"g{later}"),
                call("clicked", 5 + later, user, message="3"),
            ]

        # Between the sendings another group call may come: what it changes is the same for all of them.
        jobs = [lambda each=each, send=batch: where(each.place(send())) for _, _, each in processes * 2]
        jobs.append(
            lambda user=user: where(processes[0][2].place([call("account.updated", 9, user, group="h")]))
        )
        *answers, _ = at_once(jobs)
        assert answers == [answers[0]] * 4
        assert answers[0] == [(user, NOW + 5), ("g0", NOW + 5), ("g0", NOW + 5)]
        assert where(processes[1][2].place(batch(later=100))) == answers[0]


def test_an_anonymous_account_is_merged_into_one_of_two_users_who_share_a_computer(
    processes: list[tuple[Database, MergedAccounts, IdentityStore]],
) -> None:
    one, other = processes[0][2], processes[1][2]
    for number in range(10):
        shared = f"a{number}"
        one.place([call("clicked", 0, None, shared)])
        made = at_once(
            [
                lambda each=each, user=user, shared=shared: each.place([call("clicked", 5, user, shared)])
                for each, user in ((one, "u"), (other, "v"), (one, "w"), (other, "x"))
            ]
        )
        merges = [merge for placed in made for each in placed for merge in each.merges]
        [merge] = [found for found in map(merge_of, merges) if found is not None]
        assert (merge.account, merge.lone, merge.into == merge.contact) == (shared, True, True)
        assert merge.into in {"u", "v", "w", "x"}


def test_no_circle_comes_of_merges_at_once(
    processes: list[tuple[Database, MergedAccounts, IdentityStore]],
) -> None:
    ways = itertools.cycle([merges for _, merges, _ in processes])
    for number in range(10):
        a, b, c = (f"{name}{number}" for name in "abc")
        pairs = [(a, b), (b, c), (c, a), (b, a)]
        jobs = [lambda each=next(ways), pair=pair: each.admit(*pair) for pair in pairs]
        admitted = dict(pair for pair, refused in zip(pairs, at_once(jobs), strict=True) if refused is None)
        assert 1 <= len(admitted) <= 2
        for start in admitted:
            reached, at = {start}, start
            while at in admitted:
                at = admitted[at]
                assert at not in reached
                reached.add(at)


def test_what_is_said_of_a_user_at_once_is_all_kept(
    processes: list[tuple[Database, MergedAccounts, IdentityStore]],
) -> None:
    jobs = [
        lambda each=each, name=name, user=user: each.place([call("contact.updated", 5, *user, **{name: 1})])
        for name, (_, _, each), user in zip(
            "abcdefgh", processes * 4, [("u", None), ("u", "q"), (None, "q"), ("u", None)] * 2, strict=True
        )
    ]
    processes[0][2].place([call("clicked", 0, "u", "q")])
    at_once(jobs)
    [placed] = processes[1][2].place([call("account.updated", 9, "u", group="g")])
    assert placed.contact is not None
    assert placed.contact.data == {"attributes": dict.fromkeys("abcdefgh", 1)} | {}


def test_a_merge_is_said_until_it_is_on_the_log(first: IdentityStore) -> None:
    def asked(*said: IdentityCall) -> list[Event]:
        return [merge for placed in first.place(said) for merge in placed.merges]

    assert asked(call("clicked", 1, "u"), call("clicked", 1, None, "a")) == []
    tie = call("clicked", 2, "u", "a")
    [merge] = asked(tie)
    assert asked(call("clicked", 3, "u", "a")) != [], "the first time may never have come to the log"
    assert [one.id for one in asked(tie, tie, tie)] == [merge.id], "once in a request"
    first.told([merge])
    assert asked(call("clicked", 4, "u", "a"), tie) == []
    groups = [call("account.updated", time, "u", group=group) for time, group in ((5, "g"), (6, "h"))]
    assert [(one.account, (one.data or {})["into"]) for one in asked(*groups)] == [("u", "g")]


def test_what_a_stranger_said_stands_in_nobodys_way(
    processes: list[tuple[Database, MergedAccounts, IdentityStore]],
) -> None:
    _, merges, identities = processes[0]
    stranger = [
        call("clicked", 1, "a", unvouched=True),
        call("account.updated", 2, "a", group="b", unvouched=True),
    ]
    made = [merge for placed in identities.place(stranger) for merge in placed.merges]
    assert [(one.account, one.unvouched) for one in made] == [("a", True)]
    identities.told(made)
    assert merges.admit("b", "a") is None, "an admin's merge is no circle with a stranger's"
    assert merges.admit("a", "b") is not None
    assert merges.admit("b", "c") is not None
    assert [one.event.account for one in identities.place([call("clicked", 3, "a")])] == ["a"]


def test_merges_from_outside(processes: list[tuple[Database, MergedAccounts, IdentityStore]]) -> None:
    db, merges, _ = processes[0]
    assert [merges.admit("a", "b"), merges.admit("a", "b"), merges.admit("b", "c")] == [None] * 3
    assert merges.admit("c", "a") is not None
    assert merges.admit("a", "z") is not None, "the first one may be on its way to the log"
    with db.write() as connection:
        merges.forget(connection, ["c", "a"], NOW)
    assert merges.admit("d", "c") is not None
    assert merges.admit("d", "b") is not None, "b goes on in c, which is erased"
    assert merges.admit("a", "y") is None, "erased, it was merged into nothing"


def test_calls_are_known_for_seven_days_and_then_go(
    processes: list[tuple[Database, MergedAccounts, IdentityStore]], clock: ManualClock
) -> None:
    db, _, identities = processes[0]
    identities.place([call("clicked", 0, "u", message="1")])
    clock.advance(7 * DAY_US)
    identities.place([call("account.updated", 0, "u", group="g")])
    assert where(identities.place([call("clicked", DAY_US, "u", message="1")])) == [("u", NOW)]
    clock.set(NOW + KEPT_US + 1)
    with db.write() as connection:
        old = {"user": "u", "account": "u", "time": 0, "follows": 0, "received_at": 0}
        connection.execute(insert(calls), [{**old, "name": number.to_bytes(16)} for number in range(5_000)])
    at_once([Pruning(each, clock).prune for each, _, _ in processes] * 2)
    identities.place([call("clicked", number, "u", message=f"n{number}") for number in range(EVERY)])
    with db.read() as connection:
        assert connection.scalar(select(func.count()).select_from(calls)) == EVERY


def test_erasure_leaves_no_trace(processes: list[tuple[Database, MergedAccounts, IdentityStore]]) -> None:
    db, merges, identities = processes[0]

    def life(user: str, group: str) -> None:
        anonymous = f"anonymous-{user}"
        identities.place(
            [
                call("contact.updated", 0, None, anonymous, message="0", email=f"early-{user}@x.test"),
                call("contact.updated", 1, user, anonymous, message="1", email=f"{user}@x.test"),
                call("account.updated", 2, user, anonymous, message="2", group=group),
                call("clicked", 3, None, anonymous, message="3"),
                call("contact.updated", 4, user, message="4", unvouched=True, email=f"page-{user}@x.test"),
            ]
        )

    def kept() -> str:
        with db.read() as connection:
            return "\n".join(
                str(row) for table in metadata.sorted_tables for row in connection.execute(select(table))
            )

    life("person-1", "group-1")
    life("person-2", "group-1")
    life("person-3", "group-2")
    for name in ("person-1", "person-2", "person-3", "group-1", "group-2"):
        assert name in kept()

    def erase(*events: ValidEvent) -> None:
        identities.erase(events)
        with db.write() as connection:
            merges.forget(connection, [one.account for one in events if one.type == "account.deleted"], NOW)

    erase(*(ValidEvent(account, "contact.deleted", "person-1", b"") for account in ("person-1", "group-1")))
    erase(ValidEvent("anonymous-person-1", "account.deleted", None, b""))
    assert "person-1" not in kept()
    assert "person-2@x.test" in kept()
    erase(ValidEvent("group-1", "account.deleted", None, b""))
    assert "group-1" not in kept()
    assert "person-2@x.test" not in kept()
    assert "early-person-2" not in kept()
    assert "person-3@x.test" in kept()


def test_the_groups_of_yesterday_still_hold(url: str, clock: ManualClock) -> None:
    db = Database(url)
    migrate(db, "ingest", "i001")
    schema = "ingest." if db.dialect == "postgresql" else ""
    with db.write() as connection:
        row = {"user": "u", "group": "g", "now": NOW}
        connection.execute(text(f"INSERT INTO {schema}ingest_groups VALUES (:user, :group, :now)"), row)
    migrate(db, "ingest")
    identities = IdentityStore(db, clock, MergedAccounts(db, KEY))
    assert where(identities.place([call("clicked", -30 * DAY_US, "u")])) == [("g", NOW - 30 * DAY_US)]
    [placed] = identities.place([call("account.updated", 1, "u", group="g")])
    assert (placed.contact is not None, placed.merges) == (True, []), "there was no call of an account alone"
    with db.read() as connection:
        assert connection.scalar(select(func.count()).select_from(users)) == 0
    db.close()
