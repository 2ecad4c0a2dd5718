"""The queue of mails against the oracle: when each begins, or when and why it is skipped, to the second."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings

from schemas.policy import PolicyDoc
from services.actions.policy.mails import WaitingMail
from services.actions.policy.queue import MailQueue, Outcome
from services.actions.policy.rules import NO_POLICY, SendingPolicy, compile_policy
from tests.oracle.policy import Mail, PolicyOracle
from tests.oracle.policy_strategies import mails_of, plays, policies
from tests.oracle.times import DAY, HOUR, parse_time

Ends = dict[str, tuple[str, int, str | None]]


def compiled(doc: dict[str, Any]) -> SendingPolicy:
    return compile_policy(PolicyDoc.model_validate(doc))


class Run:
    """The queue, run as a partition runs it: in order of time, and for each mail once its step has run."""

    def __init__(self, policy: SendingPolicy) -> None:
        self.policy, self.queue, self.ends = policy, MailQueue(), Ends()
        self._waited: defaultdict[str, int] = defaultdict(int)

    def upto(self, at: int) -> None:
        while (look := self.queue.next_look()) is not None and look <= at:
            self._note(self.queue.run(self.policy, look), look)

    def step(self, mail: Mail) -> None:
        self.upto(mail.runs_at)
        self._waited[mail.play] += mail.gap
        self.queue.add(
            WaitingMail(
                id=mail.id,
                play=mail.play or mail.id,
                account=mail.account,
                contact="ann",
                address=mail.address,
                topic=mail.topic,
                tier=mail.tier,
                priority=mail.priority,
                ran_at=mail.runs_at,
                late_at=None if mail.within is None else mail.runs_at + mail.within,
                waited=self._waited[mail.play],
                zone=mail.zone,
            ),
            mail.runs_at,
        )
        self._note(self.queue.run(self.policy, mail.runs_at), mail.runs_at)

    def _note(self, found: list[Outcome], at: int) -> None:
        for mail, turn in found:
            assert mail.id not in self.ends
            if turn.begins:
                self.ends[mail.id] = ("began", at, None)
            elif turn.skipped:
                self.ends[mail.id] = ("skipped", at, str(turn.reason))


def ends_of(oracle: PolicyOracle) -> Ends:
    found = Ends()
    for name, course in oracle.course.items():
        if course.began_at is not None:
            found[name] = ("began", course.began_at, None)
        elif course.skipped_at is not None:
            found[name] = ("skipped", course.skipped_at, course.reason)
    return found


@settings(max_examples=40)
@given(policies(), plays())
def test_mails_begin_when_the_oracle_says(doc: dict[str, Any], made: list[dict[str, Any]]) -> None:
    mails = sorted(mails_of(made), key=lambda mail: (mail.runs_at, mail.place))
    until = mails[-1].runs_at + 12 * DAY
    oracle, run = PolicyOracle(doc), Run(compiled(doc))
    oracle.run(list(mails), until)
    for mail in mails:
        run.step(mail)
    run.upto(until)
    assert run.ends == ends_of(oracle)


def at_noon(**fields: Any) -> Mail:
    noon = parse_time("2026-11-30T12:00:00Z")
    given_ = {"account": "a", "address": "ann@acme.test", "tier": "low", "topic": "news", "runs_at": noon}
    return Mail(**{**given_, **fields})


def test_without_a_policy_only_the_step_and_the_mail_before_count() -> None:
    run, mail = Run(NO_POLICY), at_noon(id="1", within=HOUR)
    run.step(mail)
    assert run.ends == {"1": ("began", mail.runs_at, None)}


def test_a_mail_that_is_gone_lets_the_next_one_of_its_play_begin() -> None:
    run = Run(compiled({"hours": {"from": "13:00", "to": "14:00"}, "wait_at_most": "30m"}))
    first, second = at_noon(id="1", play="p"), at_noon(id="2", play="p", gap=HOUR)
    run.step(first)
    run.step(second)
    assert run.queue.of("p") == ["1", "2"]
    run.queue.drop("1", first.runs_at)
    run.upto(first.runs_at)
    assert run.queue.of("p") == ["2"]
    run.upto(first.runs_at + HOUR // 2)
    assert run.ends == {"2": ("skipped", first.runs_at + HOUR // 2, "quiet_hours")}
