"""DKIM: signed over exactly what is named, so that nothing of it can be changed or added; and keys that are none."""

import base64
import email
import email.policy
import re
from functools import cache
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from backbone.errors import ConfigurationError
from backbone.settings import load_settings
from services.actions.channels.email.channel import email_channel
from services.actions.channels.email.message import build
from tests.unit.channels.helpers import RETURN_PATH, deliver, leased, mail, surroundings
from tests.unit.channels.peers import peer_of

NAMED = {
    *("from", "to", "subject", "date", "message-id", "reply-to"),
    *("list-unsubscribe", "list-unsubscribe-post"),
}


@cache
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(made: Any = None, form: PrivateFormat = PrivateFormat.PKCS8, lock: Any = None) -> str:
    return str((made or key()).private_bytes(Encoding.PEM, form, lock or NoEncryption()).decode())


def dns(name: bytes, timeout: int = 5) -> bytes | None:
    """What stands in the DNS."""
    if name != b"s1._domainkey.us.test.":
        return None
    public = key().public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return b"v=DKIM1; k=rsa; p=" + base64.b64encode(public)


def settings_of(given: str) -> dict[str, str]:
    return {"dkim_key": given, "dkim_selector": "s1", "dkim_domain": "us.test"}


async def sent(tmp_path: Path, action: Any = None, **settings: str) -> bytes:
    channel = email_channel(surroundings(tmp_path, **(settings or settings_of(pem()))))
    assert (await deliver(channel, action or leased())).kind == "done"
    (file,) = tmp_path.glob("outbox/*.eml")
    return file.read_bytes()


def signed_headers(message: bytes) -> list[str]:
    signature = email.message_from_bytes(message, policy=email.policy.default)["DKIM-Signature"]
    (found,) = re.findall(r"[ ;]h=([^;]*);", signature)
    return [name.strip() for name in found.split(":")]


async def test_a_receiver_can_tell_that_the_mail_is_ours(tmp_path: Path) -> None:
    message = await sent(tmp_path)
    assert dkim.verify(message, dnsfunc=dns)
    signature = message.partition(b"From:")[0]
    for tag in (b"a=rsa-sha256", b"d=us.test", b"s=s1", b"c=relaxed/relaxed"):
        assert tag in signature
    assert set(signed_headers(message)) == NAMED


async def test_an_internal_mail_names_no_header_that_it_lacks_but_the_authors(tmp_path: Path) -> None:
    bare = leased(rendered=mail(unsubscribe_url=None, reply_to=None))
    message = await sent(tmp_path, bare)
    assert dkim.verify(message, dnsfunc=dns)
    assert set(signed_headers(message)) == NAMED - {"list-unsubscribe", "list-unsubscribe-post"}


@pytest.mark.parametrize("name", sorted(NAMED))
async def test_nothing_of_it_can_be_changed(tmp_path: Path, name: str) -> None:
    message = await sent(tmp_path)
    line = re.search(rf"(?im)^{name}: ".encode(), message)
    assert line is not None
    assert not dkim.verify(message[: line.end()] + b"x" + message[line.end() :], dnsfunc=dns)
    assert not dkim.verify(message + b"more\r\n", dnsfunc=dns)


@pytest.mark.parametrize("name", ["From", "To", "Subject", "Date", "Message-ID", "Reply-To"])
@pytest.mark.parametrize("reply_to", [None, {"name": None, "email": "jo@us.test"}])
async def test_none_of_it_can_be_added_a_second_time(
    tmp_path: Path, name: str, reply_to: dict[str, Any] | None
) -> None:
    message = await sent(tmp_path, leased(rendered=mail(reply_to=reply_to)))
    added = f"{name}: evil@evil.test\r\n".encode()
    head, _, rest = message.partition(b"MIME-Version:")
    assert not dkim.verify(added + message, dnsfunc=dns)
    assert not dkim.verify(head + added + b"MIME-Version:" + rest, dnsfunc=dns)


async def test_what_a_relay_adds_breaks_nothing(tmp_path: Path) -> None:
    message = await sent(tmp_path)
    assert dkim.verify(b"Received: from a by b; today\r\nX-Scanned: yes\r\n" + message, dnsfunc=dns)


