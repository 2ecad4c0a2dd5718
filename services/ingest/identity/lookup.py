"""Finds the accounts of an event, in what was loaded from the directory for some events at once. Pure."""

from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import msgspec

from schemas.addresses import normal
from schemas.domains import domain_of
from schemas.names import is_name
from services.ingest.identity.whose import Way, Whose

MAX_STEPS = 32  # merges that are followed from one account
Key = Callable[[str, str, str], bytes]  # the hash of a kind, a system and a value


class Entry(NamedTuple):
    """One account stands under a key; `name`: the system, or the contact whose address it is."""

    account: str
    kind: str
    name: str


class Lookup(msgspec.Struct):
    """`entries` by key; `known`: the ids of accounts that exist, as keys; `into`: the closed account's key to that
    of the account that goes on."""

    key: Key
    entries: Mapping[bytes, list[Entry]] = {}
    known: frozenset[bytes] = frozenset()
    into: Mapping[bytes, bytes] = {}

    def accounts(self, whose: Whose) -> tuple[str, ...]:
        """The accounts of an event; none if nobody knows."""
        for way in whose.ways:
            found = self._by(way)
            if found:
                return found
        if whose.create:
            return next(((one.value,) for one in whose.ways if one.way == "id" and is_name(one.value)), ())
        return ()

    def contact(self, account: str, email: str) -> str | None:
        """The contact with this address at an account; of several, the first by id."""
        key, root = key_of(Way("email", None, email), self.key), self._root(account)
        found = [
            one
            for one in self.entries.get(key or b"", ())
            if one.kind == "email" and self._root(one.account) == root
        ]
        return min((one.name for one in found if not self._closed(one.account)), default=None)

    def _by(self, way: Way) -> tuple[str, ...]:
        key = key_of(way, self.key)
        if key is None:
            return ()
        if way.way == "id":
            return (way.value,) if key in self.known else ()
        found = [one.account for one in self.entries.get(key, ()) if one.kind == way.way]
        if way.way == "email":  # the contacts of a closed account are at the other one
            found = [one for one in found if not self._closed(one)]
        roots: dict[bytes, str] = {}
        for account in sorted(found):
            root = self._root(account)
            if self.key("id", "", account) == root:
                roots[root] = account
            roots.setdefault(root, account)
        return tuple(sorted(roots.values())) if way.way == "external_id" or len(roots) == 1 else ()

    def _closed(self, account: str) -> bool:
        return self.key("id", "", account) in self.into

    def _root(self, account: str) -> bytes:
        """The key of the account that goes on for this one."""
        at = self.key("id", "", account)
        for _ in range(MAX_STEPS):
            if at not in self.into:
                break
            at = self.into[at]
        return at


def key_of(way: Way, key: Key) -> bytes | None:
    """The key under which accounts stand for this way; None for what can be no such value."""
    value = way.value.strip() if way.way != "id" else way.value
    if way.way == "email":
        value = normal(value)
    elif way.way == "domain":
        value = domain_of(value if "@" in value else f"x@{value}") or ""
    return key(way.way, way.system or "", value) if value else None


def keys_of(whose: Whose, key: Key) -> set[bytes]:
    """All keys that finding the account of an event, and its contact, asks for."""
    ways: Iterable[Way] = whose.ways
    if whose.contact_email is not None:
        ways = (*ways, Way("email", None, whose.contact_email))
    return {found for way in ways if (found := key_of(way, key)) is not None}
