"""The sentence of every reason, from examples: to be read aloud."""

from pathlib import Path
from typing import Any

from msgspec.structs import replace

from schemas.play_reasons import ActionReason, HistoryReason, PlayReason, StepReason, TaskReason
from schemas.reasons import Reason
from schemas.rule import RuleIn
from schemas.sentences.plays import PlayCase, said
from schemas.sentences.plays import sentence as play_sentence
from schemas.sentences.rules import RuleCase, sentence, verdict

THRESHOLD = {"event": "ticket.opened", "within": "30d", "at_least": {"high": 10, "low": 20}}
DAY = "2026-01-31T09:00:00Z"
ON = "31 January 2026, 09:00 UTC"


def rule(when: dict[str, Any], **more: Any) -> RuleIn:
    return RuleIn.model_validate({"name": "r", "when": when, **more})


def threshold(scope: str = "account", by: str | None = None, **fields: Any) -> RuleIn:
    body = {"event": "ticket.opened", "within": "30d", **fields}
    return rule({"threshold": body}, scope=scope, **({} if by is None else {"by": by}))


def trend(**fields: Any) -> RuleIn:
    return rule({"trend": {"event": "login", "over": "7d", "baseline": "28d", **fields}})


def absence(scope: str = "account", **fields: Any) -> RuleIn:
    return rule({"absence": {"event": "login", "for": "14d", **fields}}, scope=scope)


GUARDED = rule(
    {"absence": {"event": "login", "for": "14d"}}, alive={"event": ["login", "page"], "within": "12h"}
)
TIERED = rule({"threshold": THRESHOLD})
DATE = rule({"date": {"attribute": "account.attributes.renewal_date", "before": "90d"}})
BECOMES = rule({"becomes": {"is": {"account.attributes.health": {"lt": 50}}}})
BOTH = rule(
    {
        "all_of": {
            "of": [{"threshold": THRESHOLD}, {"absence": {"event": "login", "for": "14d"}}],
            "within": "30d",
        }
    }
)
ANY = rule({"threshold": {"event": ["a", "b"], "where": {"data.x": 1}, "above": 0}})
HELD_BACK = rule(
    {"threshold": THRESHOLD}, scope="contact", by="data.invoice", cooldown="30d",
    where={"account.attributes.status": {"ne": "churned"}, "account.tier": "high"},
    unless={"threshold": {"event": "meeting.booked", "within": "7d", "at_least": 1}},
)  # fmt: skip

