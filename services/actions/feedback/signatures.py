"""Whether SendGrid or Mailgun has sent a report. Pure: the time is an argument.

https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook-security-features
https://documentation.mailgun.com/docs/mailgun/user-manual/webhooks/securing-webhooks
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePublicKey

from backbone.errors import Unauthorized
from services.actions.feedback.report import part

SENDGRID_SIGNATURE = "x-twilio-email-event-webhook-signature"
SENDGRID_TIME = "x-twilio-email-event-webhook-timestamp"
FRESH_US = 300_000_000  # how far Mailgun's time may be off, either way
_LONGEST = 1_000  # characters of anything in a signature


class Unsigned(Unauthorized):
    """Nobody whom we know. The caller may try again with a key: SNS sends one only if it is asked for a password."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Both ways of giving a key."""
        return {"WWW-Authenticate": 'Bearer realm="touchline", Basic realm="touchline"'}


class SignedToken(NamedTuple):
    """What Mailgun has signed: not the body, but a token that is good for one body."""

    token: str
    at: int  # microseconds


def is_sendgrids(key: EllipticCurvePublicKey, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether the key's owner has signed this body. `headers`: their names in lower case."""
    try:
        signature = base64.b64decode(headers.get(SENDGRID_SIGNATURE, "")[:_LONGEST], validate=True)
        signed = headers.get(SENDGRID_TIME, "")[:_LONGEST].encode() + body
        key.verify(signature, signed, ECDSA(hashes.SHA256()))
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def mailguns_token(key: str, body: object, now: int) -> SignedToken | None:
    """The token in a body, if Mailgun has signed it within the last five minutes; None otherwise.

    An event of a subaccount is signed by its own key and by that of the account above it; either will do.
    """
    given = part(body, "signature")
    token, time = given.get("token"), given.get("timestamp")
    if not isinstance(token, str) or not isinstance(time, str | int) or isinstance(time, bool):
        return None
    text = str(time)
    if not (text.isascii() and text.isdigit() and len(text) < 12 and token and len(token) <= _LONGEST):
        return None
    made = hmac.new(key.encode(), f"{text}{token}".encode("utf-8", "replace"), hashlib.sha256).hexdigest()
    signatures = [given.get(name) for name in ("signature", "parent-signature")]
    good = [hmac.compare_digest(made.encode(), one.encode()) for one in signatures if isinstance(one, str)]
    at = int(text) * 1_000_000
    return SignedToken(token, at) if any(good) and abs(now - at) <= FRESH_US else None
