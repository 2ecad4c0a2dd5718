"""Whose signature is good, and for how long."""

import base64
import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from backbone.errors import ConfigurationError
from backbone.public_keys import elliptic_key
from backbone.settings import load_settings
from services.actions.feedback.signatures import (
    FRESH_US,
    SENDGRID_SIGNATURE,
    SENDGRID_TIME,
    SignedToken,
    is_sendgrids,
    mailguns_token,
)

# The vector of SendGrid's own libraries: https://socket.dev/npm/package/@sendgrid/eventwebhook
SENDGRID_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEEDr2LjtURuePQzplybdC+u4CwrqDqBaWjcMMsTbhdbcwHBcepxo7yAQGhHPTnlvFYPAZFceEu/1F"
    "wCM/QmGUhA=="
)
SENDGRID_BODY = b'{"category":"example_payload","event":"test_event","message_id":"message_id"}'
SENDGRID_HEADERS = {
    SENDGRID_SIGNATURE: "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRamr2nlxFDWYNH2"
    "j/0=",
    SENDGRID_TIME: "1588788367",
}
NOW = 1_790_000_000_000_000
KEY = "key-of-mailgun"


def test_sendgrids_own_vector() -> None:
    key = elliptic_key(SENDGRID_KEY)
    assert is_sendgrids(key, SENDGRID_HEADERS, SENDGRID_BODY)
    assert not is_sendgrids(key, SENDGRID_HEADERS, SENDGRID_BODY + b" ")
    assert not is_sendgrids(key, SENDGRID_HEADERS | {SENDGRID_TIME: "1588788368"}, SENDGRID_BODY)
    assert not is_sendgrids(key, {}, SENDGRID_BODY)
    for odd in ("", "=", "ä", "MEUC", "MEUCIQCt" * 50, SENDGRID_HEADERS[SENDGRID_SIGNATURE][:-4]):
        assert not is_sendgrids(key, SENDGRID_HEADERS | {SENDGRID_SIGNATURE: odd}, SENDGRID_BODY)


def test_another_key_is_not_sendgrids() -> None:
    own = ec.generate_private_key(ec.SECP256R1())
    signature = own.sign(b"1588788367" + SENDGRID_BODY, ec.ECDSA(hashes.SHA256()))
    headers = SENDGRID_HEADERS | {SENDGRID_SIGNATURE: base64.b64encode(signature).decode()}
    assert is_sendgrids(own.public_key(), headers, SENDGRID_BODY)
    assert not is_sendgrids(elliptic_key(SENDGRID_KEY), headers, SENDGRID_BODY)


def test_the_key_is_taken_as_people_paste_it() -> None:
    pem = f"-----BEGIN PUBLIC KEY-----\n{SENDGRID_KEY[:64]}\n{SENDGRID_KEY[64:]}\n-----END PUBLIC KEY-----\n"
    for text in (SENDGRID_KEY, pem, pem.replace("\n", "\\n")):
        assert load_settings(sendgrid_public_key=text).sendgrid_public_key == text
    other = rsa.generate_private_key(65_537, 2_048).public_key()
    of_rsa = base64.b64encode(other.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    for text in ("x", "MFkw", SENDGRID_KEY[:-8], of_rsa):
        with pytest.raises(ConfigurationError, match="TOUCHLINE_SENDGRID_PUBLIC_KEY"):
            load_settings(sendgrid_public_key=text)


def test_topics_are_arns() -> None:
    arn = "arn:aws:sns:eu-west-1:123456789012:bounces"
    assert load_settings(ses_topics=f"{arn}, {arn}2").ses_topics == (arn, f"{arn}2")
    for text in ("bounces", "arn:aws:sqs:eu-west-1:123456789012:bounces", f"{arn},x"):
        with pytest.raises(ConfigurationError, match="TOUCHLINE_SES_TOPICS"):
            load_settings(ses_topics=text)


def signed(at: int = NOW // 1_000_000, token: str = "t" * 50, key: str = KEY, **more: Any) -> dict[str, Any]:
    made = hmac.new(key.encode(), f"{at}{token}".encode(), hashlib.sha256).hexdigest()
    return {"signature": {"timestamp": str(at), "token": token, "signature": made, **more}}


def test_mailgun_signs_a_token_and_a_time() -> None:
    assert mailguns_token(KEY, signed(), NOW) == SignedToken("t" * 50, NOW)
    own = signed(key="of the subaccount")["signature"]["signature"]
    above = signed(signature=own, **{"parent-signature": signed()["signature"]["signature"]})
    assert mailguns_token(KEY, above, NOW) is not None


@pytest.mark.parametrize("off", [-FRESH_US - 1_000_000, FRESH_US + 1_000_000, -86_400_000_000])
def test_an_old_time_or_one_ahead_is_refused(off: int) -> None:
    body = signed((NOW + off) // 1_000_000)
    assert mailguns_token(KEY, body, NOW) is None
    assert mailguns_token(KEY, body, NOW + off) is not None


@pytest.mark.parametrize(
    "body",
    [
        signed(key="another"),
        signed(token=""),
        signed(signature=None),
        signed(signature=""),
        signed(signature="ä" * 64),
        signed(timestamp=None),
        signed(timestamp=True),
        signed(timestamp="soon"),
        signed(timestamp="9" * 30),
        signed(token=None),
        {"signature": "x"},
        {},
        [],
        None,
    ],
)
def test_anything_else_is_refused(body: object) -> None:
    assert mailguns_token(KEY, body, NOW) is None
