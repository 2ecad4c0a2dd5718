"""The signature of Standard Webhooks 1.0.0: HMAC-SHA256 over `id.timestamp.body`, base64, `v1,` before it."""

import hashlib
import hmac
from base64 import b64decode, b64encode

PREFIX = "whsec_"


def signed_headers(action: str, timestamp: int, body: bytes, secret: str) -> dict[str, str]:
    """The three headers of the standard.

    The message id is the action's, the same at every attempt. `timestamp` is the attempt's, in seconds. `secret` is
    base64, with or without `whsec_`.
    """
    key = b64decode(secret.removeprefix(PREFIX) + "==")
    digest = hmac.new(key, f"{action}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return {
        "webhook-id": action,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }
