"""What each provider's samples say: of which mail, and how bad it is."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.actions.feedback import mailgun, postmark, sendgrid, ses
from services.actions.feedback.report import MailReport, Reports, action_in
from services.actions.plays.mail_reports import ReportKind
from tests.unit.feedback.samples import (
    ACTION,
    BOUNCED_AT,
    MAILGUN_FAILED,
    MESSAGE_ID,
    POSTMARK_BOUNCE,
    POSTMARK_CHANGE,
    POSTMARK_COMPLAINT,
    SENDGRID_BOUNCE,
    SENDGRID_COMPLAINT,
    SES_BOUNCE,
    SES_COMPLAINT,
    SES_EVENT,
    changed,
)

READERS: dict[str, Callable[[object], Reports]] = {
    "ses": ses.reports,
    "sendgrid": sendgrid.reports,
    "postmark": postmark.reports,
    "mailgun": mailgun.reports,
}
HARD, SOFT, NOT_SENT = ReportKind.HARD_BOUNCE, ReportKind.SOFT_BOUNCE, ReportKind.NOT_SENT
COMPLAINT, NO_MATTER = ReportKind.COMPLAINT, ReportKind.NO_MATTER
OF_POSTMARK = {  # kinds of bounce
    "BadEmailAddress": HARD,
    "SoftBounce": SOFT,
    "Blocked": SOFT,
    "SpamNotification": SOFT,
    "Transient": NO_MATTER,
    "AutoResponder": NO_MATTER,
    "DMARCPolicy": NOT_SENT,
}
OF_MAILGUN = {  # another value of a field
    ("reason", "bounce"): HARD,
    ("reason", "suppress-complaint"): COMPLAINT,
    ("reason", "suppress-unsubscribe"): NOT_SENT,
    ("reason", "old"): SOFT,
    ("severity", "temporary"): NO_MATTER,
    ("event", "complained"): COMPLAINT,
    ("event", "rejected"): NOT_SENT,
    ("event", "delivered"): NO_MATTER,
}
CASES: list[tuple[str, Any, ReportKind]] = [
    ("ses", SES_BOUNCE, HARD),
    ("ses", SES_EVENT, HARD),
    ("ses", changed(SES_BOUNCE, bounce__bounceSubType="OnAccountSuppressionList"), HARD),
    ("ses", changed(SES_BOUNCE, bounce__bounceType="Transient", bounce__bounceSubType="MailboxFull"), SOFT),
    ("ses", changed(SES_BOUNCE, bounce__bounceType="Undetermined"), SOFT),
    ("ses", SES_COMPLAINT, COMPLAINT),
    ("ses", changed(SES_COMPLAINT, complaint__complaintFeedbackType=None), COMPLAINT),
    ("ses", changed(SES_COMPLAINT, complaint__complaintFeedbackType="not-spam"), NO_MATTER),
    ("ses", changed(SES_BOUNCE, notificationType="Delivery"), NO_MATTER),
    ("ses", changed(SES_EVENT, eventType="DeliveryDelay"), NO_MATTER),
    ("ses", changed(SES_EVENT, eventType="Reject", reject={"reason": "Bad content"}), NOT_SENT),
    ("sendgrid", SENDGRID_BOUNCE, HARD),
    ("sendgrid", changed(SENDGRID_BOUNCE, type="blocked"), SOFT),
    ("sendgrid", changed(SENDGRID_BOUNCE, event="dropped", type=None, reason="Bounced Address"), HARD),
    ("sendgrid", changed(SENDGRID_BOUNCE, event="dropped", reason="Spam Reporting Address"), COMPLAINT),
    ("sendgrid", changed(SENDGRID_BOUNCE, event="dropped", reason="Unsubscribed Address"), NOT_SENT),
    ("sendgrid", changed(SENDGRID_BOUNCE, event="dropped", reason="Spam Content"), NOT_SENT),
    ("sendgrid", changed(SENDGRID_BOUNCE, event="deferred"), NO_MATTER),
    ("sendgrid", changed(SENDGRID_BOUNCE, event="delivered"), NO_MATTER),
    ("sendgrid", SENDGRID_COMPLAINT, COMPLAINT),
    ("postmark", POSTMARK_BOUNCE, HARD),
    *(("postmark", changed(POSTMARK_BOUNCE, Type=type_), kind) for type_, kind in OF_POSTMARK.items()),
    ("postmark", POSTMARK_COMPLAINT, COMPLAINT),
    ("postmark", POSTMARK_CHANGE, HARD),
    ("postmark", changed(POSTMARK_CHANGE, SuppressionReason="ManualSuppression"), NO_MATTER),
    ("postmark", changed(POSTMARK_CHANGE, SuppressSending=False), NO_MATTER),
    ("postmark", changed(POSTMARK_BOUNCE, RecordType="Delivery"), NO_MATTER),
    ("mailgun", MAILGUN_FAILED, HARD),
    *(
        ("mailgun", changed(MAILGUN_FAILED, **{f"event_0_data__{field}": value}), kind)
        for (field, value), kind in OF_MAILGUN.items()
    ),
]


@pytest.mark.parametrize(("provider", "sample", "kind"), CASES)
def test_a_sample_says_this(provider: str, sample: Any, kind: ReportKind) -> None:
    (found,) = READERS[provider](sample)
    assert found is not None
    assert (found.action, found.kind) == (ACTION, kind)


def test_a_report_says_when_and_why() -> None:
    (found,) = ses.reports(SES_BOUNCE)
    words = "Permanent; General; smtp; 550 5.1.1 <ann@acme.test>... User unknown"
    assert found == MailReport(ACTION, HARD, BOUNCED_AT, words)
    (found,) = sendgrid.reports(SENDGRID_BOUNCE)
    assert found == MailReport(ACTION, HARD, 1_513_299_569_000_000, "bounce; 5.0.0; 500 unknown recipient")
    (found,) = postmark.reports(POSTMARK_BOUNCE)
    assert found is not None
    assert found.at == 1_572_971_634_907_025
    (found,) = mailgun.reports(MAILGUN_FAILED)
    assert found is not None
    assert found.at == 1_521_233_195_375_624


def test_items_of_a_batch_stand_alone() -> None:
    others = (
        changed(SENDGRID_BOUNCE, touchline="act_2", event="spamreport"),
        changed(SENDGRID_BOUNCE, touchline=None),
    )
    found = list(sendgrid.reports([SENDGRID_BOUNCE, "no event", None, 7, [], {}, *others]))
    assert [one and (one.action, one.kind) for one in found] == [
        (ACTION, HARD), None, None, None, None, None, ("act_2", COMPLAINT), None,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "action"),
    [
        (MESSAGE_ID, ACTION),
        (ACTION, ACTION),
        (f"touchline={ACTION}, other=x", ACTION),
        (f"x{MESSAGE_ID}y", ACTION),
        ("<14c5d75ce93.dfd.64b469@ismtpd-555>", None),
        ("act_", None),
        (f"fact_{ACTION[4:]}", None),
        ("act_" + "a" * 61, None),
        ("", None),
        (None, None),
        (["act_1"], None),
    ],
)
def test_which_mail_it_is(text: object, action: str | None) -> None:
    assert action_in(text) == action
    assert action_in(None, text, "act_0") == (action or "act_0")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize("provider", READERS)
@settings(max_examples=30)
@given(anything=JSON)
def test_no_body_breaks_a_reader(provider: str, anything: object) -> None:
    list(READERS[provider](anything))


@given(case=st.sampled_from(CASES), anything=JSON, data=st.data())
def test_no_value_of_a_sample_breaks_a_reader(
    case: tuple[str, Any, ReportKind], anything: object, data: st.DataObject
) -> None:
    provider, sample, _ = case
    made = above = place = json.loads(json.dumps(sample))
    name = ""
    while isinstance(place, dict) and place and (not name or data.draw(st.booleans())):
        name = data.draw(st.sampled_from(sorted(place)))
        above, place = place, place[name]
    above[name] = anything
    for found in READERS[provider](made):
        assert found is None or found.kind in ReportKind
