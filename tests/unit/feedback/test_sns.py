"""Messages of Amazon SNS: only our topics', with a certificate from Amazon's own hosts."""

import base64
import datetime as dt
import json
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from backbone.errors import Forbidden, Unauthorized, Unavailable
from backbone.web.bodies import NotJson
from services.actions.feedback.sns import SnsTopics
from tests.unit.feedback.samples import SES_BOUNCE, SNS, SNS_CONFIRMATION

TOPIC = SNS["TopicArn"]
NOW = 1_790_000_000_000_000
KEY = rsa.generate_private_key(65_537, 2_048)
FIELDS = ("Message", "MessageId", "Subject", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


def certificate(until: int = 30) -> bytes:
    """A certificate of `KEY` that holds for so many days from now."""
    now = dt.datetime.fromtimestamp(NOW / 1e6, dt.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder(
        name, name, KEY.public_key(), 1, now - dt.timedelta(90), now + dt.timedelta(until)
    )
    return made.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


def signed(message: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The message with Amazon's signature, as its page says it is made."""
    made = {"Message": json.dumps(SES_BOUNCE), **message, **changes}
    lines = [f"{name}\n{made[name]}\n" for name in FIELDS if made.get(name) is not None]
    algorithm = hashes.SHA1() if made["SignatureVersion"] == "1" else hashes.SHA256()
    signature = KEY.sign("".join(lines).encode(), padding.PKCS1v15(), algorithm)
    return {**made, "Signature": base64.b64encode(signature).decode()}


class Amazon:
    """What would be fetched; nothing leaves this machine."""

    def __init__(self, answer: bytes | Exception | None = None) -> None:
        self.answer = certificate() if answer is None else answer
        self.asked: list[str] = []

    def __call__(self, url: str) -> bytes:
        self.asked.append(url)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def topics(amazon: Amazon, *own: str) -> SnsTopics:
    return SnsTopics(own or (TOPIC,), amazon, lambda: NOW)


def body(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


@pytest.mark.parametrize("version", ["1", "2"])
@pytest.mark.parametrize("subject", [None, "Amazon SES Email Event Notification"])
def test_a_signed_message_is_read(version: str, subject: str | None) -> None:
    amazon = Amazon()
    ours = topics(amazon)
    sent = body(signed(SNS, SignatureVersion=version, Subject=subject))
    for _ in range(3):
        ours.check(sent)
        assert ours.opened(sent) == SES_BOUNCE
    assert amazon.asked == [SNS["SigningCertURL"]]  # once


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("Message", "{}"),
        ("MessageId", "x"),
        ("Timestamp", "2012-05-02T00:54:07.655Z"),
        ("Subject", "x"),
        ("Type", "UnsubscribeConfirmation"),
        ("SignatureVersion", "2"),
        ("SignatureVersion", "3"),
        ("Signature", None),
        ("Signature", "AAAA"),
        ("Signature", "ä"),
    ],
)
def test_what_was_changed_is_refused(name: str, value: object) -> None:
    with pytest.raises(Unauthorized):
        topics(Amazon()).check(body({**signed(SNS), name: value}))


@pytest.mark.parametrize("topic", ["arn:aws:sns:us-west-2:123456789012:Other", "", None, 7, ["x"]])
def test_another_topic_is_refused_before_anything_is_fetched(topic: object) -> None:
    amazon = Amazon()
    with pytest.raises(Unauthorized):
        topics(amazon).check(body(signed(SNS, TopicArn=topic)))
    assert amazon.asked == []


def test_without_topics_nobody_may_sign() -> None:
    amazon = Amazon()
    with pytest.raises(Unauthorized) as refused:
        SnsTopics((), amazon, lambda: NOW).check(body(signed(SNS)))
    assert "Basic" in refused.value.headers["WWW-Authenticate"]  # SNS sends a password only if asked for one
    assert amazon.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.us-west-2.amazonaws.com/SimpleNotificationService-1a.pem",
        "https://sns.us-west-2.amazonaws.com.evil.test/SimpleNotificationService-1a.pem",
        "https://evil.test/sns.us-west-2.amazonaws.com/SimpleNotificationService-1a.pem",
        "https://sns.us-west-2.amazonaws.com@evil.test/SimpleNotificationService-1a.pem",
        "https://user:pw@sns.us-west-2.amazonaws.com/SimpleNotificationService-1a.pem",
        "https://sns.us-west-2.amazonaws.com:8443/SimpleNotificationService-1a.pem",
        "https://sns.us-west-2.amazonaws.com:/SimpleNotificationService-1a.pem",
        "https://sns.eu-west-1.amazonaws.com/SimpleNotificationService-1a.pem",
        "https://s3.us-west-2.amazonaws.com/SimpleNotificationService-1a.pem",
        "https://sns.us-west-2.amazonaws.com/bucket/SimpleNotificationService-1a.pem",
        "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1a.pem?x=1",
        "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1a.pem#x",
        "https://sns.us-west-2.amazonaws.com/../SimpleNotificationService-1a.pem",
        "https://sns.us-west-2.amazonaws.com\\@evil.test/SimpleNotificationService-1a.pem",
        "https://sns.us-west-2.amazonaws.com/SimpleNotificationService-1a.pem\n",
        "https://[::1/SimpleNotificationService-1a.pem",
        "file:///etc/passwd",
        "",
        None,
        7,
    ],
)
def test_a_certificate_from_elsewhere_is_never_fetched(url: object) -> None:
    amazon = Amazon()
    with pytest.raises(Unauthorized):
        topics(amazon).check(body(signed(SNS, SigningCertURL=url)))
    assert amazon.asked == []