EXAMPLES: list[tuple[Reason, RuleCase]] = [
    (Reason.THRESHOLD_REACHED, RuleCase(rule=TIERED, value=12, threshold=10, tier="high")),
    (Reason.THRESHOLD_REACHED, RuleCase(
        rule=TIERED, value=10, value_exact=False, threshold=10, tier="high", at=DAY, fired=True,
    )),
    (Reason.THRESHOLD_REACHED, RuleCase(rule=ANY, value=1, threshold=0)),
    (Reason.THRESHOLD_REACHED, RuleCase(rule=threshold(event="*", below=5), value=3, threshold=5)),
    (Reason.THRESHOLD_REACHED, RuleCase(
        rule=threshold(aggregate="sum", of="data.amount", at_least=1000.5), value=1200.25, threshold=1000.5,
    )),
    (Reason.THRESHOLD_REACHED, RuleCase(
        rule=threshold(aggregate="distinct", of="data.user", at_least=1), value=1, threshold=1,
    )),
    (Reason.BELOW_THRESHOLD, RuleCase(rule=TIERED, value=0, threshold=10, tier="high")),
    (Reason.BELOW_THRESHOLD, RuleCase(rule=threshold("contact", at_least=2), value=1, threshold=2, contact="ann")),
    (Reason.BELOW_THRESHOLD, RuleCase(
        rule=threshold(by="data.invoice", at_least=3, since={"event": "trial.started", "for": "14d"}),
        value=1, threshold=3, key="88",
    )),
    (Reason.BELOW_THRESHOLD, RuleCase(
        rule=threshold(aggregate="avg", of="data.score", above=3), value=2.9996, threshold=3,
    )),
    (Reason.BELOW_THRESHOLD, RuleCase(rule=threshold(aggregate="days", at_least=5), value=3, threshold=5)),
    (Reason.BELOW_THRESHOLD, RuleCase(
        rule=threshold(aggregate="max", of="data.score", at_least=9), value=8, threshold=9,
    )),
    (Reason.BELOW_THRESHOLD, RuleCase(
        rule=threshold(per="account.attributes.seats", at_least=0.5), value=0.4, threshold=0.5,
    )),
    (Reason.ABOVE_THRESHOLD, RuleCase(rule=threshold(at_most={"high": 5}), value=12_000, threshold=5, tier="high")),
    (Reason.NO_VALUE, RuleCase(rule=threshold(aggregate="avg", of="data.score", above=3))),
    (Reason.NOT_SINCE, RuleCase(rule=threshold(at_least=3, since={"event": "trial.started"}))),
    (Reason.PER_MISSING, RuleCase(rule=threshold(per="account.attributes.seats", at_least=0.5))),
    (Reason.NOT_KNOWN_LONG_ENOUGH, RuleCase(rule=trend(falls_by=30))),
    (Reason.TREND_FELL, RuleCase(
        rule=trend(falls_by={"high": 30}), tier="high", value=80.0, threshold=30, figures={"recent": 2,
        "baseline": 40}, at=DAY, fired=True,
    )),
    (Reason.TREND_ROSE, RuleCase(
        rule=trend(rises_by=50, aggregate="sum", of="data.amount"), value=120.04, threshold=50,
        figures={"recent": 2000.5, "baseline": 40},
    )),
    (Reason.CHANGE_TOO_SMALL, RuleCase(
        rule=trend(falls_by=30), value=12.5, threshold=30, figures={"recent": 1, "baseline": 40},
    )),
    (Reason.CHANGE_TOO_SMALL, RuleCase(
        rule=trend(falls_by={"high": 30}), tier="high", value=-20, threshold=30, figures={"recent": 12, "baseline": 40},
    )),
    (Reason.BASELINE_TOO_SMALL, RuleCase(rule=trend(falls_by=30), figures={"recent": 1, "baseline": 4})),
    (Reason.BASELINE_TOO_SMALL, RuleCase(
        rule=trend(falls_by=30, aggregate="sum", of="data.amount"), figures={"recent": 1, "baseline": 0},
    )),
    (Reason.ABSENT, RuleCase(rule=absence(), threshold="14d", armed=DAY)),
    (Reason.ABSENT, RuleCase(rule=absence(since={"event": "trial.started"}), threshold="14d", armed=DAY)),
    (Reason.RETURNED, RuleCase(rule=absence(fire="on_return"), threshold="14d", fired=True)),
    (Reason.RETURNED, RuleCase(rule=absence(fire="on_return"), threshold="14d", armed=DAY)),
    (Reason.NOT_ARMED, RuleCase(rule=absence())),
    (Reason.NOT_ARMED, RuleCase(rule=absence(), armed=DAY)),
    (Reason.DEADLINE_AHEAD, RuleCase(rule=absence("contact"), armed=DAY, at="2026-02-14T09:00:00Z", contact="ann")),
    (Reason.NOT_AWAY_LONG_ENOUGH, RuleCase(rule=absence(fire="on_return"), armed=DAY, threshold="14d")),
    (Reason.DATE_REACHED, RuleCase(rule=DATE, threshold="90d", at=DAY)),
    (Reason.DATE_AHEAD, RuleCase(rule=DATE, threshold="90d", at=DAY)),
    (Reason.DATE_PAST, RuleCase(rule=DATE, threshold="90d")),
    (Reason.NO_DATE, RuleCase(rule=DATE, threshold="90d")),
    (Reason.BECAME_TRUE, RuleCase(rule=BECOMES, at=DAY)),
    (Reason.CONDITION_FALSE, RuleCase(rule=BECOMES)),
    (Reason.ALREADY_TRUE, RuleCase(rule=BECOMES)),
    (Reason.ALL_HELD, RuleCase(rule=BOTH, at=DAY)),
    (Reason.MEMBER_NOT_HELD, RuleCase(rule=BOTH)),
    (Reason.BY_HAND, RuleCase(rule=BOTH, at=DAY, fired=True)),
    (Reason.BY_HAND, RuleCase(rule=threshold("contact", at_least=2), contact="ann", at=DAY, fired=True)),
    (Reason.NOT_MATCHING, RuleCase(rule=TIERED)),
    (Reason.COOLDOWN, RuleCase(rule=HELD_BACK, until=DAY)),
    (Reason.COOLDOWN, RuleCase(rule=threshold("contact", at_least=2))),
    (Reason.ALREADY_FIRED, RuleCase(rule=HELD_BACK)),
    (Reason.WHERE_FALSE, RuleCase(rule=HELD_BACK)),
    (Reason.UNLESS_HOLDS, RuleCase(rule=HELD_BACK)),
    (Reason.TIER_NOT_COVERED, RuleCase(rule=TIERED, tier="tech")),
    (Reason.NO_CONTACT, RuleCase(rule=HELD_BACK)),
    (Reason.NO_KEY, RuleCase(rule=HELD_BACK)),
    (Reason.UNKNOWN_CONTACT, RuleCase(rule=TIERED)),
    (Reason.UNKNOWN_ACCOUNT, RuleCase(rule=TIERED, account="acne")),
    (Reason.ACCOUNT_MERGED, RuleCase(rule=TIERED, into="globex")),
    (Reason.RULE_DRAFT, RuleCase()),
    (Reason.RULE_PAUSED, RuleCase(rule=TIERED)),
    (Reason.RULE_UNKNOWN, RuleCase()),
    (Reason.HISTORICAL, RuleCase(rule=TIERED)),
    (Reason.LATE, RuleCase(rule=TIERED)),
    (Reason.DUPLICATE, RuleCase(rule=TIERED)),
    (Reason.LOOP, RuleCase(rule=TIERED)),
    (Reason.SOURCE_SILENT, RuleCase(rule=GUARDED, silent_since=DAY)),
    (Reason.SOURCE_SILENT, RuleCase(rule=GUARDED)),
    (Reason.ERASED, RuleCase(rule=TIERED)),
]  # fmt: skip
MAIL = PlayCase(
    playbook="chase", contact="ann", tier="tech", step="2", channel="email", recipient="ann@acme.test",
    topic="billing", attempts=9,
)  # fmt: skip
AT, DAY_US = 1_769_850_000_000_000, 86_400_000_000  # `DAY`
HOOK = PlayCase(playbook="chase", tier="low", channel="webhook", recipient="crm", attempts=1)
OF_PLAYS: list[tuple[Any, PlayCase]] = [
    (PlayReason.PLAY_OPEN, MAIL),
    (PlayReason.PLAYBOOK_UNKNOWN, MAIL),
    (PlayReason.TIER_NOT_COVERED, MAIL),
    (PlayReason.PAUSED, MAIL),
    (PlayReason.BREAKER, MAIL),
    (PlayReason.DISCARDED, MAIL),
    (PlayReason.HELD_TOO_LONG, MAIL),
    (PlayReason.HELD_OUT, MAIL),
    (HistoryReason.STARTED, MAIL),
    (HistoryReason.ACTION_MADE, MAIL),
    (HistoryReason.ACTION_MADE, HOOK),
    (HistoryReason.ACTION_DONE, HOOK),
    (StepReason.WAIT_OVER, MAIL),
    (ActionReason.SUPPRESSED, MAIL),
    (ActionReason.NO_ADDRESS, MAIL),
    (ActionReason.BOUNCED, MAIL),
    (ActionReason.COMPLAINED, MAIL),
    (ActionReason.TIMEOUT, HOOK),
    (ActionReason.UNREACHABLE, MAIL),
    (ActionReason.ATTEMPTS_EXHAUSTED, MAIL),
    (ActionReason.ATTEMPTS_EXHAUSTED, HOOK),
    (ActionReason.PLAY_EXITED, MAIL),
    (ActionReason.AWAITING_APPROVAL, MAIL),
    (ActionReason.NOT_APPROVED, MAIL),
    (PlayReason.HELD_TOO_LONG, replace(MAIL, since=AT, until=AT + 7 * DAY_US)),
    (PlayReason.PAUSED, replace(MAIL, since=AT)),
    (PlayReason.BREAKER, replace(MAIL, since=AT)),
    (ActionReason.QUIET_HOURS, replace(MAIL, looked_at=AT)),
    (ActionReason.CAPPED, replace(MAIL, looked_at=AT)),
    (ActionReason.BEHIND, replace(MAIL, looked_at=AT)),
    (ActionReason.TOO_LATE, replace(MAIL, until=AT)),
    (ActionReason.AWAITING_APPROVAL, replace(MAIL, until=AT)),
    (ActionReason.TIMEOUT, replace(HOOK, again_at=AT)),
    (ActionReason.UNREACHABLE, replace(MAIL, again_at=AT)),
    (ActionReason.DEFERRED, replace(MAIL, again_at=AT)),
    (HistoryReason.APPROVED, MAIL),
    (HistoryReason.RETRIED, HOOK),
    (TaskReason.APPROVED, MAIL),
]  # fmt: skip


