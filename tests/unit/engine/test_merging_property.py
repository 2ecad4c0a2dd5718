"""Each event counts exactly once: for the account that it was given first, or, after a merge, for one that goes on.

Random histories over several accounts and partitions, with merges, repeats, ids used twice, relays and deaths at any
moment, against what can be said of them without any state: who was given what before and after which merge.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.rule import TiersDoc
from services.rules.engine.ruleset import compile_rules
from tests.unit.engine.cluster import Cluster
from tests.unit.engine.world import TECH, rule

NAMES = "abcd"
EACH = rule({"threshold": {"event": "tick", "within": "1d", "at_least": 1}}, cooldown="0s")
RULES = compile_rules(1, [EACH], TiersDoc.model_validate(TECH))
Said = tuple[str, int, int]  # id, minute, n

minutes, bits = st.sampled_from([0, 0, 0, 1]), st.integers(0, 1)
sends = st.tuples(st.just("send"), st.sampled_from(NAMES), st.sampled_from(["1", "2"]), minutes, bits)
again = st.tuples(st.just("again"), st.integers(0, 30))
merges = st.tuples(st.just("merge"), st.sampled_from(NAMES), st.sampled_from(NAMES))
steps = st.tuples(st.just("step"), st.integers(0, 2), st.integers(1, 6), st.booleans())
relays = st.tuples(st.just("relay"), st.integers(0, 2), st.integers(1, 6), st.booleans())
rests = st.just(("rest",))
histories = st.lists(st.one_of(sends, sends, again, merges, steps, relays, rests), min_size=5, max_size=60)


@dataclass
class Truth:
    """What was given to each account, in order, and when it was closed."""

    into: dict[str, str] = field(default_factory=dict)
    names: set[tuple[str, str]] = field(default_factory=set)  # (account, id): one source in all of this
    before: set[tuple[str, Said]] = field(default_factory=set)  # of open accounts
    after: set[tuple[str, Said]] = field(default_factory=set)  # of closed ones

    def send(self, account: str, said: Said) -> None:
        if (account, said[0]) not in self.names:
            self.names.add((account, said[0]))
            (self.after if account in self.into else self.before).add((account, said))

    def reach(self, account: str) -> set[str]:
        """Whoever may go on for an account."""
        found: set[str] = set()
        while account in self.into:
            account = self.into[account]
            found.add(account)
        return found


def play(cluster: Cluster, history: list[Any]) -> Truth:
    truth, sent = Truth(), list[tuple[str, Said]]()
    for number, (what, *rest) in enumerate(history):
        if what == "again" and sent:
            account, said = sent[rest[0] % len(sent)]
        elif what == "send":
            account, said = rest[0], (rest[1], rest[2], rest[3])
            sent.append((account, said))
        if what == "send" or (what == "again" and sent):
            cluster.send(account, said[1], id_=said[0], n=said[2])
            truth.send(account, said)
        elif what == "merge" and rest[0] < rest[1]:  # no circles
            cluster.send(rest[0], 0, "account.merged", f"m{number}", into=rest[1])
            truth.into.setdefault(rest[0], rest[1])
        elif what in ("step", "relay"):
            getattr(cluster.partitions[rest[0]], what)(rest[1], dies=rest[2])
        elif what == "rest":
            cluster.rest()
    cluster.rest()
    return truth


@settings(max_examples=1000, deadline=None)
@given(histories)
def test_each_event_counts_exactly_once(history: list[Any]) -> None:
    cluster = Cluster(RULES, 3)
    truth = play(cluster, history)
    counted: list[tuple[str, Said]] = []
    for trigger in cluster.triggers:
        event = trigger.event
        assert event is not None
        minute = int(event.time[14:16])
        counted.append((trigger.account, (event.id, minute, event.data["n"])))
    assert len(counted) == len(set(counted)), "something counted twice"
    assert len({trigger.id for trigger in cluster.triggers}) == len(counted)
    allowed = {
        (account, said): {account} if (account, said) in truth.before else truth.reach(account)
        for account, said in truth.before | truth.after
    }
    for (account, said), places in allowed.items():
        found = [place for place in places if (place, said) in counted]
        assert found, f"{account} {said} is lost"
    for place, said in counted:
        givers = [
            account for (account, other), places in allowed.items() if other == said and place in places
        ]
        assert givers, f"nobody gave {place} {said}"
    assert len(counted) <= len(allowed)
    assert all("merged into" in why for why in cluster.refused)
