"""A world in which accounts are merged: events for other accounts come in at the end of its log."""

from __future__ import annotations

from typing import Any

from schemas.event import Event, decode, from_microseconds
from services.rules.engine.merging import MergeOutput
from services.rules.engine.ruleset import RuleRevision
from tests.unit.engine.world import World, us


class Merged(World):
    """A world of one partition that appends events for other accounts to the end of the log, as the worker does."""

    def __init__(self, *rules: RuleRevision, **more: Any) -> None:
        super().__init__(*rules, **more)
        self.moved: list[Any] = []
        self.erased: list[tuple[str, str | None]] = []
        self.refused: list[str] = []
        self.sent: list[Event] = []
        self.held: list[Event] | None = None  # the events for other accounts, if a test keeps them back

    def put(self, event: Event, received: int | None = None) -> Merged:
        super().put(event, received)
        self._out(self.engine.take_out())
        return self

    def _out(self, out: MergeOutput) -> None:
        self.moved += [moved for _, moved in out.moved]
        self.erased += [(account, contact) for _, account, contact in out.erased]
        self.refused += [why for _, why in out.refused]
        for sent in out.sent:
            event = decode(sent.value, place="", timestamp=0)
            assert event.account == sent.account
            self.sent.append(event)
            if self.held is None:
                self.put(event)
            else:
                self.held.append(event)

    def merge(self, short: str, account: str, into: str, **more: Any) -> Merged:
        meta = {key: more.pop(key) for key in ("id", "source") if key in more}
        unvouched = more.pop("unvouched", False)
        event = Event(
            type="account.merged", account=account, data={"into": into, **more}, unvouched=unvouched,
            id=meta.get("id", f"e{len(self.log)}"), source=meta.get("source", "api"),
            time=from_microseconds(us(short)),
        )  # fmt: skip
        return self.put(event)

    def contacts(self, account: str) -> dict[str, str | None]:
        state = self.accounts.get(account)
        return {} if state is None else {c.id: c.email for c in state.profile.contacts.values()}

    def into(self, account: str) -> str | None:
        state = self.accounts.get(account)
        return None if state is None or state.profile.closed is None else state.profile.closed.into


def sent_on(world: Merged) -> list[tuple[str, str | None, str | None]]:
    """(id, account, account that got it first) of every event sent on, except our own records."""
    return [(e.id, e.account, e.mergedfrom) for e in world.sent if not e.type.startswith("touchline.")]


def call(world: Merged, short: str, account: str, **more: Any) -> None:
    fields = {"type": "tick", "source": "segment", "id": f"s{len(world.log)}", "contact": account} | more
    world.put(Event(account=account, time=from_microseconds(us(short)), **fields))


def lone(world: Merged, short: str, account: str, into: str, contact: str | None = None, **more: Any) -> None:
    data = {"into": into, "lone": True} | ({"contact": contact} if contact else {})
    call(world, short, account, type="account.merged", data=data, contact=None, **more)
