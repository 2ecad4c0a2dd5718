"""What follows from a report about a mail: the reason, the event, the suppression; each once."""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from backbone.clock import ManualClock
from services.actions.feedback.report import MailReport
from services.actions.feedback.signatures import FRESH_US, SignedToken
from services.actions.plays.mail_reports import DAY_US, ReportKind
from services.actions.storage import suppressions
from services.actions.storage.erasure import ToErase, erase
from services.actions.storage.mail_reports import ReportBook, StillSending
from services.actions.tables import actions, mail_reports, mail_tokens, outbox
from services.actions.tables import suppressions as suppressed_table
from tests.services.delivery.kit import HASHER, House

HARD, SOFT, NOT_SENT = ReportKind.HARD_BOUNCE, ReportKind.SOFT_BOUNCE, ReportKind.NOT_SENT
COMPLAINT = ReportKind.COMPLAINT
T0 = 1_790_000_000_000_000
ANN = "ann@acme.test"


def made(folder: Path, url: str = "") -> Iterator[House]:
    house = House(folder, url)
    yield house
    house.close()


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    yield from made(tmp_path_factory.mktemp("reports"))


@pytest.fixture(scope="module")
def on_postgres(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str]) -> Iterator[House]:
    url = new_database().replace("postgresql://", "postgresql+psycopg://")
    yield from made(tmp_path_factory.mktemp("reports"), url)


def emptied(house: House) -> House:
    with house.db.write() as conn:
        for table in (actions, mail_reports, mail_tokens, outbox, suppressed_table):
            conn.execute(delete(table))
    return house


@pytest.fixture
def house(on_sqlite: House) -> House:
    """One for all tests, emptied for each."""
    return emptied(on_sqlite)


@pytest.fixture(params=["on_sqlite", pytest.param("on_postgres", marks=pytest.mark.postgres)])
def shared(request: pytest.FixtureRequest) -> House:
    """The same on either database."""
    return emptied(request.getfixturevalue(request.param))


def book(house: House, clock: ManualClock | None = None) -> ReportBook:
    """The book as the service has it, on a clock that stands still."""
    ticks = clock or ManualClock(T0)
    return ReportBook(house.db, ticks, lambda _, __: ticks.now(), HASHER, 2)


def put(house: House, *ids: str, **fields: Any) -> None:
    """Mails that went out."""
    house.put(*ids, **{"status": "done", "attempts": 1, "done_at": T0, "next_attempt_at": None, **fields})


def told(house: House) -> list[tuple[str, str, int]]:
    """The events in the outbox: kind, action, depth."""
    found = [json.loads(text) for text in house.events()]
    return [
        (one["type"].removeprefix("touchline."), one["data"]["action"], one["data"]["depth"]) for one in found
    ]


def report(house: House, kind: ReportKind, action: str = "act_1", **more: Any) -> bool | None:
    """Whether it was new; None if there is no such mail."""
    return book(house, more.pop("clock", None)).write(MailReport(action, kind, **more), ANN, "ses")


@pytest.mark.parametrize(
    ("kind", "reason", "gone"),
    [
        (HARD, "bounced", True),
        (SOFT, "bounced", False),
        (NOT_SENT, "bounced", False),
        (COMPLAINT, "complained", True),
    ],
)
@pytest.mark.parametrize("status", ["done", "uncertain"])
def test_what_a_report_does(shared: House, kind: ReportKind, reason: str, gone: bool, status: str) -> None:
    put(shared, "act_1", status=status, reason="maybe_delivered" if status == "uncertain" else None)
    assert [report(shared, kind, detail="550 5.1.1") for _ in range(3)] == [True, False, False]
    assert shared.states() == {"act_1": ("done", reason)}
    assert told(shared) == [(f"email.{reason}", "act_1", 0)]
    assert shared.suppressed() == ([(ANN, "", reason)] if gone else [])
    (row,) = shared.rows(mail_reports)
    assert (row.kind, row.provider, row.at, row.detail) == (kind.value, "ses", T0, "550 5.1.1")


