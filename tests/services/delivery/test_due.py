"""Which actions a process leases next, by a slow model: all that is due in the end, and of each endpoint what fits."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, update

from services.actions.delivery.attempt_writer import AttemptWriter, Batch
from services.actions.storage import due, leases
from services.actions.storage.due import ROUNDS, SECOND_US, Key, Looks, Wanted, due_ids
from services.actions.storage.leases import take_due
from services.actions.tables import actions
from tests.services.delivery.kit import HASHER, House
from tests.services.delivery.test_sending import either

__all__ = ["either"]  # the fixture

T0 = 1_700_000_000 * SECOND_US
FAR = 2**60
NAMES = [f"crm {n}" for n in range(ROUNDS + 2)]
KEYS = [("webhook", name) for name in NAMES]
OTHERS = 2

puts = st.lists(st.tuples(st.sampled_from([*NAMES, "ann@acme.test"]), st.integers(1, 6)), max_size=4)
wishes = st.builds(
    Wanted,
    st.integers(1, 20),
    without=st.sets(st.sampled_from(KEYS)),
    of=st.dictionaries(st.sampled_from(KEYS), st.integers(1, 5)),
    others=st.just(OTHERS),
)
steps = st.lists(st.tuples(puts, st.integers(0, 4 * SECOND_US), wishes, st.booleans()), max_size=12)


@dataclass
class Model:
    """The actions, and what the process that leases them has seen of them."""

    house: House
    now: int = T0
    looks: Looks = field(default_factory=Looks)
    due: dict[str, Key] = field(default_factory=dict)  # nobody has leased them
    made: int = 0

    def put(self, name: str, count: int, ago: int = 0) -> None:
        ids = [f"act_{self.made + n}" for n in range(count)]
        self.made += count
        channel = "email" if "@" in name else "webhook"
        self.house.put(*ids, channel=channel, recipient=name, next_attempt_at=self.now - ago)
        self.due |= dict.fromkeys(ids, (channel, name))

    def lease(self, wanted: Wanted) -> list[str]:
        """Lease, and see that it is what was wanted."""
        with self.house.db.write() as conn:
            ids, again = due_ids(conn, self.now, wanted, self.looks)
            conn.execute(update(actions).where(actions.c.id.in_(ids)).values(lease_until=FAR))
        assert len(ids) == len(set(ids)) <= wanted.limit
        for key, count in Counter(self.due[one] for one in ids).items():
            assert key not in wanted.without
            assert key[0] == "email" or count <= wanted.of.get(key, OTHERS)
        assert again is None or again >= self.now
        for one in ids:
            del self.due[one]
        return ids

    def drained(self, wanted: Wanted) -> None:
        """Lease until nothing comes any more; each lease but the last brings something."""
        while self.lease(wanted):
            self.now += 1
        assert {*self.due.values()} <= {*wanted.without}


@pytest.fixture
def rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks rest for ever, unless a test ends it."""
    monkeypatch.setattr(due, "REST", 1e12)
    monkeypatch.setattr(due, "LONGEST_REST_S", 1e12)


def check(house: House, way: list[Any], last: set[Key], *, old: bool) -> None:
    with house.db.write() as conn:
        conn.execute(delete(actions))
    model = Model(house)
    for new, passed, wanted, rested in way:
        for n, (name, count) in enumerate(new):
            model.put(name, count, ago=n * 3 * SECOND_US if old else 0)
        model.now += passed // 2
        if rested:
            model.looks._rest_until = 0.0
        model.lease(wanted)
        model.now += passed // 2
    if old:
        model.looks._rest_until = 0.0
    model.drained(Wanted(20, without=last, others=OTHERS))


@pytest.mark.usefixtures("rests")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(way=steps, last=st.sets(st.sampled_from(KEYS)))
def test_what_falls_due_is_leased_without_another_look_at_everything(
    house: House, way: list[Any], last: set[Key]
) -> None:
    check(house, way, last, old=False)


@pytest.mark.usefixtures("rests")
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(way=steps, last=st.sets(st.sampled_from(KEYS)))
def test_what_was_due_for_long_is_leased_when_the_rest_is_over(
    house: House, way: list[Any], last: set[Key]
) -> None:
    check(house, way, last, old=True)


