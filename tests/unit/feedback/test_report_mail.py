"""Reports that are mails: which of them say that an address is dead, and what is no report at all."""

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.actions.feedback.report import MailReport
from services.actions.feedback.report_mail import reports
from services.actions.plays.mail_reports import ReportKind
from tests.unit.feedback.samples import ACTION, MESSAGE_ID, RETURNED, arf, dsn

HARD, SOFT = ReportKind.HARD_BOUNCE, ReportKind.SOFT_BOUNCE
COMPLAINT, NO_MATTER = ReportKind.COMPLAINT, ReportKind.NO_MATTER


def read(mail: bytes) -> MailReport | None:
    (found,) = reports(mail)
    return found


@pytest.mark.parametrize(
    ("action", "status", "said", "kind"),
    [
        ("failed", "5.1.1", "550 No such user", HARD),
        ("Failed", "5.1.2", "550 no such host", HARD),
        ("failed", "5.1.10", "556 no mail here", HARD),
        ("failed", "5.2.1", "550 mailbox disabled", HARD),
        ("failed", "5.0.0", "550 5.1.1 no such user", HARD),  # the status says nothing, the answer does
        ("failed", "5.0.0", "550 go away", SOFT),
        ("failed", "5.2.2", "552 mailbox full", SOFT),
        ("failed", "5.7.1", "550 5.1.1 is what it does not say", SOFT),
        ("failed", "5.1.8", "501 sender's domain does not exist", SOFT),  # ours, not theirs
        ("failed", "4.4.7", "delivery time expired", SOFT),
        ("failed", "4.1.1", "451 later", SOFT),
        ("failed", "", "", SOFT),
        ("delayed", "4.4.1", "no answer", NO_MATTER),
        ("delayed", "5.1.1", "550 No such user", NO_MATTER),
        ("delivered", "2.1.5", "250 ok", NO_MATTER),
        ("relayed", "2.1.9", "250 ok", NO_MATTER),
        ("expanded", "2.1.9", "250 ok", NO_MATTER),
    ],
)
def test_a_delivery_status(action: str, status: str, said: str, kind: ReportKind) -> None:
    found = read(dsn(action, status, said))
    assert found is not None
    assert (found.action, found.kind) == (ACTION, kind)


def test_it_says_when_and_why() -> None:
    found = read(dsn())
    assert found == MailReport(ACTION, HARD, 773_615_749_000_000, "5.1.1; smtp; 550 No such user")


@pytest.mark.parametrize(
    "mail",
    [
        dsn(returned_as="text/rfc822-headers"),
        dsn(returned=f"Message-ID: {MESSAGE_ID}\nSubject: Hello\n"),
        dsn(returned=f"X-Touchline-Action: {ACTION}\n"),
        # what some servers do: no mail comes back, but the report is an answer to it
        dsn(returned="Subject: Hello\n").replace(
            b"Subject: Ret", b"In-Reply-To: " + MESSAGE_ID.encode() + b"\r\nSubject: Ret"
        ),
        dsn(returned="").replace(
            b"Reporting-MTA", b"Original-Envelope-Id: " + ACTION.encode() + b"\r\nReporting-MTA"
        ),
    ],
)
def test_where_our_id_may_stand(mail: bytes) -> None:
    found = read(mail)
    assert found is not None
    assert found.action == ACTION


def test_of_several_recipients_the_gravest_counts() -> None:
    one = b"Final-Recipient: rfc822;bob@acme.test\r\nAction: delayed\r\nStatus: 4.4.1\r\n\r\n"
    mail = dsn().replace(b"Original-Recipient", one + b"Original-Recipient")
    found = read(mail)
    assert found is not None
    assert found.kind == HARD


@pytest.mark.parametrize(
    ("type_", "kind"),
    [
        ("abuse", COMPLAINT),
        ("Abuse", COMPLAINT),
        ("fraud", COMPLAINT),
        ("other", COMPLAINT),
        ("opt-out", COMPLAINT),
        ("not-spam", NO_MATTER),
        ("auth-failure", NO_MATTER),
    ],
)
def test_a_complaint(type_: str, kind: ReportKind) -> None:
    found = read(arf(type_))
    assert found is not None
    assert (found.action, found.kind) == (ACTION, kind)


@pytest.mark.parametrize(
    "mail",
    [
        b"",
        b"\0\xff\xfe",
        RETURNED.encode(),  # one of our own
        b"Subject: Out of office\r\nIn-Reply-To: " + MESSAGE_ID.encode() + b"\r\n\r\nBack on Monday.\r\n",
        dsn(returned="Subject: of somebody else\n"),
        arf(returned="Message-ID: <of@somebody.else>\n"),
        dsn().replace(b"multipart/report", b"multipart/mixed"),
        dsn().replace(b"Action: failed\r\n", b""),
        dsn().replace(b"message/delivery-status", b"text/plain"),
    ],
)
def test_what_is_no_report_is_about_no_mail(mail: bytes) -> None:
    assert read(mail) is None


def test_a_report_in_another_mail_is_none() -> None:
    """Somebody forwards a bounce: that is a mail like any other."""
    outer = email.message.EmailMessage()
    outer.set_content("look at this")
    outer.add_attachment(email.message_from_bytes(dsn(), policy=email.policy.default))
    assert read(bytes(outer)) is None


@given(cut=st.integers(0, 2_000), with_=st.binary(max_size=20), gap=st.integers(0, 50))
def test_no_damage_breaks_the_reader(cut: int, with_: bytes, gap: int) -> None:
    for mail in (dsn(), arf()):
        list(reports(mail[:cut] + with_ + mail[cut + gap :]))


def test_mails_in_mails_in_mails_are_read_or_left_alone() -> None:
    line = b"Content-Type: multipart/report; boundary=b%d\r\n\r\n--b%d\r\n"
    for depth in (30, 3_000):
        assert read(b"".join(line % (n, n) for n in range(depth))) is None
