"""Signs mails with DKIM (RFC 6376), so that their receivers can tell that they are ours and unchanged."""

import re

import dkim

from backbone.mail_settings import MailSettings

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


class DkimSigner:
    """Signs with one key. `selector` and `domain` say where receivers find its public half."""

    def __init__(self, key: bytes, selector: str, domain: str) -> None:
        self._key, self._selector, self._domain = key, selector.encode(), domain.encode()

    @classmethod
    def of(cls, settings: MailSettings) -> "DkimSigner | None":
        """The signer that the settings ask for; None: mails are not signed."""
        key, selector, domain = settings.dkim_key, settings.dkim_selector, settings.dkim_domain
        if key is None or selector is None or domain is None:
            return None
        return cls(key.get_secret_value().encode(), selector, domain)

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
