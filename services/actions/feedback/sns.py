"""Amazon SNS, by which SES reports: is a message signed, and by a topic of ours?

https://docs.aws.amazon.com/sns/latest/dg/sns-verify-signature-of-message.html

Certificates and confirmations are fetched from Amazon's own hosts alone, and only for topics that are ours: what a
message says is no reason to call anybody else.
"""

import base64
import binascii
import re
import threading
import time
from collections.abc import Callable, Collection, Mapping
from typing import Any
from urllib.parse import urlsplit

import httpx
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.x509 import load_pem_x509_certificate

from backbone.errors import Forbidden, Unavailable
from backbone.web.bodies import NotJson, parse_json
from services.actions.feedback.signatures import Unsigned

Fetch = Callable[[str], bytes]
FETCH_S = 5.0
MAX_FETCHED = 65_536  # bytes
KNOWN = 16  # certificates
_ARN = re.compile(r"arn:(aws[a-z-]*):sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
# Paths with their queries.
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[A-Za-z0-9]{1,64}\.pem\?")
_CONFIRMATION = re.compile(r"/?\?Action=ConfirmSubscription&[!-~]*")
_HASHES: Mapping[str, hashes.HashAlgorithm] = {
    "1": hashes.SHA1(),  # noqa: S303  a topic signs with it unless its owner asks for the other
    "2": hashes.SHA256(),
}
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]
_HELLO = "Successfully validated SNS topic for Amazon SES event publishing."


class SnsTopics:
    """The topics that may report to us; none: only callers with an API key may.

    `fetch` gets what lies at an address, which is always one of Amazon's. `now`: the time, in microseconds.
    """

    def __init__(self, topics: Collection[str], fetch: Fetch, now: Callable[[], int]) -> None:
        self._topics, self._fetch, self._now = frozenset(topics), fetch, now
        self._known: dict[str, tuple[RSAPublicKey, int]] = {}  # certificates' keys, and until when they hold
        self._lock = threading.Lock()

    def check(self, body: bytes) -> None:
        """Raise `Unsigned` unless one of our topics has signed this. Blocks while a certificate is fetched."""
        message = _read(body)
        topic = str(message.get("TopicArn"))
        if topic not in self._topics:
            raise Unsigned("no API key, and no topic that TOUCHLINE_SES_TOPICS names")
        algorithm = _HASHES.get(str(message.get("SignatureVersion")))
        names = _SIGNED.get(str(message.get("Type")))
        url = message.get("SigningCertURL")
        if algorithm is None or names is None or not _is_amazons(url, topic, _CERTIFICATE):
            raise Unsigned("the message is signed in no way that Amazon SNS signs")
        try:
            signature = base64.b64decode(str(message.get("Signature")), validate=True)
            self._key(str(url)).verify(signature, _signed(message, names), PKCS1v15(), algorithm)
        except (InvalidSignature, binascii.Error, ValueError):
            raise Unsigned("the signature does not fit the message") from None

    def opened(self, body: bytes) -> object:
        """What SES says in a message that was checked, or came with a key; None: nothing that is a report.

        Confirms the subscription where the message asks for it. Raises `NotJson`, and `Forbidden` for a topic that
        is not ours or an address that is not Amazon's.
        """
        message: object = parse_json(body)
        if not isinstance(message, dict) or "Type" not in message:
            return message  # SNS delivers it raw, or somebody else does
        if self._topics and str(message.get("TopicArn")) not in self._topics:
            raise Forbidden("the topic is none that TOUCHLINE_SES_TOPICS names")
        if message["Type"] == "SubscriptionConfirmation":
            self._confirm(message)
        if message["Type"] != "Notification" or message.get("Message") == _HELLO:
            return None
        try:
            inner: object = parse_json(str(message.get("Message")).encode("utf-8", "replace"))
        except NotJson:
            return ""  # somebody's own message to the topic
        return inner

    def _confirm(self, message: Mapping[str, Any]) -> None:
        url, topic = message.get("SubscribeURL"), str(message.get("TopicArn"))
        if not _is_amazons(url, topic, _CONFIRMATION):
            raise Forbidden("the confirmation leads to no address of Amazon SNS")
        self._fetch(str(url))

    def _key(self, url: str) -> RSAPublicKey:
        """The key of a certificate. Raises `ValueError` if it is none, or does not hold now."""
        with self._lock:
            known = self._known.get(url)
        if known is None:
            found = load_pem_x509_certificate(self._fetch(url))
            key = found.public_key()
            if (
                not isinstance(key, RSAPublicKey)
                or found.not_valid_before_utc.timestamp() > self._now() / 1e6
            ):
                raise ValueError("the certificate does not hold")
            known = key, int(found.not_valid_after_utc.timestamp() * 1e6)
            with self._lock:
                if len(self._known) >= KNOWN:
                    self._known.clear()
                self._known[url] = known
        if known[1] < self._now():
            raise ValueError("the certificate holds no longer")
        return known[0]


def _read(body: bytes) -> dict[str, Any]:
    try:
        message = parse_json(body)
    except NotJson:
        message = None
    return message if isinstance(message, dict) else {}


def _signed(message: Mapping[str, Any], names: Collection[str]) -> bytes:
    """What was signed: names and values on lines of their own; a subject only where there is one."""
    present = [name for name in names if message.get(name) is not None]
    return "".join(f"{name}\n{message[name]}\n" for name in present).encode("utf-8", "replace")


def _is_amazons(url: object, topic: str, path: re.Pattern[str]) -> bool:
    """Whether this is an address, with this path and query, of the SNS in the region of the topic."""
    arn = _ARN.fullmatch(topic)
    if arn is None or not isinstance(url, str) or not url.isascii() or not url.isprintable():
        return False
    try:
        parts = urlsplit(url)
        plain = parts.port is None and parts.username is None and parts.password is None
    except ValueError:
        return False
    host = f"sns.{arn[2]}.amazonaws.com{'.cn' if arn[1] == 'aws-cn' else ''}"
    whole = parts.scheme == "https" and parts.netloc == host and plain and not parts.fragment
    return whole and path.fullmatch(f"{parts.path}?{parts.query}") is not None


def https_get(url: str) -> bytes:
    """What lies at an address: at most 64 KiB, within five seconds, without redirects. Raises `Unavailable`."""
    deadline = time.monotonic() + FETCH_S
    found = bytearray()
    try:
        with (
            httpx.Client(timeout=FETCH_S, trust_env=False, headers={"Accept-Encoding": "identity"}) as client,
            client.stream("GET", url) as answer,
        ):
            for piece in answer.iter_raw():
                found += piece
                if len(found) > MAX_FETCHED or time.monotonic() > deadline:
                    raise Unavailable("Amazon SNS answers too much, or too slowly")
    except httpx.HTTPError as error:
        raise Unavailable(f"Amazon SNS cannot be reached ({type(error).__name__})") from None
    if answer.status_code != httpx.codes.OK:
        raise Unavailable(f"Amazon SNS answers {answer.status_code}")
    return bytes(found)
