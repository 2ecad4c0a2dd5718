"""`POST /v1/mail/feedback/…` on a running Touchline: who may call it, and what a mail's history shows afterwards."""

import base64
import email
import email.policy
import hashlib
import hmac
import io
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backbone.web.api_keys import create_key
from services.actions import service
from services.actions.metrics import MAILS_RETURNED
from services.cli.mail_feedback import TRY_AGAIN, mail_feedback
from tests.services.embedded.mail_kit import PATH, Server, started
from tests.unit.feedback import test_sns as amazon
from tests.unit.feedback.samples import (
    ACTION,
    MAILGUN_FAILED,
    POSTMARK_BOUNCE,
    POSTMARK_COMPLAINT,
    SENDGRID_BOUNCE,
    SES_BOUNCE,
    SNS,
    SNS_CONFIRMATION,
    about,
    arf,
    changed,
    dsn,
)

MAILGUN_KEY = "key-of-mailgun"
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """All signatures are set up; what SNS refers to is fetched from nowhere."""
    public = SENDGRID_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    given = {
        "sendgrid_public_key": base64.b64encode(public).decode(),
        "mailgun_signing_key": MAILGUN_KEY,
        "ses_topics": SNS["TopicArn"],
        "return_path": "bounces@us.test",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "https_get", FETCHED)
        with started(tmp_path_factory.mktemp("feedback"), **given) as made:
            yield made