def test_every_example_reads_as_it_is_written_down() -> None:
    """`sentences.txt` is what is to be read aloud when a sentence changes."""
    made = [(reason, sentence(reason, case)) for reason, case in EXAMPLES]
    made += [(reason, play_sentence(reason, case)) for reason, case in OF_PLAYS]
    written = (Path(__file__).parent / "sentences.txt").read_text(encoding="utf-8")
    assert "".join(f"{reason:24}{text}\n" for reason, text in made) == written


def test_every_reason_of_a_rule_has_an_example() -> None:
    assert {reason for reason, _ in EXAMPLES} == set(Reason)


def test_what_last_happened_comes_first() -> None:
    case = RuleCase(rule=HELD_BACK, value=12, threshold=10, tier="high", until="2026-03-02T09:00:00Z")
    assert verdict([Reason.COOLDOWN, Reason.THRESHOLD_REACHED], case, fires=False, last=DAY) == (
        f"It last fired on {ON}. It cannot fire again before 2 March 2026, 09:00 UTC: its cooldown is 30 days. "
        "12 ticket.opened events in 30 days; 10 are needed for the high tier."
    )


def test_a_verdict_of_the_daily_tick_says_when_it_comes() -> None:
    case = RuleCase(rule=threshold(at_most=5), value=3, threshold=5)
    assert verdict([Reason.THRESHOLD_REACHED], case, fires=True, tick=DAY) == (
        f"3 ticket.opened events in 30 days; 5 or fewer make the rule fire. If nothing more comes until then, it fires "
        f"on {ON}."
    )
    assert verdict([Reason.THRESHOLD_REACHED], case, fires=True).endswith("The next one makes the rule fire.")


def test_a_reason_of_another_release_has_no_sentence() -> None:
    assert said(ActionReason, "held_over", MAIL) is None
    assert said(ActionReason, None, MAIL) is None
