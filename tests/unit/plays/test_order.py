"""The one order of the two topics: however they are read, the same plays come out."""

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.event import microseconds
from services.actions.plays.in_memory import MemoryStore
from services.actions.plays.memory_library import MemoryLibrary
from services.actions.plays.merge import EventItem, MergedOrder, TriggerItem
from services.actions.plays.processor import GRACE_US, PlaysPartition
from tests.unit.plays.kit import DAY, SECOND, T0, TEMPLATES, World, account, book, event, trigger

RICH = {"if": {"account.attributes.arr": {"gte": 5}}, "then": [{"webhook": {"endpoint": "crm"}}]}
BOOKS = [
    book(
        "chase",
        goal={"event": ["paid", "login"], "by": "data.invoice", "within": "2d"},
        exit_when={"event": "paid", "by": "data.invoice"},
        steps=[{"email": {"template": "hello"}}, {"wait": "2d"}, {"email": {"template": "final"}}],
    ),
    book(
        "ask",
        holdout=50,  # acme is held out, beta is not
        goal={"event": "paid", "within": "3d"},
        steps=[
            {"wait": {"for": "3d", "until": {"event": "login"}, "then": "exit"}},
            {"task": {"title": "Call"}},
            {"wait": "1d"},
            {"branch": RICH},
        ],
    ),
]


@st.composite
def histories(draw: Any) -> tuple[list[EventItem], list[Any]]:
    """The records of both topics: events, and triggers and progress as rules would write them."""
    size = draw(st.integers(2, 14))
    clock = T0
    events: list[EventItem] = [EventItem(0, T0, account()), EventItem(1, T0, account(name="beta"))]
    triggers: list[Any] = [("progress", 2)]
    for offset in range(2, size + 2):
        at = clock + draw(st.sampled_from([0, 1, DAY, 2 * DAY, 3 * DAY, -DAY]))
        name = draw(st.sampled_from(["acme", "beta"]))
        for moment in draw(st.lists(st.integers(clock, max(clock, at)), max_size=2).map(sorted)):
            triggers.append(
                trigger(moment, offset - 1, account=name, playbook="ask", key=draw(st.sampled_from("12")))
            )
        kind = draw(st.sampled_from(["paid", "login", "it", "account.updated"]))
        data = {"invoice": draw(st.sampled_from("12")), "attributes": {"arr": draw(st.integers(0, 9))}}
        events.append(EventItem(offset, at, event(kind, at, name, id=f"e{offset}", data=data)))
        clock = max(clock, at)
        if kind == "it":
            book_ = draw(st.sampled_from(["chase", "ask", "nowhere"]))
            triggers.append(trigger(at, offset, account=name, playbook=book_, key=data["invoice"]))
        if draw(st.booleans()):
            triggers.append(("progress", offset + 1))
    return events, [*triggers, ("progress", size + 2)]


def outcome(store: MemoryStore) -> Any:
    plays = [
        (
            p.id,
            p.status,
            p.reason,
            p.step,
            p.started_at,
            p.ended_at,
            p.wait,
            p.began_at,
            p.goal_until,
            p.goal_reached_at,
        )
        for p in store.plays.values()
    ]
    acts = [(a.id, a.step, a.status, a.reason, a.due_at) for a in store.actions.values()]
    tasks = [(t.id, t.play, t.status, t.reason) for t in store.tasks.values()]
    return sorted(map(str, plays)), acts, tasks, [told.id for told in store.events]


def run(
    events: Sequence[EventItem], triggers: Sequence[Any], order: Sequence[bool], restart: Sequence[bool]
) -> Any:
    """Read the topics in the given interleaving; `restart`: drop the queues and read on from the kept offsets."""
    store, library, merge = MemoryStore(), MemoryLibrary(BOOKS, TEMPLATES), MergedOrder()
    partition = PlaysPartition(0, mode="log", store=store, library=library, merge=merge)
    at = [0, 0]
    for turn in range(10_000):
        side = order[turn % len(order)] if order else bool(turn % 2)
        side = side if at[side] < len((events, triggers)[side]) else not side
        if at[side] < len((events, triggers)[side]):
            _offer(partition, (events, triggers)[side][at[side]], at[side])
            at[side] += 1
        while partition.step():
            if restart and restart[turn % len(restart)]:
                break
        if restart and restart[turn % len(restart)]:
            kept = partition.merge
            merge = MergedOrder(
                next_event=kept.next_event, next_trigger=kept.next_trigger, past=kept.kept_past
            )
            partition = PlaysPartition(
                0, mode="log", store=store, library=library, merge=merge, clock=partition.clock
            )
            at = [merge.next_event, merge.next_trigger]
            restart = restart[1:]
        elif at == [len(events), len(triggers)] and partition.merge.head() is None:
            return outcome(store)
    raise AssertionError("stuck")


def _offer(partition: PlaysPartition, record: Any, place: int) -> None:
    if isinstance(record, EventItem):
        partition.merge.offer_events([record])
    elif isinstance(record, tuple):
        partition.merge.offer_progress(place, record[1])
    else:
        partition.merge.offer_trigger(TriggerItem(place, record))


@settings(max_examples=80, deadline=None)
@given(histories(), st.lists(st.booleans(), max_size=12), st.lists(st.booleans(), max_size=12))
def test_any_interleaving_and_any_restart_gives_the_same(history: Any, order: Any, restart: Any) -> None:
    events, triggers = history
    expected = run(events, triggers, [], [])
    assert run(events, triggers, order, []) == expected
    assert run(events, triggers, [False], []) == expected  # all events first
    assert run(events, triggers, [True], []) == expected  # all triggers first
    # After a restart too, either topic may be read far ahead of the other.
    for side in (order, [False], [True]):
        assert run(events, triggers, side, restart) == expected