async def test_addresses_beyond_ascii_and_long_subjects(tmp_path: Path) -> None:
    odd = mail(subject="Grüße " * 40, to={"name": "Änn", "email": "änn@bücher.test"})
    assert dkim.verify(await sent(tmp_path, leased(rendered=odd)), dnsfunc=dns)


async def test_over_smtp_too(tmp_path: Path) -> None:
    with peer_of("email") as server:
        channel = email_channel(surroundings(tmp_path, **server.settings, **settings_of(pem())))
        outcome = await deliver(channel, leased(rendered=mail(text=".dot\n..\n" + "x" * 2000)))
        await channel.close()
        assert outcome.kind == "done"
        (taken,) = server._script.accepted  # type: ignore[attr-defined]
    plain = re.sub(rb"(?m)^\.\.", b".", taken.removesuffix(b"\r\n.\r\n") + b"\r\n")
    assert dkim.verify(plain, dnsfunc=dns)


async def test_without_a_key_nothing_is_signed(tmp_path: Path) -> None:
    assert b"DKIM-Signature" not in await sent(tmp_path, mail_only_to="acme.test")


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_ways_to_give_the_key(tmp_path: Path, form: PrivateFormat) -> None:
    file = tmp_path / "dkim.pem"
    file.write_text(pem(form=form))
    ways = [pem(form=form), pem(form=form).strip().replace("\n", "\\n"), str(file), f" {file}\n"]
    read = {load_settings(**settings_of(way)).dkim_key.get_secret_value() for way in ways}  # type: ignore[union-attr]
    assert read == {pem(form=PrivateFormat.TraditionalOpenSSL)}
    assert "BEGIN" not in repr(load_settings(**settings_of(pem())))


def test_a_wrong_key_is_refused_at_the_start_and_not_shown(tmp_path: Path) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    public = key().public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    cut = pem()[:400] + "\n-----END PRIVATE KEY-----\n"
    bare = "".join(pem().splitlines()[1:-1])
    for given in (
        *(cut, bare, public, pem(other), "nothing", str(tmp_path)),
        *(str(tmp_path / "none.pem"), pem(lock=BestAvailableEncryption(b"x")), "a\0b"),
    ):
        with pytest.raises(ConfigurationError) as refused:
            load_settings(**settings_of(given))
        assert refused.value.message.startswith("TOUCHLINE_DKIM_KEY: should ")
        assert not any(
            line in refused.value.message
            for line in given.splitlines()
            if len(line) > 20 and "/" not in line[:1]
        )


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dkim_selector": None}, "DKIM_SELECTOR: "),
        ({"dkim_domain": None}, "DKIM_DOMAIN: "),
        ({"dkim_key": None}, "DKIM_KEY: "),
        ({"dkim_selector": "s1; d=evil.test"}, "DKIM_SELECTOR: "),
        ({"dkim_domain": "us.test\r\nBcc: x"}, "DKIM_DOMAIN: "),
        ({"dkim_domain": "@us.test"}, "DKIM_DOMAIN: "),
    ],
)
def test_key_selector_and_domain_go_together(change: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        load_settings(**{**settings_of(pem()), **change})


@pytest.mark.parametrize(
    ("topic", "mailing", "list_id", "feedback"),
    [
        (
            "billing",
            ["invoice-overdue", "0", "billing"],
            "<billing.us.test>",
            "invoice-overdue:0:billing:touchline",
        ),
        (
            "Product news",
            ["a:b", "c d", "Product news"],
            "<Product-news.us.test>",
            "a-b:c-d:Product-news:touchline",
        ),
        ("a..b", [], "<a-b.us.test>", None),
        (None, [], None, None),
    ],
)
def test_mails_of_one_kind_say_so(
    topic: str | None, mailing: list[str], list_id: str | None, feedback: str | None
) -> None:
    made = build("act_1", mail(topic=topic), RETURN_PATH, mailing)
    message = email.message_from_bytes(made.message(0), policy=email.policy.default)
    assert (message["List-Id"], message["Feedback-ID"]) == (list_id, feedback)
    internal = build("act_1", mail(topic=topic, unsubscribe_url=None), RETURN_PATH, mailing)
    assert b"List-Id" not in internal.message(0)
    assert b"Feedback-ID" not in internal.message(0)
