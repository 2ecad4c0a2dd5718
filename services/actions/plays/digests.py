"""Digests: what a step puts on one, which items go out together and when, and the mail that comes of them. Pure.

A digest is what was collected for one recipient (an address, whatever the account) under one key. Its first item
decides on the moment of the mail; all items collected before that moment go with it. Everything follows from the
items' own times. So it does not matter how far which partition has been read, once all clocks have passed the moment.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from schemas.addresses import normal
from schemas.digest import DigestStep, next_moment
from schemas.event import rfc3339
from schemas.play_reasons import ActionReason, StepReason
from services.actions.channels.email.spec import MAX_RECIPIENTS, EmailSpec
from services.actions.plays.action_drafts import StepRun, draft_to
from services.actions.plays.model import (
    ActionDraft,
    ActionSpec,
    DigestItem,
    StepNote,
    action_id,
    digest_id,
    digest_name,
)
from services.actions.plays.ports import Library
from services.actions.plays.recipients import Recipient, resolve
from services.actions.plays.template_context import account_document, contact_document, owner_document
from services.actions.policy.mails import WaitingMail
from services.actions.policy.rules import NEVER, SendingPolicy

TOLD = ("contacts",)  # of an account: would make items large, and say nothing of what happened


def collect(run: StepRun, step: DigestStep) -> Iterator[DigestItem | ActionDraft | StepNote]:
    """An item for each recipient of the step; for one that must not be written to, an action that is skipped."""
    several = resolve(step.to, run.profile, run.play.contact)[:MAX_RECIPIENTS]
    for recipient in several:
        if recipient.reason is None and recipient.address is not None:
            yield _item(run, step, recipient, recipient.address)
        else:
            draft = draft_to(run, "email", recipient, ActionSpec(internal=recipient.internal), {})
            draft.digest = step.joined_by
            yield draft
    if any(one.reason is None for one in several):
        yield StepNote(run.play.id, run.play.account, run.step, StepReason.COLLECTED, run.now)


def _item(run: StepRun, step: DigestStep, recipient: Recipient, address: str) -> DigestItem:
    play, profile, contact = run.play, run.profile, recipient.contact
    theirs = None if recipient.internal else (contact and contact.timezone) or profile.timezone
    zone = theirs or run.library.timezone()
    account = account_document(profile, play.tier)
    return DigestItem(
        id=action_id(play.id, run.step, recipient.identity),
        play=play.id,
        playbook=play.playbook,
        rule=play.rule,
        account=play.account,
        contact=None if contact is None else contact.id,
        tier=play.tier,
        topic=play.topic,
        step=run.step,
        recipient=address,
        to_name=recipient.name,
        internal=recipient.internal,
        key=step.joined_by,
        template=step.template,
        version=play.templates.get(step.template),
        time=step.at,
        days=None if step.days is None else list(step.days),
        at_most=step.at_most,
        zone=zone,
        at=run.now,
        since=run.now,
        due=next_moment(run.now, step.at, step.days, zone),
        priority=run.library.version(play.playbook, play.playbook_version or 0).priority,
        waited=play.waited,
        depth=play.depth,
        place=play.place,
        partition=play.partition,
        scope={
            "account": {name: value for name, value in account.items() if name not in TOLD},
            "contact": contact_document(contact),
            "owner": owner_document(profile),
            "trigger": play.trigger,
        },
    )


def name_of(item: DigestItem) -> str:
    """The digest that an item is collected for."""
    return digest_name(normal(item.recipient), item.key)


def order(item: DigestItem) -> tuple[int, str]:
    """The order in which the items of a digest were collected; the first one decides on the moment."""
    return item.since, item.id


def put_off(item: DigestItem, moment: int) -> None:
    """Let an item wait for the digest after this moment."""
    item.since, item.due = moment, next_moment(moment, item.time, item.days, item.zone)


class Sorted(NamedTuple):
    """What becomes of the items of a digest: they go with it, wait for the next one, or are left out."""

    kept: list[DigestItem]
    waiting: list[DigestItem]
    left_out: list[tuple[DigestItem, ActionReason]]


def begins_at(first: DigestItem, moment: int, policy: SendingPolicy | None) -> int:
    """When the mail of a digest that is put together late may begin by the hours of the policy: exits before count.

    Where a cap may hold it back, nobody can tell yet, and all exits count.
    """
    if policy is None or first.internal:
        return moment
    if policy.caps:
        return NEVER
    mail = WaitingMail(
        id=first.id,
        play=first.play,
        account=first.account,
        contact=first.contact or "",
        address=first.recipient,
        topic=first.topic,
        tier=first.tier,
        ran_at=moment,
        zone=first.zone,
    )
    return policy.opening(mail, moment, moment + policy.patience)


def sort_out(
    items: Iterable[DigestItem],
    begins: int,
    *,
    standing: Iterable[str],
    unwanted: Iterable[str],
    inactive: Container[str] = (),
) -> Sorted:
    """Sort the items that were collected for a digest, whose mail begins then. `standing`: the plays that stand still.
    `unwanted`: the topics that the recipient has left. `inactive`: the items whose contact is no longer active."""
    found = Sorted([], [], [])
    still, left = frozenset(standing), frozenset(unwanted)
    for item in items:
        if item.gone_at is not None and item.gone_at < begins:
            found.left_out.append((item, ActionReason.PLAY_EXITED))
        elif not item.internal and item.topic in left:
            found.left_out.append((item, ActionReason.SUPPRESSED))
        elif item.id in inactive:
            found.left_out.append((item, ActionReason.CONTACT_INACTIVE))
        else:
            (found.waiting if item.play in still else found.kept).append(item)
    found.kept.sort(key=lambda item: (item.at, item.id))
    return found


def compose(kept: Sequence[DigestItem], moment: int, library: Library) -> ActionDraft:
    """The mail of a digest; `kept` are its items, at least one, the oldest first."""
    first = kept[0]
    document = None if first.version is None else library.template(first.template, first.version)
    missing = ActionReason.TEMPLATE_UNKNOWN if document is None else None
    shown = kept[: first.at_most]
    spec = EmailSpec(
        template=first.template,
        version=first.version,
        document=document,
        to_name=first.to_name,
        owner=first.scope["owner"],
        internal=first.internal,
    )
    return _action_of(
        first,
        id=digest_id(normal(first.recipient), first.key, moment),
        status="pending" if missing is None else "failed",
        reason=missing,
        due_at=moment,
        priority=first.priority,
        waited=first.waited,
        spec=spec,
        context={
            "items": [_shown(item) for item in shown],
            "more": len(kept) - len(shown),
            "contact": first.scope["contact"],
            "owner": first.scope["owner"],
            "now": rfc3339(moment),
            "brand": library.brand(),
            "reader": {"timezone": first.zone},
        },
    )


def _shown(item: DigestItem) -> dict[str, Any]:
    """An item as templates see it."""
    return {
        "account": item.scope["account"],
        "trigger": item.scope["trigger"],
        "playbook": item.playbook,
        "at": rfc3339(item.at),
    }


def sample(context: Mapping[str, Any], playbook: str) -> dict[str, Any]:
    """The names of a digest's template, as if what is in scope of a mail's template were its only item."""
    item = {name: context[name] for name in ("account", "trigger")}
    return {"items": [{**item, "playbook": playbook, "at": context["now"]}], "more": 0}


def told(item: DigestItem, reason: ActionReason, moment: int) -> ActionDraft:
    """The action that tells why an item was left out."""
    spec = ActionSpec(internal=item.internal)
    return _action_of(item, id=item.id, status="skipped", reason=reason, due_at=moment, spec=spec)


def _action_of(item: DigestItem, **fields: Any) -> ActionDraft:
    """An action of a digest: whose it is and where it goes are the item's."""
    return ActionDraft(
        play=item.play,
        playbook=item.playbook,
        account=item.account,
        contact=item.contact,
        channel="email",
        step=item.step,
        recipient=item.recipient,
        topic=item.topic,
        rule=item.rule,
        tier=item.tier,
        depth=item.depth,
        place=item.place,
        digest=item.key,
        **fields,
    )