def test_china_has_its_own_hosts() -> None:
    arn = "arn:aws-cn:sns:cn-north-1:123456789012:MyTopic"
    good = "https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-1a.pem"
    topics(Amazon(), arn).check(body(signed(SNS, TopicArn=arn, SigningCertURL=good)))
    bad = good.replace(".com.cn", ".com")
    with pytest.raises(Unauthorized):
        topics(Amazon(), arn).check(body(signed(SNS, TopicArn=arn, SigningCertURL=bad)))


@pytest.mark.parametrize("answer", [b"", b"no certificate", certificate(until=-1)])
def test_a_certificate_that_does_not_hold_is_refused(answer: bytes) -> None:
    with pytest.raises(Unauthorized):
        topics(Amazon(answer)).check(body(signed(SNS)))


def test_while_amazon_is_away_the_sender_is_asked_to_come_again() -> None:
    amazon = Amazon(Unavailable("away"))
    ours = topics(amazon)
    with pytest.raises(Unavailable):
        ours.check(body(signed(SNS)))
    amazon.answer = certificate()
    ours.check(body(signed(SNS)))


def test_a_subscription_is_confirmed_at_amazons_alone() -> None:
    amazon = Amazon()
    ours = topics(amazon)
    sent = body(signed(SNS_CONFIRMATION))
    ours.check(sent)
    assert ours.opened(sent) is None
    assert amazon.asked == [SNS["SigningCertURL"], SNS_CONFIRMATION["SubscribeURL"]]
    for url in (
        "https://evil.test/?Action=ConfirmSubscription",
        "http://sns.us-west-2.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.eu-west-1.amazonaws.com/?Action=ConfirmSubscription",
        "https://sns.us-west-2.amazonaws.com/?Action=DeleteTopic",
        "https://127.0.0.1/?Action=ConfirmSubscription",
        None,
    ):
        odd = body(signed(SNS_CONFIRMATION, SubscribeURL=url))
        with pytest.raises(Forbidden):
            ours.opened(odd)
    assert len(amazon.asked) == 2


def test_with_a_key_no_signature_is_needed_but_the_topic_still_counts() -> None:
    amazon = Amazon()
    sent = body({**SNS, "Message": json.dumps(SES_BOUNCE)})
    assert topics(amazon).opened(sent) == SES_BOUNCE
    assert SnsTopics((), amazon, lambda: NOW).opened(sent) == SES_BOUNCE
    assert SnsTopics((), amazon, lambda: NOW).opened(body(SES_BOUNCE)) == SES_BOUNCE  # raw delivery
    with pytest.raises(Forbidden):
        topics(amazon, "arn:aws:sns:us-west-2:123456789012:Other").opened(sent)
    assert amazon.asked == []


def test_other_messages_are_no_reports() -> None:
    ours = topics(Amazon())
    hello = "Successfully validated SNS topic for Amazon SES event publishing."
    assert ours.opened(body({**SNS, "Message": hello})) is None
    assert ours.opened(body({**SNS, "Type": "UnsubscribeConfirmation"})) is None
    assert ours.opened(body({**SNS, "Message": "hello"})) == ""
    with pytest.raises(NotJson):
        ours.opened(b"{")
    for odd in (b"", b"{", b"[]", b"7", b"\xff"):
        with pytest.raises(Unauthorized):
            ours.check(odd)