class Certificates:
    """Amazon, as far as it is asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        now = time.time()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(amazon, "NOW", now * 1e6)
            return amazon.certificate()


FETCHED = Certificates()


@pytest.mark.parametrize(
    ("provider", "sample", "reason"),
    [
        ("ses", {**SNS, "Message": json.dumps(SES_BOUNCE)}, "bounced"),
        ("sendgrid", [SENDGRID_BOUNCE], "bounced"),
        ("postmark", POSTMARK_COMPLAINT, "complained"),
        ("mailgun", MAILGUN_FAILED, "bounced"),
        ("rfc3464", dsn(), "bounced"),
        ("rfc5965", arf(), "complained"),
    ],
)
def test_what_comes_back_of_a_mail(server: Server, provider: str, sample: Any, reason: str) -> None:
    action = server.mail()
    body = (
        sample.replace(ACTION.encode(), action.encode())
        if isinstance(sample, bytes)
        else about(sample, action)
    )
    before = returned()
    for _ in range(2):
        assert server.told(provider, body) == {"matched": 1, "unknown": 0}
    assert returned() == before + 1, "the alerts count mails, not reports"
    shown = server.action(action)
    assert (shown["status"], shown["reason"]) == ("done", reason)
    assert shown["sentence"]
    outcomes = [(one["outcome"], one["reason"]) for one in shown["history"]]
    assert outcomes == [("done", None), ("reported", reason)]
    assert server.suppressed(action) == [(None, reason)]
    # Its play hears of it, once, and goes on.
    tasks = server.until(
        lambda: server.call("GET", "/v1/tasks", params={"account": shown["account"]})["items"]
    )
    assert [one["title"] for one in tasks] == ["Ask for another address"]
    history = server.call("GET", f"/v1/plays/{shown['play']}")["history"]
    assert [one["reason"] for one in history if one["action"] == action] == [
        "action_made",
        "action_done",
        reason,
    ]


def returned() -> float:
    """How many mails came back, as the metric says."""
    (family,) = MAILS_RETURNED.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


def test_mails_carry_what_comes_back(server: Server) -> None:
    action = server.mail()
    (path,) = (server.rooms.settings.data_dir / "outbox").glob(f"*{action}.eml")
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert mail["Message-ID"].startswith(f"<{action}@")
    assert mail["X-PM-Metadata-touchline"] == action
    unique = json.loads(mail["X-SMTPAPI"])["unique_args"]
    assert server.told("sendgrid", [{"event": "bounce", "type": "blocked", **unique}])["matched"] == 1
    assert server.suppressed(action) == []


def test_a_batch_loses_nothing_to_its_neighbours(server: Server) -> None:
    first, second = server.mail(), server.mail()
    items = [
        about(SENDGRID_BOUNCE, first),
        about(SENDGRID_BOUNCE, "act_0000000000"),
        "no event",
        None,
        {},
        changed(SENDGRID_BOUNCE, touchline=first, event="delivered"),
        about(SENDGRID_BOUNCE, second),
    ]
    assert server.told("sendgrid", items) == {"matched": 3, "unknown": 4}
    assert [server.action(one)["reason"] for one in (first, second)] == ["bounced", "bounced"]


@pytest.mark.parametrize("kind", ["delayed", "not-spam"])
def test_delays_and_not_spam_do_nothing(server: Server, kind: str) -> None:
    action = server.mail()
    mail = dsn("delayed", "4.4.1") if kind == "delayed" else arf("not-spam")
    answer = server.told(
        "rfc3464" if kind == "delayed" else "rfc5965", mail.replace(ACTION.encode(), action.encode())
    )
    assert answer == {"matched": 1, "unknown": 0}
    shown = server.action(action)
    assert (shown["reason"], len(shown["history"]), server.suppressed(action)) == (None, 1, [])


def test_who_may_report(server: Server) -> None:
    body = POSTMARK_BOUNCE
    basic = base64.b64encode(f"{server.feedback}:".encode()).decode()
    assert server.post("postmark", body, authorization=f"Basic {basic}").status_code == 200
    assert server.post("postmark", body, authorization=f"Bearer {server.key}").status_code == 200
    assert server.post("postmark", body).status_code == 401
    assert server.post("postmark", body, authorization="Bearer tl_nobody").status_code == 401
    other = create_key(
        server.rooms.db, server.rooms.clock, "reader", ["actions:read", "actions:write", "track"]
    )
    assert server.post("postmark", body, authorization=f"Bearer {other}").status_code == 403
    # and it may do nothing else
    for path in ("/v1/actions", "/v1/suppressions", "/v1/me"):
        answer = server.http.get(path, headers={"authorization": f"Bearer {server.feedback}"})
        assert answer.status_code in (403, 404)


@pytest.mark.parametrize("provider", ["ses", "sendgrid", "postmark", "mailgun"])
def test_what_cannot_be_read_is_refused(server: Server, provider: str) -> None:
    key = {"authorization": f"Bearer {server.feedback}"}
    for body in (b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": NaN}'):
        answer = server.post(provider, body, **key)
        assert (answer.status_code, answer.json()["code"][:3]) in ((400, "not"), (400, "too")), answer.text
    assert server.post(provider, b"[" + b"{}," * 400_000 + b"{}]", **key).status_code == 413
    assert server.told(provider, 7) == {"matched": 0, "unknown": 1}
    assert server.http.post(f"{PATH}{provider}?x=1", json={}, headers=key).status_code == 422


def test_a_mail_that_is_no_report_is_unknown(server: Server) -> None:
    for body in (b"", b"hello", b"\0\xff", dsn(returned="Subject: of others\n")):
        assert server.told("rfc3464", body) == {"matched": 0, "unknown": 1}
    assert (
        server.http.post(
            PATH + "brevo", json={}, headers={"authorization": f"Bearer {server.feedback}"}
        ).status_code
        == 404
    )


def signed_by_mailgun(body: dict[str, Any], at: float, token: str, key: str = MAILGUN_KEY) -> dict[str, Any]:
    text = str(int(at))
    made = hmac.new(key.encode(), f"{text}{token}".encode(), hashlib.sha256).hexdigest()
    return {**body, "signature": {"timestamp": text, "token": token, "signature": made}}


def test_mailguns_signature_is_enough(server: Server) -> None:
    first, second = server.mail(), server.mail()
    one, other = about(MAILGUN_FAILED, first), about(MAILGUN_FAILED, second)
    now = time.time()
    for wrong in (
        one,
        signed_by_mailgun(one, now, "a" * 50, "another key"),
        signed_by_mailgun(one, now - 3_600, "a" * 50),
        signed_by_mailgun(one, now + 3_600, "a" * 50),
    ):
        assert server.post("mailgun", wrong).status_code == 401
    good = signed_by_mailgun(one, now, "a" * 50)
    for _ in range(2):  # Mailgun comes again where it did not hear the answer
        assert server.post("mailgun", good).json() == {"matched": 1, "unknown": 0}
    # the signature does not cover the body, so it is good for this one alone
    assert server.post("mailgun", {**good, "event-data": other["event-data"]}).status_code == 401
    assert (server.action(first)["reason"], server.action(second)["reason"]) == ("bounced", None)


def test_sendgrids_signature_is_enough(server: Server) -> None:
    body = json.dumps([about(SENDGRID_BOUNCE, server.mail())]).encode()
    signature = SENDGRID_KEY.sign(b"1600000000" + body, ec.ECDSA(hashes.SHA256()))
    name = "X-Twilio-Email-Event-Webhook-"
    headers = {f"{name}Signature": base64.b64encode(signature).decode(), f"{name}Timestamp": "1600000000"}
    assert server.post("sendgrid", body, **headers).json() == {"matched": 1, "unknown": 0}
    assert server.post("sendgrid", body + b" ", **headers).status_code == 401
    assert server.post("sendgrid", body, **{**headers, f"{name}Timestamp": "1600000001"}).status_code == 401
    assert server.post("sendgrid", body).status_code == 401
    # a wrong key is wrong, whatever is signed
    assert server.post("sendgrid", body, authorization="Bearer tl_x", **headers).status_code == 401


def test_a_topics_signature_is_enough(server: Server) -> None:
    action = server.mail()
    sent = amazon.signed({**SNS, "Message": json.dumps(about(SES_BOUNCE, action))}, SignatureVersion="2")
    assert server.post("ses", {**sent, "MessageId": "x"}).status_code == 401
    assert server.post("ses", {**sent, "TopicArn": SNS["TopicArn"] + "2"}).status_code == 401
    assert server.post("ses", sent).json() == {"matched": 1, "unknown": 0}
    refused = server.post("ses", b"x" * 2_000_000)
    assert refused.status_code == 413
    confirm = amazon.signed(SNS_CONFIRMATION)
    assert server.post("ses", confirm).json() == {"matched": 0, "unknown": 0}
    assert FETCHED.asked[-1] == SNS_CONFIRMATION["SubscribeURL"]


def test_the_command_reads_a_mail(
    server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    action = server.mail()
    mail = dsn().replace(ACTION.encode(), action.encode())
    monkeypatch.setenv("TOUCHLINE_URL", server.url)
    monkeypatch.setenv("TOUCHLINE_API_KEY", server.feedback)
    named = f"X-Touchline-Action: {action}\r\n".encode()
    long = mail.replace(named, named + b"\r\n" + b"x\r\n" * 1_000_000)
    assert mail_feedback(io.BytesIO(long)) == 0
    assert capsys.readouterr().out == "matched: 1, unknown: 0\n"
    assert server.action(action)["reason"] == "bounced"
    assert mail_feedback(io.BytesIO(b"Subject: Out of office\r\n\r\n")) == 0, "no bounce of a bounce"
    assert capsys.readouterr().out == "matched: 0, unknown: 1\n"
    monkeypatch.setenv("TOUCHLINE_API_KEY", "tl_wrong")
    assert mail_feedback(io.BytesIO(mail)) == TRY_AGAIN
    monkeypatch.setenv("TOUCHLINE_URL", "http://127.0.0.1:9")
    assert mail_feedback(io.BytesIO(mail)) == TRY_AGAIN
