"""Who is let go when one more comes."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backbone.web.connection_limit import AT_ONCE, ConnectionLimit, neighbourhood, room_for_connections


@dataclass(eq=False)
class Line:
    address: str
    silent_since: float | None
    evicted: bool = False

    def evict(self) -> None:
        self.evicted = True


def flood(address: str, count: int, since: float | None = 0.0) -> list[Line]:
    return [Line(address, None if since is None else since + n) for n in range(count)]


def test_with_room_nobody_goes() -> None:
    lines = flood("a", 10)
    assert ConnectionLimit(10).admit(lines[0], set(lines))
    assert not any(line.evicted for line in lines)


def test_the_longest_silent_of_the_busiest_address_go() -> None:
    busy, others, new = flood("a", 100, since=50.0), flood("b", 30, since=1.0), Line("b", 200.0)
    lines = {*busy, *others, new}
    assert ConnectionLimit(130).admit(new, lines)
    gone = [line for line in (*busy, *others, new) if line.evicted]
    assert gone == busy[: 100 // AT_ONCE]
    assert lines.isdisjoint(gone)


def test_who_waits_for_us_stays() -> None:
    at_work, silent, new = flood("a", 20, since=None), flood("b", 1), Line("a", 9.0)
    assert ConnectionLimit(21).admit(new, {*at_work, *silent, new})
    assert [line for line in (*at_work, *silent, new) if line.evicted] == silent
    assert not ConnectionLimit(20).admit(new, {*at_work, new})
    assert not any(line.evicted for line in (*at_work, new))


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.floats(0, 9)), min_size=1, max_size=60),
    st.integers(0, 60),
)
def test_the_slow_truth(shapes: list[tuple[str, float | None]], most: int) -> None:
    made = [Line(address, since) for address, since in shapes]
    new = made[-1]
    admitted = ConnectionLimit(most).admit(new, set(made))
    gone = [line for line in made if line.evicted]
    counts = Counter(line.address for line in made)
    can_go = [line for line in made[:-1] if line.silent_since is not None]
    assert admitted == (len(made) <= most or bool(can_go))
    assert bool(gone) == (len(made) > most and bool(can_go))
    for line in gone:
        assert line in can_go
        stay = [other for other in can_go if not other.evicted]
        assert all(counts[other.address] <= counts[line.address] for other in can_go)
        assert all(
            (other.silent_since or 0) >= (line.silent_since or 0)
            for other in stay
            if other.address == line.address
        )


def test_a_flood_is_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = 0.0
    crowd = ConnectionLimit(0, monotonic=lambda: now)
    for _ in range(1_000):
        crowd.closed("not_read", ())
        crowd.closed("early_answer", ())
    assert len(caplog.records) == 1
    now = 61.0
    crowd.closed("not_read", ())
    assert len(caplog.records) == 2
    assert "1000" in caplog.text


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("odd:", "odd:"),
    ],
)
def test_what_counts_as_one_address(address: str, expected: str) -> None:
    assert neighbourhood(address) == expected


def test_the_limit_on_files_is_minded(monkeypatch: pytest.MonkeyPatch) -> None:
    import resource

    limits = {"now": (1_024, 4_096)}
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.update(now=new))
    assert room_for_connections() == 2_000
    assert limits["now"] == (2_200, 4_096)
    limits["now"] = (256, 512)
    assert room_for_connections() == 312
    limits["now"] = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    assert room_for_connections() == 2_000
