"""Builds a message from an action's content. The same action, begun at the same time, always gives the same bytes.

Nothing in the content can add a header, a recipient or a part. Addresses are validated. Names and the subject are one
line of printable characters, quoted (RFC 5322) or encoded (RFC 2047). Every header holds only printable ASCII. Bodies
are quoted-printable, and the boundary holds `=_`, which no quoted-printable text can. This is written by hand because
`email.message` takes 5 ms a mail, and encodes addresses in `List-Unsubscribe`, which RFC 8058 forbids.
"""

import asyncio
import binascii
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import lru_cache
from typing import Any

import msgspec

from schemas.addresses import BadAddress, valid_address

METADATA = "touchline"  # the name under which providers keep the action's id
NAME_CHARS = 200
SUBJECT_CHARS = 900
_WORD_BYTES = 45  # bytes of UTF-8 in one encoded word, which may have 75 characters
SENDER_ID = "touchline"  # 5 to 15 characters, the same in all mails
_UNFIT = re.compile(r"[^A-Za-z0-9_-]+")
_ASCII = re.compile(r"[ -~]+(?:\r\n [ -~]+)*")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")  # a name of these characters needs no quotes


class Envelope(msgspec.Struct, frozen=True):
    """A message with its SMTP envelope. `sender`: where bounces go, which is not the author of the mail."""

    sender: str
    recipient: str
    above: bytes  # what stands above the Date, which is known only once the mail begins
    below: bytes
    utf8: bool  # an address has characters beyond ASCII: the server needs SMTPUTF8 (RFC 6532)
    sign: Callable[[bytes], bytes] | None = None  # puts a signature above the message; takes milliseconds

    async def whole(self, begun_at: int) -> bytes:
        """The message, signed where it is to be."""
        message = self.message(begun_at)
        return message if self.sign is None else await asyncio.to_thread(self.sign, message)

    def message(self, begun_at: int) -> bytes:
        """The message of a mail whose first attempt began at this moment, in microseconds."""
        return self.above + _date(begun_at // 1_000_000) + self.below


def build(action: str, content: dict[str, Any], return_path: str, mailing: Sequence[str] = ()) -> Envelope:
    """The message for an action's content (see `Rendered`). Raises `BadAddress`.

    `return_path`: the address that bounces go to, whoever the mail is from. `mailing`: by which words mail providers
    are to tell mails of one kind from others.
    """
    sender = _address_of(content.get("from"), _whose(content))
    recipient = _address_of(content.get("to"), "the recipient's address")
    above = [
        ("From", _mailbox(content["from"], sender)),
        ("To", _mailbox(content["to"], recipient)),
        ("Subject", _encoded(_line(content.get("subject"), SUBJECT_CHARS))),
    ]
    domain = sender.rpartition("@")[2]
    below = [
        ("Message-ID", f"<{action}@{domain}>"),
        *_marks(action, content),
        *_kind(content, domain, mailing),
        ("MIME-Version", "1.0"),
        ("Content-Type", f'multipart/alternative; boundary="=_{action}"'),
    ]
    utf8 = not (return_path + sender + recipient).isascii()
    head, rest = _headers(above, utf8=utf8), _headers(below, utf8=utf8)
    return Envelope(return_path, recipient, head, rest + _parts(action, content), utf8)


@lru_cache  # mails that begin together have the same
def _date(second: int) -> bytes:
    return _headers([("Date", format_datetime(datetime.fromtimestamp(second, UTC)))], utf8=False)


def _address_of(person: object, whose: str) -> str:
    """A person's address. Raises `BadAddress`, which names the wrong address by `whose`.

    A recipient is not to blame for a mistyped owner.
    """
    found = person.get("email") if isinstance(person, dict) else None
    try:
        return valid_address(found)
    except BadAddress as error:
        shown = f" {found!r}" if isinstance(found, str) else ""
        raise BadAddress(f"{whose}{shown}: {error}") from None


def _whose(content: dict[str, Any]) -> str:
    """The name of the sender's address in an error: the sender may be the owner."""
    owner, sender = content.get("reply_to"), content.get("from")
    is_owners = (
        isinstance(owner, dict) and isinstance(sender, dict) and owner.get("email") == sender.get("email")
    )
    return "the owner's address" if is_owners else "the sender's address"


def _marks(action: str, content: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Headers for machines: that a machine wrote this (RFC 3834), and how to unsubscribe (RFC 8058)."""
    if content.get("reply_to"):
        yield (
            "Reply-To",
            _mailbox(content["reply_to"], _address_of(content["reply_to"], "the owner's address")),
        )
    yield "Auto-Submitted", "auto-generated"
    yield "X-Auto-Response-Suppress", "OOF, AutoReply"
    yield "X-Touchline-Action", action
    yield from _returned(action)
    url = content.get("unsubscribe_url")
    if isinstance(url, str) and url:
        yield "Precedence", "bulk"
        yield "List-Unsubscribe", f"<{url}>"
        yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"


def _kind(content: dict[str, Any], domain: str, mailing: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Headers that tell which mails are of one kind: for filters of readers (RFC 2919) and reports of providers."""
    if not content.get("unsubscribe_url"):
        return
    if content.get("topic"):
        yield "List-Id", f"<{_label(content['topic'])}.{domain}>"
    if mailing:
        yield "Feedback-ID", ":".join([*map(_label, mailing), SENDER_ID])


@lru_cache(1_024)
def _label(text: str) -> str:
    return _UNFIT.sub("-", text).strip("-")[:NAME_CHARS] or "mail"


def _returned(action: str) -> Iterator[tuple[str, str]]:
    """Headers that providers give back with a bounce or a complaint: Postmark, SendGrid, Mailgun, Amazon SES.

    Most of them replace the Message-ID.
    """
    yield f"X-PM-Metadata-{METADATA}", action
    yield "X-SMTPAPI", f'{{"unique_args": {{"{METADATA}": "{action}"}}}}'
    yield "X-Mailgun-Variables", f'{{"{METADATA}": "{action}"}}'
    yield "X-SES-MESSAGE-TAGS", f"{METADATA}={action}"


def _headers(headers: Iterable[tuple[str, str]], *, utf8: bool) -> bytes:
    """Header lines. Only `_encoded` may fold one; everything else must be printable."""
    lines = []
    for name, value in headers:
        if not (_ASCII.fullmatch(value) or (utf8 and all(map(str.isprintable, value.split("\r\n "))))):
            raise BadAddress(f"{name} has characters that no header has")
        lines.append(f"{name}: {value}\r\n")
    return "".join(lines).encode()


def _mailbox(person: dict[str, Any], address: str) -> str:
    name = _line(person.get("name"), NAME_CHARS)
    if not name:
        return address
    if _ATOMS.fullmatch(name) and "=?" not in name:
        return f"{name} <{address}>"
    if name.isascii() and "=?" not in name:
        quoted = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{address}>'
    return f"{_encoded(name)} <{address}>"


def _line(text: object, limit: int) -> str:
    """The text as one line of printable characters; an unpaired surrogate, which no encoding has, becomes `?`."""
    bare = str(text or "")
    if not bare.isprintable():
        bare = "".join(mark if mark.isprintable() else " " for mark in bare)
    return " ".join(bare.encode("utf-8", "replace").decode().split())[:limit]


def _encoded(text: str) -> str:
    """Text for a header: as it is if it is ASCII that cannot be mistaken for encoded words, else encoded (RFC 2047)."""
    if text.isascii() and "=?" not in text:
        return text or " "
    words, word = [], b""
    for mark in text:
        raw = mark.encode()
        if len(word) + len(raw) > _WORD_BYTES:
            words.append(word)
            word = b""
        word += raw
    return "\r\n ".join(f"=?utf-8?b?{b64encode(part).decode()}?=" for part in (*words, word))


def _parts(action: str, content: dict[str, Any]) -> bytes:
    mark = f"\r\n--=_{action}".encode()
    pieces = []
    for kind, subtype in (("text", "plain"), ("html", "html")):
        pieces += [
            mark,
            f'\r\nContent-Type: text/{subtype}; charset="utf-8"\r\n'.encode(),
            b"Content-Transfer-Encoding: quoted-printable\r\n\r\n",
            _quoted(str(content.get(kind) or "")),
        ]
    return b"".join((*pieces, mark, b"--\r\n"))


def _quoted(text: str) -> bytes:
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    return binascii.b2a_qp(lines.encode("utf-8", "replace"), istext=True).replace(b"\n", b"\r\n")
