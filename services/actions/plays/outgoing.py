"""The mails to contacts that wait in a partition, with the log clock: what all stores of plays do with them. Pure.

A mail whose step has run is looked at from that moment on. Its zone, and whether its contact is active, are those of
the account at the place in the log at which it is looked at.
"""

from collections.abc import Callable, Container

from schemas.play_reasons import ActionReason
from schemas.profile import Profile
from services.actions.channels import CHANNELS
from services.actions.plays.model import ActionDraft, DigestItem
from services.actions.plays.ports import Stands
from services.actions.policy.mails import DEFAULT_PRIORITY, Past, WaitingMail
from services.actions.policy.queue import STANDS, MailQueue, Outcome
from services.actions.policy.rules import NEVER, NO_POLICY, SendingPolicy
from services.actions.policy.turns import BEGINS, Turn


def is_mail(draft: ActionDraft) -> bool:
    """Whether this is a mail to a contact that is to be sent."""
    return (
        draft.status == "pending"
        and draft.contact is not None
        and not draft.spec.internal
        and CHANNELS[draft.channel].needs_consent
    )


def waits(draft: ActionDraft, policy: SendingPolicy | None) -> bool:
    """Whether something other than its turn decides when it begins."""
    return is_mail(draft) and (policy is not None or draft.late_at is not None)


class Outgoing:
    """The mails that wait. `profile` gives an account, `same` an address in the form that compares."""

    def __init__(
        self,
        profile: Callable[[str], Profile | None],
        same: Callable[[str], str],
        policy: SendingPolicy | None = None,
        past: Past | None = None,
    ) -> None:
        self._profile, self._same, self.policy = profile, same, policy
        self.queue = MailQueue(past)

    def take(self, draft: ActionDraft) -> bool:
        """Let a new mail wait, if it has to; returns whether it does."""
        if not waits(draft, self.policy):
            return False
        self.queue.add(self.mail(draft), draft.due_at)
        return True

    def await_(self, draft: ActionDraft) -> None:
        """Let a new mail wait until somebody lets it begin; those that follow it in its play wait with it."""
        if is_mail(draft):
            mail = self.mail(draft)
            mail.awaits = True
            self.queue.add(mail, NEVER)

    def mail(self, draft: ActionDraft) -> WaitingMail:
        """A draft as the policy sees it."""
        return WaitingMail(
            id=draft.id,
            play=draft.play,
            account=draft.account,
            contact=draft.contact or "",
            address=self._same(draft.recipient or ""),
            topic=draft.topic,
            tier=draft.tier,
            priority=DEFAULT_PRIORITY if draft.priority is None else draft.priority,
            ran_at=draft.due_at,
            late_at=draft.late_at,
            waited=draft.waited,
        )

    def next_look(self, upto: int) -> int | None:
        """The earliest moment at which a mail is to be looked at, if by `upto`."""
        look = self.queue.next_look()
        return look if look is not None and look <= upto else None

    def look(
        self,
        at: int,
        stands: Stands,
        suppressed: Container[tuple[str, str]] = (),
        anew: Callable[[str], bool] = lambda _: False,
    ) -> list[Outcome]:
        """Look at the mails that are due at a moment; returns what became of them, in order. `suppressed`: addresses,
        each with the topic, that get no mail. `anew`: whether a mail is not to begin as it is, but will be taken back
        by the caller."""

        def others(mail: WaitingMail) -> Turn:
            if anew(mail.id) or stands(mail.play):
                return Turn(None, STANDS)
            if (mail.address, mail.topic) in suppressed:
                return Turn(ActionReason.SUPPRESSED)
            return BEGINS if self.is_active(mail) else Turn(ActionReason.CONTACT_INACTIVE)

        return self.queue.run(self.policy or NO_POLICY, at, others, self._zone)

    def recall(self, at: int, stands: Stands) -> None:
        """Look again at the mails of plays that stood still, and do so no more."""
        stood = [one for one in self.queue.waiting() if self.queue.look_of(one.id) == STANDS]
        self.queue.look_again([one.id for one in stood if not stands(one.play)], at)

    def cancel(self, play: str, at: int) -> list[str]:
        """The mails of a play wait no more; returns which those were."""
        mine = self.of(play)
        for one in mine:
            self.queue.drop(one, at)
        return mine

    def of(self, play: str) -> list[str]:
        """The mails of a play that wait."""
        return self.queue.of(play)

    def _zone(self, mail: WaitingMail) -> str | None:
        profile = self._profile(mail.account)
        contact = None if profile is None else profile.contacts.get(mail.contact)
        zone = None if contact is None else contact.timezone
        return zone or (None if profile is None else profile.timezone)

    def is_active(self, mail: WaitingMail | DigestItem) -> bool:
        """Whether the contact of a mail, or of an item of a digest, is active, as far as it is to one."""
        profile = self._profile(mail.account)
        contact = None if profile is None else profile.contacts.get(mail.contact or "")
        return contact is None or contact.active
