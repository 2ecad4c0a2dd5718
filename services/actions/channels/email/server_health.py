"""Whether the mail server takes mails from us at all: seen in the log, as a metric and in `/v1/status`.

A mail that is refused because of its recipient says nothing about that. A server that cannot be reached,
wants another password or does not let us send does; one that takes a mail is well again. Nothing of a mail is
logged: of an answer only its codes, since servers quote addresses in their texts.
"""

import re
from collections.abc import Callable

from backbone.telemetry import get_logger
from schemas.event import rfc3339
from services.actions.channels.base import ChannelTrouble
from services.actions.metrics import MAIL_SERVER_REFUSES

# RFC 4954: about our login, and can be repaired; no mail is given up for it
LOGIN_WANTED = (530, 534, 535, 538)
_CODE = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})\b")

log = get_logger("touchline.mail")


class ServerHealth:
    """The state of the one server, as this process sees it."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.trouble: ChannelTrouble | None = None
        MAIL_SERVER_REFUSES.set(0)

    def took(self) -> None:
        """Note that it took a mail."""
        if self.trouble is not None:
            log.info("the mail server takes mails again", since=rfc3339(self.trouble.since))
            self.trouble = None
            MAIL_SERVER_REFUSES.set(0)

    def refused(self, phase: str, answer: str) -> None:
        """Note that it does not let us send: the phase, and its answer."""
        if self.trouble is None:
            self.trouble = ChannelTrouble(since=self._now(), detail=f"{phase}: {answer}")
            log.error("the mail server refuses us", phase=phase, answer=answer)
            MAIL_SERVER_REFUSES.set(1)

    def answered(self, phase: str, code: int, text: str) -> None:
        """Whether its refusal at this phase is about us."""
        about_us = phase == "MAIL" or code in LOGIN_WANTED or bare(code, text).split()[1:] in _ABOUT_US
        if about_us:
            self.refused(phase, bare(code, text))


def bare(code: int, text: str) -> str:
    """An answer's codes without its words."""
    enhanced = _CODE.match(text)
    return f"{code} {enhanced[1]}" if enhanced else str(code)


# RFC 3463: no relaying, no authentication, encryption needed; 5.7.1 is also a word about single mails, and still the
# one that servers use for "relay access denied".
_ABOUT_US = [[f"5.7.{last}"] for last in (0, 1, 8, 9, 10, 11)]
