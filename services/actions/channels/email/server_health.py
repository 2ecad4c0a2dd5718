"""Whether the mail server takes mails from us at all: seen in the service's log, as a metric, in `/v1/status`, and told
as a notice (`on_health`, see `MailServerWatch`).

A mail that is refused because of its recipient says nothing about the server. The server refuses us if it cannot be
reached, wants another password or does not let us send; once it takes a mail, it is well again. No part of a mail is
logged, and only the codes of an answer, since servers quote addresses in their texts.

A server that takes commands and leaves mails without an answer is silent until it answers a mail, and so is one that
hangs up on them.
"""

import asyncio
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from backbone.telemetry import get_logger
from schemas.event import rfc3339
from services.actions.channels.base import ChannelTrouble
from services.actions.metrics import MAIL_SERVER_SILENT, show_mail_server

# RFC 4954: these codes are about our login, which can be repaired; no mail is given up for them.
LOGIN_WANTED = (530, 534, 535, 538)
SILENT_S = 5.0  # without an answer
AFTER_THE_DOT = "the mail"  # the phase in which a mail waits for its answer
HANGS_UP = "no answer, it hangs up"
_CODE = re.compile(r"^([245]\.\d{1,3}\.\d{1,3})\b")

log = get_logger("touchline.mail")


@dataclass(slots=True)
class _Silence:
    """Whether answers of one kind stay away, by the clock of the loop.

    `heard_at`: when there was one; `broken_at`: when a connection broke, the first one since then.
    """

    heard_at: float = 0.0
    broken_at: float | None = None
    trouble: ChannelTrouble | None = None