@pytest.mark.parametrize(
    ("status", "reason"), [("failed", "rejected"), ("skipped", "play_exited"), ("retrying", None)]
)
def test_other_ends_stay_what_they_are(house: House, status: str, reason: str | None) -> None:
    put(house, "act_1", status=status, reason=reason)
    assert report(house, HARD)
    assert house.states() == {"act_1": (status, reason)}
    assert told(house) == [("email.bounced", "act_1", 0)]
    assert house.suppressed() == [(ANN, "", "bounced")]


def test_a_bounce_that_was_told_when_the_mail_was_sent_is_not_told_again(house: House) -> None:
    put(house, "act_1", status="failed", reason="bounced")
    assert report(house, HARD)
    assert told(house) == []


def test_a_complaint_stands_above_a_bounce(house: House) -> None:
    put(house, "act_1")
    kinds = (SOFT, COMPLAINT, HARD, NOT_SENT, SOFT, COMPLAINT)
    assert [report(house, kind) for kind in kinds] == [True, True, True, True, False, False]
    assert house.states() == {"act_1": ("done", "complained")}
    assert told(house) == [("email.bounced", "act_1", 0), ("email.complained", "act_1", 0)]


def test_only_mails_that_were_tried_are_known(house: House) -> None:
    put(house, "act_1", "act_2")
    house.put("act_3", status="pending", attempts=0)
    put(house, "act_4", channel="webhook", recipient="crm")
    assert report(house, SOFT, "act_2")
    found = book(house).mails(["act_1", "act_2", "act_3", "act_4", "act_5", "act_1"])
    assert found == {"act_1": (ANN, frozenset()), "act_2": (ANN, frozenset({SOFT.value}))}


def test_what_is_erased_meanwhile_is_about_nobody(house: House) -> None:
    put(house, "act_1")
    assert report(house, HARD)
    with house.db.write() as conn:
        erase(conn, ToErase("acme", None, [ANN]), T0)
    assert house.rows(mail_reports) == []
    assert house.suppressed() == [(None, "", "bounced")]
    assert report(house, COMPLAINT) is None
    assert house.rows(mail_reports) == []


