"""The recipients of an email: the step's `to`, looked up in the account as it is when the step runs."""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.addresses import normal
from schemas.play_reasons import ActionReason
from schemas.profile import Contact, Profile, is_vouched


@dataclass(frozen=True)
class Recipient:
    """Somebody to write to, or the reason not to. `identity` tells the recipients of one step apart."""

    identity: str
    contact: Contact | None = None
    address: str | None = None
    name: str | None = None
    reason: ActionReason | None = None
    internal: bool = False  # the owner or a fixed address: not a customer's contact


def resolve(to: str, profile: Profile, contact: str | None) -> list[Recipient]:
    """The recipients of an email step; `contact` is the id of the trigger's contact."""
    if to == "owner":
        return [_owner(profile)]
    if to == "contact":
        return [_contact(profile, contact)]
    if to == "all":
        return _several(profile, profile.contacts.values())
    if to.startswith("role:"):
        role = to.removeprefix("role:")
        return _several(profile, [one for one in profile.contacts.values() if role in one.roles])
    return [Recipient(identity=to, address=to, internal=True)]


def _owner(profile: Profile) -> Recipient:
    owner = profile.owner
    if owner is None or not owner.email:
        return Recipient(identity="owner", reason=ActionReason.NO_OWNER, internal=True)
    return Recipient(identity="owner", address=owner.email, name=owner.name, internal=True)


def _contact(profile: Profile, wanted: str | None) -> Recipient:
    """The trigger's contact; without one the first active admin, else the first active contact.

    Contacts who are vouched for go first, so that no stranger takes their place.
    """
    if wanted is not None:
        found = profile.contacts.get(wanted)
        if found is None:
            return Recipient(identity=wanted, reason=ActionReason.CONTACT_UNKNOWN)
        return _of(profile, found)
    active = [one for one in profile.contacts.values() if one.active]
    if not active:
        return Recipient(identity="", reason=ActionReason.NO_RECIPIENT)
    fit = [one for one in active if is_vouched(profile, one)] or active
    admins = [one for one in fit if "admin" in one.roles]
    return _of(profile, (admins or fit)[0])


def _several(profile: Profile, contacts: Iterable[Contact]) -> list[Recipient]:
    """All these contacts, each address once; unvouched ones last, so that they displace nobody."""
    recipients: list[Recipient] = []
    addresses: set[str] = set()
    for contact in sorted(contacts, key=lambda one: one.unvouched):
        one = _of(profile, contact)
        if one.reason is None and one.address is not None:
            if normal(one.address) in addresses:
                one = Recipient(contact.id, contact, one.address, one.name, ActionReason.DUPLICATE_RECIPIENT)
            addresses.add(normal(one.address or ""))
        recipients.append(one)
    return recipients or [Recipient(identity="", reason=ActionReason.NO_RECIPIENT)]


def _of(profile: Profile, contact: Contact) -> Recipient:
    reason = None
    if not contact.active:
        reason = ActionReason.CONTACT_INACTIVE
    elif not contact.email:
        reason = ActionReason.NO_ADDRESS
    elif not is_vouched(profile, contact):
        reason = ActionReason.UNVOUCHED
    return Recipient(contact.id, contact, contact.email or None, contact.name, reason)
