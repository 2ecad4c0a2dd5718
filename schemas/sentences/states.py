"""How something stands, as a sentence: a paused playbook, sending, a suppressed address. Pure."""

from schemas.play_reasons import PlayReason
from schemas.sentences.wording import capital, moment

Time = int | str  # microseconds, or RFC 3339
BREAKER = PlayReason.BREAKER.value


def pause(reason: str | None, by: str | None, at: Time | None) -> str:
    """Who paused a playbook, when and why."""
    if reason == BREAKER:
        return f"The breaker paused it{_on(at)}: more plays were to begin than its limit allows."
    return f"{capital(by or 'somebody')} paused it{_on(at)}{_why(reason)}."


def sending(status: str, reason: str | None, by: str | None, at: Time | None) -> str:
    """Whether mails and webhooks go out, and who has decided so."""
    if at is None:
        return f"Sending is {status}."
    return f"Sending is {status}: {by or 'somebody'} turned it {status}{_on(at)}{_why(reason)}."


def suppression(address: str | None, topic: str | None, reason: str, at: Time) -> str:
    """Which mails an address does not get, since when and why."""
    about = f"no mail about {topic}" if topic else "no mail"
    who = address if address is not None else "an address that was erased"
    return f"{capital(who) if address is None else who} gets {about} since {moment(at)}: {reason}."


def _on(at: Time | None) -> str:
    return "" if at is None else f" on {moment(at)}"


def _why(reason: str | None) -> str:
    return "" if not reason else f": {reason.rstrip('.')}"
