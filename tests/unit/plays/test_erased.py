"""Rules and plays side by side, each as far behind as it likes, while accounts and contacts are erased: nothing of them
comes back by what Touchline itself had under way."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.event import Event, from_microseconds
from schemas.trigger import Trigger
from services.actions.plays.in_memory import MemoryStore
from services.actions.plays.memory_library import MemoryLibrary
from services.actions.plays.merge import EventItem, TriggerItem
from services.actions.plays.processor import PlaysPartition
from services.rules.engine.account_state import subject_of
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine
from tests.unit.engine.world import TECH, rule
from tests.unit.plays.kit import DAY, T0, TEMPLATES, account, book, event
from tests.unit.plays.kit import World as Plays

ACCOUNTS, CONTACTS = ("acme", "beta"), ("ann", "bob")
RULES = [
    rule({"threshold": {"event": "go", "at_least": 1}}, "go", cooldown="0s", playbook="book"),
    rule({"threshold": {"event": "go", "at_least": 1}}, "person", cooldown="0s", playbook="book", scope="contact"),
    rule({"threshold": {"event": "touchline.play.finished", "at_least": 1}}, "again", cooldown="0s", playbook="book"),
    rule(
        {"absence": {"event": "go", "since": {"event": "touchline.email.sent"}, "for": "1d"}},
        "silent", cooldown="0s", playbook="book", scope="contact",
    ),
    rule({"threshold": {"event": "login", "within": "2d", "below": 1}}, "quiet", cooldown="0s", playbook="book"),
]  # fmt: skip
STEPS = [
    {"task": {"title": "Call"}},
    {"email": {"template": "hello"}},
    {"wait": "1d"},
    {"task": {"title": "Again"}},
]


class Both:
    """The two rooms and the two topics between them; each moves when it is told to."""

    def __init__(self) -> None:
        from schemas.rule import TiersDoc
        from services.rules.engine.ruleset import compile_rules

        made = compile_rules(1, RULES, TiersDoc.model_validate(TECH))
        self.log: list[Event] = []
        self.accounts = InMemoryAccounts()
        self.engine = PartitionEngine(
            0, clock_mode="log", clock=0, revision=made, accounts=self.accounts, rulesets=lambda _: made,
            fetch=self.log.__getitem__, history=lambda _: (),
        )  # fmt: skip
        self.store = MemoryStore()
        library = MemoryLibrary([book(steps=STEPS)], TEMPLATES)
        self.plays = PlaysPartition(0, mode="log", store=self.store, library=library)
        self.judged = self.read = self.relayed = 0
        self.told: list[Trigger | int] = []  # what rules has for the topic of triggers; an offset: progress
        self.triggers: list[Trigger] = []

    def post(self, one: Event) -> None:
        self.log.append(one)

    def judge(self) -> None:
        """Rules reads a record."""
        if self.judged < len(self.log):
            one = self.log[self.judged]
            assert one.time is not None
            self.engine.apply([(self.judged, round(one.time.timestamp() * 1_000_000), one)])
            self.judged += 1
            fired = self.engine.drain()
            self.triggers += fired
            self.told += [*fired, self.judged]

    def relay(self) -> None:
        """A record arrives at actions on the topic of triggers."""
        if self.told:
            one = self.told.pop(0)
            if isinstance(one, Trigger):
                self.plays.merge.offer_trigger(TriggerItem(self.relayed, one))
            else:
                self.plays.merge.offer_progress(self.relayed, one)
            self.relayed += 1

    def play(self) -> None:
        """Actions reads a record, and takes one step."""
        if self.read < len(self.log):
            self.plays.merge.offer_events([EventItem(self.read, 0, self.log[self.read])])
            self.read += 1
        self.plays.step()

    def tell(self) -> None:
        """An event of Touchline's own gets from the outbox onto the log, whatever was erased meanwhile."""
        if self.store.events:
            told = self.store.events.pop(0)
            self.post(
                Event(
                    id=told.id, source="touchline", type=told.type, account=told.account, contact=told.contact,
                    time=from_microseconds(told.time), data=told.data,
                )
            )  # fmt: skip

    def settle(self) -> None:
        while self.judged < len(self.log) or self.told or self.read < len(self.log) or self.store.events:
            self.judge()
            self.relay()
            self.play()
            self.tell()
        while self.plays.step():
            pass


