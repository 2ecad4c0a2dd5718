"""Checks the addresses, timezones and domains in updates, for every way an update comes: trims them, and
finds invalid ones.

The API refuses an update with an invalid value. Where nobody can be told (another program's record, a call of
a Segment library), the value is left out and counted, and the rest is accepted. An owner or a
list of domains of which nothing is left is left out as a whole, so that what is known stays: nobody has asked to
delete it.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from schemas.addresses import trimmed_address
from schemas.domains import valid_domain
from schemas.event import Event
from schemas.external_ids import valid_external_id, valid_phone, valid_system
from schemas.zones import valid_zone

UPDATES = frozenset({"account.updated", "contact.updated"})


class BadValue(NamedTuple):
    """An invalid value: its path in the data (`contacts.0.email`), its kind, and what is wrong with it."""

    path: str
    kind: str  # email, owner.email, phone, timezone, domain or external_id: a closed set
    message: str


def put_right(event: Event) -> list[BadValue]:
    """Trim the addresses, timezones and domains of an update in place, remove the invalid ones, and return these."""
    if event.type not in UPDATES or not isinstance(event.data, dict):
        return []
    event.data, wrong = right(event.type, event.data)
    return wrong


def right(type_: str, data: dict[str, Any]) -> tuple[dict[str, Any], list[BadValue]]:
    """The data of an update as it is to be merged, and what was left out of it. `data` itself is not changed."""
    wrong: list[BadValue] = []
    if type_ == "contact.updated":
        return _person(data, "", wrong), wrong
    changed = _fields(data, "", (("timezone", "timezone", valid_zone),), wrong)
    owner = data.get("owner")
    if isinstance(owner, dict):
        found = _fields(owner, "owner.", (("email", "owner.email", trimmed_address),), wrong)
        if found is not owner:
            left = any(value is not None for value in found.values())
            changed = {**changed, "owner": found} if left else _without(changed, "owner")
    domains = data.get("domains")
    if isinstance(domains, list):
        fine = list(_domains(domains, wrong))
        if fine != domains:
            changed = {**changed, "domains": fine} if fine else _without(changed, "domains")
    ids = data.get("external_ids")
    if isinstance(ids, dict):
        known = dict(_external_ids(ids, wrong))
        changed = changed if known == ids else {**changed, "external_ids": known}
    contacts = data.get("contacts")
    if isinstance(contacts, list):
        people = list(_people(contacts, wrong))
        if any(one is not before for one, before in zip(people, contacts, strict=True)):
            changed = {**changed, "contacts": people}
    return changed, wrong


def _without(data: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key != name}


def _domains(sent: list[Any], wrong: list[BadValue]) -> Iterator[str]:
    for index, one in enumerate(sent):
        try:
            yield valid_domain(one)
        except ValueError as error:
            wrong.append(BadValue(f"domains.{index}", "domain", str(error)))


def _external_ids(sent: dict[str, Any], wrong: list[BadValue]) -> Iterator[tuple[str, Any]]:
    for system, ids in sent.items():
        try:
            valid_system(system)
        except ValueError as error:
            wrong.append(BadValue(f"external_ids.{system}", "external_id", str(error)))
            continue
        if isinstance(ids, list):
            fine = [one for at, each in enumerate(ids) for one in _external_id(each, f"{system}.{at}", wrong)]
            if fine or not ids:
                yield system, fine
        else:
            yield from ((system, one) for one in _external_id(ids, system, wrong))


def _external_id(sent: Any, at: str, wrong: list[BadValue]) -> Iterator[Any]:
    """The id put right; nothing if it is none. What is no text is ignored when merged."""
    try:
        yield valid_external_id(sent) if isinstance(sent, str) else sent
    except ValueError as error:
        wrong.append(BadValue(f"external_ids.{at}", "external_id", str(error)))


def _people(contacts: list[Any], wrong: list[BadValue]) -> Iterator[Any]:
    for index, one in enumerate(contacts):
        yield _person(one, f"contacts.{index}.", wrong) if isinstance(one, dict) else one


def _person(data: dict[str, Any], at: str, wrong: list[BadValue]) -> dict[str, Any]:
    return _fields(data, at, _OF_A_PERSON, wrong)


Check = Callable[[str], str]
_OF_A_PERSON: tuple[tuple[str, str, Check], ...] = (
    ("email", "email", trimmed_address),
    ("phone", "phone", valid_phone),
    ("timezone", "timezone", valid_zone),
)


def _fields(
    data: dict[str, Any], at: str, checks: tuple[tuple[str, str, Check], ...], wrong: list[BadValue]
) -> dict[str, Any]:
    """The corrected fields; the same object if nothing is wrong."""
    for name, kind, check in checks:
        sent = data.get(name)
        if not isinstance(sent, str):
            continue  # null deletes; what is no text is nobody's address, and left alone when merged
        try:
            fine = check(sent)
        except ValueError as error:
            wrong.append(BadValue(at + name, kind, str(error)))
            data = {key: value for key, value in data.items() if key != name}
            continue
        if fine != sent:
            data = {**data, name: fine}
    return data
