"""The tokens in unsubscribe links: signed and short. They hold no address, since links end up in log files."""

import binascii
import hashlib
import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode

import msgspec

PREVIEW = "preview"  # in place of a token, in mails that nobody receives
_SIGNATURE = 16  # bytes
_LONGEST = 1_000


def preview_link(base_url: str) -> str:
    """The link in a mail that nobody receives: it unsubscribes nobody."""
    return f"{base_url}/u/{PREVIEW}"


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """The content of a token: the hash of the address, the action that sent the link, and the topic."""

    digest: str
    action: str
    topic: str


_decoder = msgspec.msgpack.Decoder(Claim)


class Tokens:
    """Makes and reads tokens. `key`: the secret of this installation."""

    def __init__(self, key: bytes) -> None:
        self._key = hmac.new(key, b"touchline unsubscribe", hashlib.sha256).digest()

    def make(self, claim: Claim) -> str:
        """The token; the same claim always gives the same one."""
        payload = msgspec.msgpack.encode(claim)
        return urlsafe_b64encode(self._sign(payload) + payload).rstrip(b"=").decode()

    def read(self, token: str) -> Claim | None:
        """The claim in a token; None if we did not make the token."""
        if len(token) > _LONGEST or not token.isascii():
            return None
        try:
            raw = urlsafe_b64decode(token + "=" * (-len(token) % 4))
            signature, payload = raw[:_SIGNATURE], raw[_SIGNATURE:]
            return _decoder.decode(payload) if hmac.compare_digest(signature, self._sign(payload)) else None
        except (binascii.Error, msgspec.DecodeError):
            return None

    def _sign(self, payload: bytes) -> bytes:
        return hmac.new(self._key, payload, hashlib.sha256).digest()[:_SIGNATURE]