MOVES = st.lists(
    st.sampled_from(("judge", "relay", "play", "tell", "tell", "out", "out")), min_size=10, max_size=80
)
OUTSIDE = st.lists(
    st.tuples(
        st.sampled_from(("go", "go", "known", "login", "account.deleted", "contact.deleted")),
        st.sampled_from(ACCOUNTS),
        st.sampled_from((None, *CONTACTS)),
        st.integers(0, 30),
    ),
    min_size=2,
    max_size=14,
)


def outside(place: int, what: tuple[str, str, str | None, int], at: int) -> Event:
    kind, name, contact, _ = what
    if kind == "known":
        return account(at, name)
    if kind == "contact.deleted":
        contact = contact or "ann"
    if kind == "account.deleted":
        contact = None
    return event(kind, at, name, id=f"e{place}", contact=contact)


def alive(log: list[Event]) -> tuple[set[str], set[tuple[str, str]]]:
    """The accounts that something from outside made since they were erased last; the contacts erased and not named
    from outside since. The slow way: from the log alone."""
    there: set[str] = set()
    gone: set[tuple[str, str]] = set()
    for one in log:
        name = one.account
        if name is None or one.type.startswith("touchline."):
            continue
        if one.type == "account.deleted":
            there.discard(name)
            gone |= {(name, contact) for contact in CONTACTS}
        elif one.type == "contact.deleted":
            gone.add((name, one.contact or ""))
        else:
            there.add(name)
            gone -= {(name, one.contact or "")}
            if one.type == "account.updated":
                gone -= {(name, contact) for contact in CONTACTS}
    return there, gone


@settings(max_examples=300)
@given(OUTSIDE, MOVES)
def test_nothing_of_the_erased_comes_back(happened: list[Any], moves: list[str]) -> None:
    both, waiting, at = Both(), [], T0
    for place, what in enumerate(happened):
        at += what[3] * DAY // 10
        waiting.append(outside(place, what, at))
    for move in moves:
        if move != "out":
            getattr(both, move)()
        elif waiting:
            both.post(waiting.pop(0))
    for one in waiting:
        both.post(one)
    both.settle()
    both.post(
        Event(type="touchline.clock", id="end", source="touchline", time=from_microseconds(at + 9 * DAY))
    )
    both.settle()

    there, gone = alive(both.log)
    assert both.accounts.states.keys() == there
    assert both.store.profiles.keys() <= there
    for kept in (both.store.plays, both.store.actions, both.store.tasks):
        assert {one.account for one in kept.values()} <= there
    for held in (both.store.plays, both.store.actions):
        assert not {(one.account, one.contact) for one in held.values()} & gone
    for name, state in both.accounts.states.items():
        keys = [*state.stores, *state.last, *state.fired, *state.kept_by("absence")]
        assert not {(name, subject_of(key)[0]) for key in keys} & gone
        assert not {(name, contact) for contact in state.profile.contacts} & gone
    last = max((place for place, one in enumerate(both.log) if one.type == "account.deleted"), default=-1)
    if last >= 0 and both.log[last].account not in there:
        name = both.log[last].account
        assert not [one for one in both.triggers if one.account == name and one.position.offset >= last]


def test_the_property_would_see_a_ghost() -> None:
    """Without an erasure there are plays, mails and rounds enough for one."""
    plays = Plays(book(steps=STEPS))
    plays.say(account())
    plays.fire(T0)
    both = Both()
    for one in (account(), event("go", T0 + 1, contact="ann")):
        both.post(one)
    both.settle()
    assert {play.rule for play in both.store.plays.values()} >= {"go", "person"}
    assert len(both.store.actions) >= 4
