"""The digests in memory, for `touchline test`, rehearsals and the unit tests. Pure."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import heappop, heappush

import msgspec

from schemas.play_reasons import ActionReason
from services.actions.plays import digests
from services.actions.plays.model import ActionDraft, DigestItem, LeaveDigests
from services.actions.plays.ports import Library
from services.actions.policy.rules import SendingPolicy

Unwanted = Callable[[str, str], bool]  # whether an address has left a topic
Active = Callable[[DigestItem], bool]  # whether the contact of an item is active
Standing = Callable[[Sequence[str]], Iterable[str]]  # which of these plays stand still


class Collected(msgspec.Struct):
    """What came of a digest at its moment: the mail, if there is one, with its items, and what tells of those that
    were left out."""

    mail: ActionDraft | None
    kept: list[DigestItem]
    left_out: list[ActionDraft]


class MemoryDigests:
    """Holds the items that wait."""

    def __init__(
        self,
        unwanted: Unwanted = lambda _address, _topic: False,
        policy: SendingPolicy | None = None,
        active: Active = lambda _: True,
    ) -> None:
        """`policy`: if mails are put together after their moments, to tell which exits counted then."""
        self._unwanted, self._policy, self._active = unwanted, policy, active
        self._waiting: defaultdict[str, dict[str, DigestItem]] = defaultdict(dict)  # by digest, by id
        self._of_play: defaultdict[str, dict[str, DigestItem]] = defaultdict(dict)  # the same, by play
        self._firsts: dict[str, DigestItem] = {}
        self._moments: list[tuple[int, str]] = []  # of the first items, and of some that were

    def put(self, item: DigestItem) -> None:
        """Collect an item."""
        name = digests.name_of(item)
        if item.id in self._waiting[name]:
            return
        self._waiting[name][item.id] = self._of_play[item.play][item.id] = item
        first = self._firsts.get(name)
        if first is None or digests.order(item) < digests.order(first):
            self._begin_with(name, item)

    def leave(self, op: LeaveDigests) -> list[ActionDraft]:
        """Take a play's items away; returns what tells of those that are certain not to go out."""
        items = list(self._of_play.get(op.play, {}).values())
        if op.timely:
            for item in items:
                item.gone_at = op.at if item.gone_at is None else item.gone_at
            return []
        self._remove(items)
        return [digests.told(item, ActionReason.PLAY_EXITED, op.at) for item in items]

    def forget(self, doomed: Callable[[DigestItem], bool]) -> None:
        """Erase items."""
        self._remove([one for items in self._waiting.values() for one in items.values() if doomed(one)])

    def waits(self, play: str) -> bool:
        """Whether an item of the play waits."""
        return play in self._of_play

    def plays(self) -> set[str]:
        """The plays with items that wait."""
        return set(self._of_play)

    def next(self) -> int | None:
        """The moment of the digest that goes out first."""
        while self._moments:
            moment, name = self._moments[0]
            if name in self._firsts and self._firsts[name].due == moment:
                return moment
            heappop(self._moments)
        return None

    def take(self, moment: int, library: Library, standing: Standing) -> list[Collected]:
        """Let the digests of this moment go out; none is due before."""
        names = set()
        while self._moments and self._moments[0][0] <= moment:
            names.add(heappop(self._moments)[1])
        mine = sorted(name for name in names if name in self._firsts and self._firsts[name].due == moment)
        return [self._collect(name, moment, library, standing) for name in mine]

    def _collect(self, name: str, moment: int, library: Library, standing: Standing) -> Collected:
        items = [item for item in self._waiting[name].values() if item.since < moment]
        address = items[0].recipient
        unwanted = [topic for topic in {item.topic for item in items} if self._unwanted(address, topic)]
        still = standing([item.play for item in items])
        begins = digests.begins_at(self._firsts[name], moment, self._policy)
        inactive = {item.id for item in items if not self._active(item)}
        found = digests.sort_out(items, begins, standing=still, unwanted=unwanted, inactive=inactive)
        for item in found.waiting:
            digests.put_off(item, moment)
        self._remove([*found.kept, *(item for item, _ in found.left_out)])
        self._begin(name)
        told = [digests.told(item, reason, moment) for item, reason in found.left_out]
        mail = digests.compose(found.kept, moment, library) if found.kept else None
        return Collected(mail, found.kept, told)

    def may_go(self, items: Sequence[DigestItem], standing: Standing) -> bool:
        """Whether all items of a mail that is about to begin may still go with it."""
        still = standing([item.play for item in items])
        return not still and all(self._active(item) for item in items)

    def _remove(self, items: Iterable[DigestItem]) -> None:
        for item in items:
            name = digests.name_of(item)
            del self._waiting[name][item.id]
            del self._of_play[item.play][item.id]
            if not self._of_play[item.play]:
                del self._of_play[item.play]
            if self._firsts.get(name) is item:
                self._begin(name)

    def _begin(self, name: str) -> None:
        """Find the first item of a digest anew."""
        self._firsts.pop(name, None)
        if self._waiting[name]:
            self._begin_with(name, min(self._waiting[name].values(), key=digests.order))
        else:
            del self._waiting[name]

    def _begin_with(self, name: str, first: DigestItem) -> None:
        self._firsts[name] = first
        heappush(self._moments, (first.due, name))


class Changed:
    """Finds the mails of digests that are about to begin with an item that may not go any more. `items`: theirs."""

    def __init__(
        self, digests_: MemoryDigests, items: Mapping[str, Sequence[DigestItem]], standing: Standing
    ) -> None:
        self._digests, self._items, self._standing = digests_, items, standing
        self.mails: list[str] = []

    def has(self, mail: str) -> bool:
        """Whether the mail is one of these."""
        if mail in self.mails or self._digests.may_go(self._items.get(mail, ()), self._standing):
            return mail in self.mails
        self.mails.append(mail)
        return True