@settings(max_examples=50, deadline=None)
@given(histories(), st.integers(0, 100))
def test_triggers_relayed_again_after_a_crash_change_nothing(history: Any, cut: int) -> None:
    events, triggers = history
    again = cut % (len(triggers) + 1)
    repeated = [*triggers[:again], *triggers[max(0, again - 3) :]]
    assert run(events, repeated, [], []) == run(events, triggers, [], [])


def test_an_event_waits_for_rules() -> None:
    merge = MergedOrder()
    merge.offer_events([EventItem(0, T0, event("a", T0)), EventItem(1, T0, event("b", T0))])
    assert merge.head() is None
    merge.offer_progress(0, 1)
    head = merge.head()
    assert isinstance(head, EventItem)
    assert head.offset == 0
    merge.take()
    assert merge.head() is None


def test_a_trigger_waits_for_its_event_and_lets_earlier_ones_through() -> None:
    merge = MergedOrder()
    merge.offer_trigger(TriggerItem(0, trigger(T0, 1)))
    assert merge.head() is None
    merge.offer_events([EventItem(0, T0, None), EventItem(1, T0, None), EventItem(2, T0, None)])
    taken = []
    while (head := merge.head()) is not None:
        taken.append(head)
        merge.take()
    assert [type(one).__name__ for one in taken] == ["EventItem", "EventItem", "TriggerItem"]
    assert not merge.caught_up()


def test_after_a_restart_no_event_overtakes_a_trigger_that_is_read_anew() -> None:
    """Triggers were read far ahead, and rules was known to be past all; then the events are read first."""
    before = MergedOrder()
    before.offer_trigger(TriggerItem(0, trigger(T0, 1)))
    before.offer_progress(1, 9)
    merge = MergedOrder(next_event=before.next_event, next_trigger=before.next_trigger, past=before.kept_past)
    assert merge.next_trigger == 0
    merge.offer_events([EventItem(offset, T0, None) for offset in range(4)])
    taken: list[object] = []
    while (head := merge.head()) is not None:
        taken.append(head.offset)
        merge.take()
    assert taken == [0, 1], "what lies behind the trigger waits for it"
    merge.offer_trigger(TriggerItem(0, trigger(T0, 1)))
    assert isinstance(merge.head(), TriggerItem)


def test_a_gap_in_the_offsets_holds_up_nothing() -> None:
    merge = MergedOrder()
    merge.offer_trigger(TriggerItem(0, trigger(T0, 4)))
    merge.offer_events([EventItem(7, T0, None)])
    assert isinstance(merge.head(), TriggerItem)


def test_waits_run_in_time_order_over_accounts() -> None:
    books = [
        book("a", steps=[{"wait": "2d"}, {"task": {"title": "A"}}]),
        book("b", steps=[{"wait": "1d"}, {"task": {"title": "B"}}]),
    ]
    world = World(*books)
    world.say(account(), account(name="beta"))
    world.fire(T0, playbook="a")
    world.fire(T0, playbook="b", account="beta")
    world.clock(T0 + 5 * DAY)
    assert [action.playbook for action in world.store.actions.values()] == ["b", "a"]


def test_waits_of_the_account_come_before_a_trigger_of_a_later_moment() -> None:
    world = World(book(steps=[{"wait": "1d"}, {"task": {"title": "Go"}}]))
    world.say(account())
    first = world.fire(T0)
    second = world.fire(T0 + 2 * DAY)  # an absence decided before the next event is applied
    assert first is not None
    assert second is not None
    assert (first.status, second.status) == ("finished", "open")
    assert second.started_at == T0 + 2 * DAY


def wall() -> World:
    world = World(
        book(steps=[{"wait": "1d"}, {"task": {"title": "Go"}}], exit_when={"event": "stop"}), mode="wall"
    )
    world.say(account(), timestamp=T0)
    world.fire(T0)
    return world


def test_wall_clock_a_wait_runs_once_everything_is_read_and_never_early() -> None:
    world = wall()
    advance_to = world.partition.advance_to
    assert not advance_to(T0 + DAY)  # a second of grace
    world.partition.merge.offer_events([EventItem(world.events, T0, None)])
    assert not advance_to(T0 + DAY + 2 * SECOND)  # somebody posted something that is not applied yet
    assert not world.store.actions
    world.partition.merge.offer_progress(world.triggers, world.events + 1)
    world.run()
    assert advance_to(T0 + DAY + 2 * SECOND)
    assert not advance_to(T0 + DAY + 2 * SECOND)
    (action,) = world.store.actions.values()
    assert action.due_at == T0 + DAY


def test_wall_clock_events_that_lag_decide_as_they_would_have() -> None:
    world = wall()
    stop = event("stop", T0 + DAY - 5 * SECOND)
    world.say(stop, timestamp=T0 + DAY - 5 * SECOND)  # read days later
    world.partition.advance_to(T0 + 9 * DAY)
    assert not world.store.actions

    world = wall()
    world.say(event("stop", T0 + DAY), timestamp=T0 + DAY + 2 * SECOND)  # received after the wait was due
    assert [action.due_at for action in world.store.actions.values()] == [T0 + DAY]


def test_log_clock_is_not_moved_by_our_own_events_nor_by_the_past() -> None:
    world = World(book(steps=[{"wait": "1d"}, {"task": {"title": "Go"}}]))
    world.say(account())
    world.fire(T0)
    world.say(event("touchline.email.sent", T0 + 9 * DAY), event("old", T0 - DAY))
    assert world.partition.clock == T0
    assert not world.store.actions
    world.clock(T0 + DAY)
    assert len(world.store.actions) == 1
    assert GRACE_US == SECOND
    assert microseconds(account().time or 0) == T0  # type: ignore[arg-type]