@pytest.mark.usefixtures("rests")
@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(way=steps, last=st.sets(st.sampled_from(KEYS)), old=st.booleans())
def test_either_database_leases_what_is_due(
    either: House, way: list[Any], last: set[Key], *, old: bool
) -> None:
    check(either, way, last, old=old)


@pytest.mark.usefixtures("rests")
def test_a_backlog_beside_one_of_an_endpoint_that_hangs_does_not_wait_for_the_next_look(
    either: House,
) -> None:
    """The hung one's is older and longer. It was passed over once, and is not read again and again."""
    model = Model(either)
    model.put(NAMES[0], 300)
    model.now += SECOND_US
    model.put(NAMES[1], 50)
    wanted = Wanted(100, without={KEYS[0]}, others=OTHERS)
    assert len(model.lease(wanted)) == OTHERS
    assert model.looks.rest_us
    model.drained(wanted)
    assert len(model.due) == 300


@pytest.mark.usefixtures("rests")
def test_what_came_while_its_endpoint_was_full_is_leased_once_it_is_not(house: House) -> None:
    """Although another one is full then, and everything was looked at in between."""
    model = Model(house)
    for _ in range(2):
        model.put(NAMES[0], 3)
        model.now += SECOND_US
        model.looks._rest_until = 0.0
        assert model.lease(Wanted(20, without={KEYS[0]}, others=OTHERS)) == []
    model.drained(Wanted(20, without={KEYS[1]}, others=OTHERS))


def test_a_rest_after_a_long_look_ends_soon(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was given back may have been due for long; nobody waits for it for a minute because a look took seconds."""
    monkeypatch.setattr(due, "REST", 1e12)
    model = Model(house)
    model.put(NAMES[0], 3)
    model.lease(Wanted(10, without={KEYS[0]}, others=OTHERS))
    assert 0 < model.looks.rest_us <= due.LONGEST_REST_S * SECOND_US


def test_what_is_leased_is_as_it_was_written(either: House) -> None:
    """SQLite gives rows as JSON: numbers beyond 64 bits, texts of any kind and length, and missing values pass."""
    body = {
        "big": 2**80,
        "small": -(2**63),
        "part": 0.1,
        "no": False,
        "text": '\\ " \u2028 \x7f \U0001f600',
        "none": None,
    }
    name = 'crm " \\ \u2028 \U0001f600' + "x" * 5_000
    either.put(
        "act_1", channel="webhook", recipient=name, contact=None, rendered={"body": body}, due_at=2**62
    )
    with either.db.write() as conn:
        ids, _ = due_ids(conn, either.clock.now(), Wanted(9, without={KEYS[0]}, others=OTHERS), Looks())
        (one,) = take_due(conn, either.clock.now(), 9, chosen=ids)
        assert (
            due_ids(conn, either.clock.now(), Wanted(9, without={("webhook", name)}, others=1), Looks()).ids
            == []
        )
    assert (one.recipient, one.contact, one.due_at, one.rendered["body"]) == (name, None, 2**62, body)
    assert (one.waits, one.interrupted, one.begun_at) == (False, False, None)


def test_no_lease_reads_all_that_is_pending(house: House) -> None:
    """SQLite knows nothing of how many are pending, and would read them all, even those due next week."""
    with house.db.read() as conn:
        for query in (due._due, due._due_but, due._due_of):
            text = query._for(conn)
            plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", (1,) * text.count("?")).all()
            assert "USING INDEX actions_actions_next (next_attempt_at" in plan[0].detail


@pytest.mark.usefixtures("rests")
def test_a_lease_that_fails_has_looked_at_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had found would wait until the next look at everything."""
    house.put("act_1", "act_2", channel="webhook", recipient=NAMES[0], next_attempt_at=T0)
    writer, wanted = AttemptWriter("me", HASHER, 2, log_clock=False), Wanted(10, without={KEYS[1]})

    def leased() -> list[str]:
        with house.db.write() as conn:
            return [one.id for one in writer.write(conn, Batch(lease=wanted), house.clock.now()).leased]

    with monkeypatch.context() as broken:
        broken.setattr(leases, "lease", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            leased()
    assert leased() == ["act_1", "act_2"]