class Wait:
    """A wait for an answer, to be used once: `with health.listening(…): …`. A generator would take longer than it."""

    __slots__ = ("_give_up", "_health", "_late", "answers", "ends_at", "phase", "seconds", "silence", "since")

    def __init__(
        self,
        health: "ServerHealth",
        phase: str,
        silence: _Silence,
        seconds: float,
        give_up: Callable[[], None],
        answers: bool,
    ) -> None:
        self.phase, self.silence, self.seconds, self.answers = phase, silence, seconds, answers
        self._health, self._give_up, self._late = health, give_up, False

    @property
    def silent_at(self) -> float:
        """When the server is silent: whoever was heard last may have been the last one to be heard."""
        return max(self.since, self.silence.heard_at) + SILENT_S

    def end(self) -> None:
        """End it: its time is over."""
        self._late, self.ends_at = True, math.inf
        self._give_up()

    def __enter__(self) -> None:
        self.since = asyncio.get_running_loop().time()
        self.ends_at = self.since + self.seconds
        self._health.begins(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        over = (error is None and not self.answers) or isinstance(error, Exception)
        if self._late and over:  # else an answer came at the last moment, or the whole mail is given up
            late = TimeoutError(f"no answer for {self.seconds:g} s")
            self._health.ends(self, late)
            raise late from error
        self._health.ends(self, error)


class ServerHealth:
    """The state of the one server, as this process sees it."""

    def __init__(
        self, now: Callable[[], int], on_health: Callable[[ChannelTrouble | None], None] = show_mail_server
    ) -> None:
        self._now, self._on_health = now, on_health
        self._refusal: ChannelTrouble | None = None
        self._to_commands, self._to_mails = _Silence(), _Silence()
        self._waits: set[Wait] = set()
        self._alarm: asyncio.TimerHandle | None = None  # one for all waits: most are over long before

    @property
    def trouble(self) -> ChannelTrouble | None:
        """The trouble that keeps the server from taking any mail, or makes it slow."""
        return self._refusal or self._to_mails.trouble or self._to_commands.trouble

    def listening(
        self,
        phase: str,
        seconds: float = math.inf,
        give_up: Callable[[], None] = lambda: None,
        *,
        answers: bool = True,
    ) -> "Wait":
        """Wait for an answer of the server, inside. It is silent if there is none for `SILENT_S`, from any connection.

        After so many seconds `give_up` is called, which has to end the wait, and that is a `TimeoutError`. If a wait
        ends without an answer and the server is silent still, it hangs, which is as good as a refusal. `answers`:
        whether the end of the wait is an answer; if not, the server has only taken what we sent.
        """
        silence = self._to_mails if phase == AFTER_THE_DOT else self._to_commands
        return Wait(self, phase, silence, seconds, give_up, answers)

    def begins(self, wait: "Wait") -> None:
        """A wait begins."""
        self._waits.add(wait)
        self._look_at(wait.since + min(SILENT_S, wait.seconds))

    def ends(self, wait: "Wait", error: BaseException | None) -> None:
        """A wait has ended, with an answer or an error."""
        self._waits.discard(wait)
        now = asyncio.get_running_loop().time()
        if error is None:
            if wait.answers:
                self._heard(now, wait.phase)
        elif isinstance(error, TimeoutError):
            if wait.silence.trouble is not None:
                self.refused(wait.phase, "no answer")
        elif isinstance(error, Exception) and wait.phase == AFTER_THE_DOT:
            self._broke(wait, now)

    def _look_at(self, moment: float) -> None:
        if self._alarm is not None:
            if self._alarm.when() <= moment:
                return
            self._alarm.cancel()
        self._alarm = asyncio.get_running_loop().call_at(moment, self._look)

    def _look(self) -> None:
        """See whether the server is silent, and whose time is over."""
        self._alarm = None
        now = asyncio.get_running_loop().time()
        again = math.inf
        for wait in list(self._waits):
            if wait.silent_at <= now and wait.silence.trouble is None:
                self._silent(wait, SILENT_S, f"no answer for {SILENT_S:g} s")
            if wait.ends_at <= now:
                wait.end()
            again = min(again, wait.ends_at, math.inf if wait.silence.trouble else wait.silent_at)
        if again < math.inf:
            self._look_at(again)

    def _broke(self, wait: "Wait", at: float) -> None:
        """See whether the server hangs up on all mails. What broke at one moment may have met a restart."""
        silence = wait.silence
        if silence.trouble is not None:
            self.refused(wait.phase, HANGS_UP)
        elif silence.broken_at is None:
            silence.broken_at = at
        elif at - silence.broken_at >= SILENT_S:
            self._silent(wait, at - silence.broken_at, HANGS_UP)

    def _silent(self, wait: "Wait", seconds: float, how: str) -> None:
        began = self._now() - round(seconds * 1_000_000)
        wait.silence.trouble = ChannelTrouble(since=began, detail=f"{wait.phase}: {how}")
        MAIL_SERVER_SILENT.set(1)
        log.warning("the mail server does not answer", phase=wait.phase, how=how)

    def _heard(self, at: float, phase: str) -> None:
        ended = [self._to_commands, self._to_mails] if phase == AFTER_THE_DOT else [self._to_commands]
        news = phase == AFTER_THE_DOT  # once a mail is often enough
        for silence in ended:
            silence.heard_at, silence.broken_at = at, None
            if silence.trouble is not None:
                log.info("the mail server answers again", since=rfc3339(silence.trouble.since))
                silence.trouble, news = None, True
        if news and self._to_mails.trouble is None:
            MAIL_SERVER_SILENT.set(0)

    def took(self) -> None:
        """Note that the server took a mail."""
        if self._refusal is not None:
            log.info("the mail server takes mails again", since=rfc3339(self._refusal.since))
            self._refusal = None
        self._on_health(None)

    def refused(self, phase: str, answer: str) -> None:
        """Note that the server does not let us send, with the phase and its answer."""
        if self._refusal is None:
            self._refusal = ChannelTrouble(since=self._now(), detail=f"{phase}: {answer}")
            log.error("the mail server refuses us", phase=phase, answer=answer)
        self._on_health(self._refusal)

    def answered(self, phase: str, code: int, text: str) -> None:
        """Note an answer of the server that refuses at this phase, if it is about us and not about a mail."""
        about_us = phase == "MAIL" or code in LOGIN_WANTED or bare(code, text).split()[1:] in _ABOUT_US
        if about_us:
            self.refused(phase, bare(code, text))


def bare(code: int, text: str) -> str:
    """An answer's codes without its words."""
    enhanced = _CODE.match(text)
    return f"{code} {enhanced[1]}" if enhanced else str(code)


# RFC 3463: no relaying, no authentication, encryption needed. 5.7.1 is also said about single mails, but servers use it
# for "relay access denied".
_ABOUT_US = [[f"5.7.{last}"] for last in (0, 1, 8, 9, 10, 11)]