def test_while_the_very_mail_is_under_way_the_provider_comes_again(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr(suppressions, "WAIT_S", 0.05)
    monkeypatch.setattr(suppressions.once_quiet, "__defaults__", (0.05,))
    put(
        house,
        "act_1",
        status="pending",
        attempting=True,
        lease_owner="me",
        lease_until=2**60,
        next_attempt_at=1,
    )
    with pytest.raises(StillSending):
        report(house, HARD)
    assert (house.rows(mail_reports), house.suppressed(), told(house)) == ([], [], [])


@pytest.mark.parametrize(
    ("days", "happened", "gone"),
    [
        ((0, 0, 0), (0, 0, 0), True),
        ((0, 3, 6), (0, 3, 6), True),
        ((0, 3, 7), (0, 3, 7), False),  # the first is out of the seven days
        ((0, 3, 9, 9), (0, 3, 9, 9), True),  # of 3, 9 and 9
        ((20, 20, 20), (0, 8, 16), False),  # a provider that was away tells of three weeks at once
        ((0, 8, 16), (0, 0, 0), False),  # it says the same time of all
        ((0, 0), (0, 0), False),
        ((9, 9, 9), (8, 2, 5), True),  # in any order
    ],
)
def test_three_soft_bounces_within_seven_days(
    house: House, days: tuple[int, ...], happened: tuple[int, ...], gone: bool
) -> None:
    clock = ManualClock(T0)
    names = [f"act_{at}" for at in range(len(days))]
    put(house, *names)
    for name, day, said in zip(names, days, happened, strict=True):
        clock.set(T0 + day * DAY_US)
        for _ in range(2):  # the same report again is not another mail
            report(house, SOFT, name, clock=clock, at=T0 + said * DAY_US)
    assert house.suppressed() == ([(ANN, "", "bounced")] if gone else [])


def test_soft_bounces_of_others_do_not_add_up(house: House) -> None:
    put(house, "act_1", "act_2", "act_3")
    for action, address in (("act_1", ANN), ("act_2", "bob@acme.test"), ("act_3", "ANN@acme.test")):
        book(house).write(MailReport(action, SOFT), address, "ses")
    assert house.suppressed() == []


def test_two_workers_with_the_same_reports_write_each_once(shared: House) -> None:
    """Two workers, the same reports many times, in any order: one event of each kind for each mail."""
    names = [f"act_{at}" for at in range(6)]
    put(shared, *names)
    work = [(name, kind) for name in names for kind in (SOFT, HARD, COMPLAINT)] * 4
    random.Random(7).shuffle(work)
    books = [book(shared), book(shared)]
    with ThreadPoolExecutor(2) as pool:
        halves = [
            pool.submit(
                lambda one, part: [one.write(MailReport(*each), ANN, "ses") for each in part], one, part
            )
            for one, part in zip(books, (work[::2], work[1::2]), strict=True)
        ]
        answers = [new for half in halves for new in half.result()]
    assert sorted(answers) == [False] * (len(work) - 18) + [True] * 18
    assert sorted(told(shared)) == sorted(
        (f"email.{kind}", name, 0) for name in names for kind in ("bounced", "complained")
    )
    assert set(shared.states().values()) == {("done", "complained")}
    assert len(shared.rows(mail_reports)) == 18


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    reports=st.lists(
        st.tuples(
            st.sampled_from(["act_1", "act_2", "act_3", "act_4"]),
            st.sampled_from([HARD, SOFT, SOFT, SOFT, NOT_SENT, COMPLAINT]),
            st.integers(0, 3),
        ),
        max_size=10,
    )
)
def test_it_is_what_a_slow_and_obvious_judge_says(
    house: House, reports: list[tuple[str, ReportKind, int]]
) -> None:
    emptied(house)
    put(house, "act_1", "act_2", "act_3", "act_4")
    clock = ManualClock(T0)
    seen: list[tuple[str, ReportKind, int]] = []
    for action, kind, days in reports:
        clock.advance(days * DAY_US)
        report(house, kind, action, clock=clock)
        if (action, kind) not in [one[:2] for one in seen]:
            seen.append((action, kind, clock.now()))
    reasons = {HARD: "bounced", SOFT: "bounced", NOT_SENT: "bounced", COMPLAINT: "complained"}
    said = {(action, reasons[kind]) for action, kind, _ in seen}
    assert sorted(told(house)) == sorted((f"email.{reason}", action, 0) for action, reason in said)
    for action, state in house.states().items():
        mine = [reason for one, reason in said if one == action]
        assert state == ("done", "complained" if "complained" in mine else mine[0] if mine else None)
    soft = [at for _, kind, at in seen if kind == SOFT]
    three = any(sum(at - 7 * DAY_US < one <= at for one in soft) >= 3 for at in soft)
    gone = three or any(kind in (HARD, COMPLAINT) for _, kind, _ in seen)
    assert bool(house.suppressed()) == gone


def test_a_signed_token_is_good_for_one_body(shared: House) -> None:
    clock = ManualClock(T0)
    one = book(shared, clock)
    token = SignedToken("t" * 50, T0)
    assert one.accept_token(token, b"a")
    assert one.accept_token(token, b"a")  # the provider did not hear our answer
    assert not one.accept_token(token, b"b")
    assert one.accept_token(SignedToken("u" * 50, T0), b"b")
    clock.advance(3 * FRESH_US)
    one.forget_tokens()
    assert not one.accept_token(token, b"b")
    clock.advance(2 * FRESH_US)
    one.forget_tokens()
    assert shared.rows(mail_tokens) == []
