"""Accounts as the server knows them, and what an update changes in them."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote

import msgspec

from schemas.event import Event
from schemas.profile import Profile, apply_update
from schemas.tier_policy import OWN_TIER
from services.cli.client import ApiError, Client

AT_ONCE = 8
Shown = dict[str, Any]  # an account as the API shows it
_PLAIN = ("id", "name", "owner", "timezone", "domains", "attributes", "external_ids")


class Standing:
    """Asks for accounts, several at once. With a key that may not read them nothing is known of any (`readable`)."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.readable = client.reaches("/v1/accounts")
        self._pool = ThreadPoolExecutor(AT_ONCE)

    def __enter__(self) -> "Standing":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def of(self, names: Iterable[str]) -> dict[str, Shown]:
        """Those of the accounts that are known. Raises `ApiError` and `ConfigurationError`."""
        if not self.readable:
            return {}
        wanted = list(dict.fromkeys(names))
        found = zip(wanted, self._pool.map(self._one, wanted), strict=True)
        return {name: shown for name, shown in found if shown is not None}

    def _one(self, name: str) -> Shown | None:
        try:
            shown: Shown = self._client.call("GET", f"/v1/accounts/{quote(name, safe='')}")
            return shown
        except ApiError as error:
            if error.status == 403:
                self.readable = False
            elif error.status != 404:
                raise
            return None


def profile_of(account: str, shown: Shown | None) -> Profile:
    """The account as rules and actions know it; of one that somebody vouched for, as imports do."""
    if shown is None:
        return Profile(id=account)
    known = {name: value for name in _PLAIN if (value := shown.get(name)) is not None}
    contacts = {one["id"]: one for one in shown.get("contacts", ())}
    own = {"tier": shown["tier"]} if shown.get("tier_reason") == OWN_TIER else {}
    return msgspec.convert({**known, "id": account, "contacts": contacts, "unvouched": False, **own}, Profile)


def updated(before: Profile, body: Shown) -> Profile:
    """The account after an update."""
    after = msgspec.convert(msgspec.to_builtins(before), Profile)
    apply_update(after, Event(type="account.updated", account=before.id, data=body))
    return after


def with_owner(body: Shown, before: Profile) -> Shown:
    """The body with what the row does not say of the owner: an update replaces an owner as a whole.

    The name stays while the address does: the old one's name beside the new one's address would be wrong.
    """
    owner, known = body.get("owner"), before.owner
    if not isinstance(owner, dict) or known is None:
        return body
    kept = {}
    if "email" not in owner and known.email:
        kept["email"] = known.email
    elif "name" not in owner and known.name and owner.get("email") == known.email:
        kept["name"] = known.name
    return {**body, "owner": {**owner, **kept}}


def changes(before: Profile, after: Profile) -> Iterator[tuple[str, Any, Any]]:
    """The paths whose values differ, each with its value before and after (None: none)."""
    old, new = dict(_leaves(msgspec.to_builtins(before))), dict(_leaves(msgspec.to_builtins(after)))
    for path in dict.fromkeys([*old, *new]):
        was, is_ = old.get(path), new.get(path)
        if was != is_ or type(was) is not type(is_):
            yield path, was, is_


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            if name == "id" and len(value) > 1:
                continue  # it stands in the path already
            yield from _leaves(inner, f"{at}.{name}" if at else str(name))
    elif at != "unvouched" and value != {}:
        yield at, value
