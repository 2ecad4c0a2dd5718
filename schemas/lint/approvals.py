"""What is legal in a step that asks for an approval, and probably wrong. Pure."""

from collections.abc import Iterator

from schemas.channels.email import EmailStep
from schemas.duration import parse_duration
from schemas.event import DAY_US
from schemas.lint.single import LintWarning
from schemas.playbook import PlaybookIn, Step, WaitEvent
from schemas.playbook_texts import lists_of, steps_of, tier_of
from schemas.tiered import TIERS, TierMap

APPROVE_WITHIN = "7d"  # where a step does not say


def lint_approvals(playbook: PlaybookIn, *, owners: bool = True) -> list[LintWarning]:
    """The warnings about the approvals that a playbook's steps ask for. `owners`: whether some account has an owner
    with an address, as far as is known."""
    covered = tuple(playbook.by_tier())
    found = [
        warning
        for path, step in steps_of(playbook)
        if step.email is not None
        for warning in _step(step.email, f"{path}.email", tier_of(path), covered, owners=owners)
    ]
    return [*found, *(one for path, steps in lists_of(playbook) for one in _overtaken(steps, path))]


def _step(
    mail: EmailStep, path: str, tier: str | None, covered: tuple[str, ...], *, owners: bool
) -> Iterator[LintWarning]:
    served = covered if tier is None else (tier,)
    if not any(mail.asks_approval(one) for one in TIERS):
        for name in ("approver", "approve_within"):
            if name in mail.model_fields_set:
                yield _warning(f"{path}.{name}", "is not read: no mail of this step has to be approved")
    elif isinstance(mail.approve, TierMap):
        for one in TIERS:
            if mail.asks_approval(one) and one not in served:
                yield _warning(f"{path}.approve.{one}", f"the step never runs in the tier {one}")
    yield from _too_late(mail, path)
    if mail.approver == "owner" and any(map(mail.asks_approval, served)):
        if mail.to == "owner":
            yield _warning(f"{path}.approve", "the owner is asked to approve a mail to the owner")
        if not owners:
            why = "no account known so far has an owner with an address: the task to approve is nobody's"
            yield _warning(
                f"{path}.approver" if "approver" in mail.model_fields_set else f"{path}.approve", why
            )


def _too_late(mail: EmailStep, path: str) -> Iterator[LintWarning]:
    """Warns of a mail that may be approved when it is too late for it to begin."""
    within, patience = mail.within, mail.approve_within or APPROVE_WITHIN
    if within is None or not any(map(mail.asks_approval, TIERS)):
        return
    if parse_duration(patience) > parse_duration(within):
        given = "approve_within" if mail.approve_within is not None else "within"
        message = (
            f"the mail may wait for its approval for {patience}, and is given up {within} after its step: "
            "what is approved after that is skipped (too_late)"
        )
        yield _warning(f"{path}.{given}", message)


def _overtaken(steps: list[Step], path: str) -> Iterator[LintWarning]:
    """Warns of a mail that may still wait for its approval when the next one to the same recipients is due."""
    for place, step in enumerate(steps):
        mail = step.email
        if mail is None or not any(map(mail.asks_approval, TIERS)):
            continue
        within, waited = mail.approve_within or APPROVE_WITHIN, 0
        for later in steps[place + 1 :]:
            if isinstance(later.wait, str):
                waited += parse_duration(later.wait)
            elif isinstance(later.wait, WaitEvent):
                waited += parse_duration(later.wait.for_)
            elif later.wait is not None or later.branch is not None:
                break
            elif later.email is not None and later.email.to == mail.to:
                if waited < parse_duration(within):
                    yield _warning(
                        f"{path}.{place}.email.approve_within",
                        f"the mail may wait for its approval for {within}, and the next one of the play to the "
                        f"same recipients is due after {_span(waited)}",
                    )
                break


def _span(us: int) -> str:
    """A span in days, hours, minutes or seconds: the largest unit that it is a whole number of."""
    for unit, size in (("d", DAY_US), ("h", DAY_US // 24), ("m", DAY_US // 1_440)):
        if us and us % size == 0:
            return f"{us // size}{unit}"
    return f"{us // 1_000_000}s"


def _warning(field: str, message: str) -> LintWarning:
    return {"field": field, "message": message}
