"""Who is signed in: a cookie that holds the API key, encrypted, so that no process has to remember anybody.

Fernet (AES-CBC with HMAC, and the time in the token) under a key derived from `TOUCHLINE_SECRET_KEY`. The token of
forms is an HMAC of the session's nonce: another session's, or none, does not fit.
"""

import base64
import hashlib
import hmac
import secrets

import msgspec
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

LASTS_S = 43_200  # 12 hours
SAID_S = 120  # a message for the next page


class Session(msgspec.Struct, frozen=True):
    """A signed-in person: the API key, and a nonce of this session."""

    key: str
    nonce: str


class Sessions:
    """Makes and reads cookies. `secret`: any bytes; what is made with it is read with the same only."""

    def __init__(self, secret: bytes) -> None:
        self._box = Fernet(base64.urlsafe_b64encode(_derived(secret, b"touchline console session")))
        self._messages = Fernet(base64.urlsafe_b64encode(_derived(secret, b"touchline console message")))
        self._tokens = _derived(secret, b"touchline console form")

    def begin(self, key: str) -> tuple[Session, str]:
        """A new session, and its cookie."""
        session = Session(key, secrets.token_urlsafe(16))
        return session, self._box.encrypt(msgspec.json.encode(session)).decode()

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie; None if it is missing, forged or older than `LASTS_S`."""
        try:
            text = self._box.decrypt((cookie or "").encode(), ttl=LASTS_S)
            return msgspec.json.decode(text, type=Session)
        except (InvalidToken, UnicodeEncodeError, msgspec.DecodeError):
            return None

    def token(self, session: Session) -> str:
        """What every form of this session carries."""
        return hmac.new(self._tokens, session.nonce.encode(), hashlib.sha256).hexdigest()

    def fits(self, session: Session, token: str) -> bool:
        """Whether a form's token is this session's."""
        return hmac.compare_digest(self.token(session).encode(), token.encode("utf-8", "replace"))

    def message(self, token: str, text: str) -> str:
        """A cookie that tells the next page of the session with this token what was done."""
        return self._messages.encrypt(f"{token} {text}".encode()).decode()

    def read_message(self, token: str, cookie: str | None) -> str | None:
        """What a message's cookie says; None if there is none, it is old, or another session's."""
        try:
            said = self._messages.decrypt((cookie or "").encode(), ttl=SAID_S).decode()
        except (InvalidToken, UnicodeError):
            return None
        whose, _, text = said.partition(" ")
        return text if whose == token else None


def _derived(secret: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret)
