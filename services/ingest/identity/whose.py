"""Whose an event is that names no account: the ways to find out, in the order in which they are tried. Pure."""

from typing import Literal

import msgspec


class Way(msgspec.Struct, frozen=True):
    """One way to find the account of an event.

    `id`: `value` is the id of a known account. `external_id`: what another system, `system`, calls it. `email`: the
    address of a contact. `domain`: a domain, or an address there. `system` is None for all but `external_id`.
    """

    way: Literal["id", "external_id", "email", "domain"]
    system: str | None
    value: str


class Whose(msgspec.Struct, frozen=True):
    """The ways in order: the first that finds an account counts.

    `create`: an `id` that nobody knows makes the account. `contact_email`: the address by which the event's
    contact is found at the account, for an event that names no contact by id.
    """

    ways: tuple[Way, ...]
    create: bool = False
    contact_email: str | None = None
