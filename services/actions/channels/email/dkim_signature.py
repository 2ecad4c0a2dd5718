"""Signs mails with DKIM (RFC 6376), so that their receivers can tell that they are ours and unchanged."""

import re
from typing import Protocol

import dkim

SIGNED = (
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "reply-to",
    "list-unsubscribe",
    "list-unsubscribe-post",
)
# Signed once more than they are there, so that nobody can add another one: readers may be shown the wrong one of two.
_ONLY = SIGNED[:6]
_NAME = re.compile(rb"^([!-9;-~]+):", re.MULTILINE)


class Mailed(Protocol):
    """The settings that are about signatures."""

    @property
    def dkim(self) -> "tuple[bytes, str, str] | None":
        """The key in PEM, the selector and the domain; None: mails are not signed."""
        ...


class DkimSigner:
    """Signs with one key. `selector` and `domain` say where receivers find its public half."""

    def __init__(self, key: bytes, selector: str, domain: str) -> None:
        self._key, self._selector, self._domain = key, selector.encode(), domain.encode()

    @classmethod
    def of(cls, settings: Mailed) -> "DkimSigner | None":
        """The signer that the settings ask for."""
        return None if settings.dkim is None else cls(*settings.dkim)

    def signed(self, message: bytes) -> bytes:
        """The message with its signature above it. Takes some milliseconds of processor time."""
        head = message.partition(b"\r\n\r\n")[0]
        there = [name.decode().lower() for name in _NAME.findall(head)]
        wanted = [name for name in there if name in SIGNED]
        wanted += [name for name in SIGNED if name in _ONLY or name in there]
        signature: bytes = dkim.sign(
            message,
            self._selector,
            self._domain,
            self._key,
            canonicalize=(b"relaxed", b"relaxed"),
            signature_algorithm=b"rsa-sha256",
            include_headers=wanted,
        )
        return signature + message
