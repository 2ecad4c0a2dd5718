"""Several partitions in memory. Each has its engine, its outbox and a relay, and can die between any two steps."""

from __future__ import annotations

from schemas.event import Event, decode, encode, from_microseconds, microseconds
from schemas.trigger import Trigger
from services.rules.engine.processor import InMemoryAccounts, PartitionEngine
from services.rules.engine.ruleset import RuleSet
from services.rules.engine.state_codec import decode as decode_state
from services.rules.engine.state_codec import encode as encode_state
from tests.unit.engine.world import us

START = us("01-01T00:00")


class Partition:
    """A partition: its log, and the state that its owner has committed."""

    def __init__(self, cluster: Cluster, number: int) -> None:
        self.cluster, self.number = cluster, number
        self.log: list[Event] = []
        self.next = 0
        self.clock = 0
        self.stored: dict[str, bytes] = {}
        self.outbox: list[tuple[str, bytes]] = []  # committed, not marked as relayed
        self.relayed = 0  # how many of these are on the log; forgotten when the owner dies
        self.own()

    def own(self) -> None:
        """Put a new owner in place, which knows only the stored state."""
        self.accounts = InMemoryAccounts()
        self.accounts.states.update({name: decode_state(blob) for name, blob in self.stored.items()})
        self.engine = PartitionEngine(
            self.number, clock_mode="log", clock=self.clock, revision=self.cluster.rules, accounts=self.accounts,
            rulesets=lambda _: self.cluster.rules, fetch=self.log.__getitem__, history=lambda _: (),
        )  # fmt: skip
        self.relayed = 0

    def step(self, count: int, *, dies: bool = False) -> None:
        """Judge some records and commit; `dies`: before the commit."""
        batch = self.log[self.next : self.next + count]
        items = [(self.next + n, microseconds(e.time), e) for n, e in enumerate(batch) if e.time is not None]
        self.engine.apply(items)
        if dies:
            self.own()
            return
        self.cluster.triggers += self.engine.drain()
        out = self.engine.take_out()
        self.cluster.refused += [why for _, why in out.refused]
        self.outbox += [(sent.account, sent.value) for sent in out.sent]
        self.stored = {name: encode_state(state) for name, state in self.accounts.states.items()}
        self.next += len(batch)
        self.clock = self.engine.clock
        assert self.engine.unhealthy == {}

    def relay(self, count: int, *, dies: bool = False) -> None:
        """Append some of the outbox; `dies`: before it is marked, so that it is appended again."""
        part = self.outbox[self.relayed : self.relayed + count]
        for account, value in part:
            self.cluster.append(decode(value, place="", timestamp=0), account)
        self.relayed += len(part)
        if dies:
            self.own()
        else:
            del self.outbox[: self.relayed]
            self.relayed = 0


class Cluster:
    """All partitions; the first letter of an account's name decides its partition."""

    def __init__(self, rules: RuleSet, partitions: int) -> None:
        self.rules = rules
        self.triggers: list[Trigger] = []
        self.refused: list[str] = []
        self.partitions = [Partition(self, number) for number in range(partitions)]

    def of(self, account: str) -> Partition:
        return self.partitions[ord(account[0]) % len(self.partitions)]

    def append(self, event: Event, account: str) -> None:
        """Append an event to the log in its encoded form."""
        event.account = account
        self.of(account).log.append(decode(encode(event), place="", timestamp=0))

    def send(self, account: str, minute: int, type_: str = "tick", id_: str = "", **data: object) -> None:
        time = from_microseconds(START + minute * 60_000_000)
        self.append(Event(type=type_, id=id_, source="t", time=time, data=data), account)

    def rest(self) -> None:
        """Step and relay until nothing is left to do."""
        for _ in range(10_000):
            for one in self.partitions:
                one.step(1_000)
                one.relay(1_000)
            if all(one.next == len(one.log) and not one.outbox for one in self.partitions):
                return
        raise AssertionError("it never comes to rest")
