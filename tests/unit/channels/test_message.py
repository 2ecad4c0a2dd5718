"""No content of an action changes the headers, the recipients or the number of parts of its mail."""

# ruff: noqa: E501  vectors read better in one line
import email
import email.policy
import json
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.addresses import BadAddress, valid_address
from services.actions.channels.email.message import build
from tests.unit.channels.helpers import RETURN_PATH, WHEN, mail

HEADERS = [
    "From", "To", "Subject", "Date", "Message-ID", "Reply-To", "Auto-Submitted", "X-Auto-Response-Suppress",
    "X-Touchline-Action", "X-PM-Metadata-touchline", "X-SMTPAPI", "X-Mailgun-Variables", "X-SES-MESSAGE-TAGS",
    "Precedence", "List-Unsubscribe", "List-Unsubscribe-Post", "MIME-Version", "Content-Type",
]  # fmt: skip
BREAKS = [
    "\r\n",
    "\n",
    "\r",
    "\r\n ",
    "\n\n",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x1e",
    "\x85",
    "\u2028",
    "\u2029",
    "\x00\r\n",
]
ADDED = "Bcc: evil@evil.test"
LINES = [f"x{mark}{ADDED}{mark}y" for mark in BREAKS] + [
    "=?utf-8?q?x=0D=0ABcc:_evil@evil.test?=",
    "=?utf-8?b?DQpCY2M6IGV2aWxAZXZpbC50ZXN0?=",
    '"x" <evil@evil.test>, ',
    'x" <evil@evil.test>, "y',
    "x <evil@evil.test>",
    "x\\",
    'x\\" <evil@evil.test>, "',
    "(comment) x",
    "x;y:z@a.test,evil@evil.test",
    "\ud800x",
    "ü\r\nBcc: evil@evil.test",
    "x" * 5000,
    "ü" * 5000,
]
ADDRESSES = [
    f"ann{mark}Bcc:evil@evil.test" for mark in BREAKS
] + [
    "ann@acme.test\r\nRCPT TO:<evil@evil.test>", "ann@acme.test,evil@evil.test", "ann@acme.test evil@evil.test",
    "ann@acme.test> <evil@evil.test", "<ann@acme.test>", "Ann <ann@acme.test>", "ann@acme.test;evil@evil.test",
    "@evil.test:ann@acme.test", '"ann\r\n"@acme.test', '"ann> evil"@acme.test', "ann@acme.test\x00", "ann@[127.0.0.1]",
    "ann@acme.test SIZE=1", "ann@@acme.test", "ann", "", " ", "ann@", "@acme.test", "ann@acme..test", "a" * 65 + "@acme.test",
    "ann(evil)@acme.test", "ann@acme.test(evil)", "ann@acme .test",
]  # fmt: skip
BODIES = [
    f"x\r\n.\r\nMAIL FROM:<evil@evil.test>{mark}" for mark in ("\r\n", "\n", "\r")
] + [
    "x\r\n--=_act_1\r\nContent-Type: text/html\r\n\r\nevil\r\n--=_act_1--\r\n", "x\n--=_act_1--", "\r\n.\r\n", ".", "..", "\n.\n",
    f"\r\n\r\n{ADDED}", "From evil", "=\r\n", "x\x00y", "\ud800", "x" * 200_000,
]  # fmt: skip


def check(content: dict[str, Any]) -> email.message.EmailMessage:
    """The message, which has the headers, the parts and the recipient that every mail has."""
    envelope = build("act_1", content, RETURN_PATH)
    message = email.message_from_bytes(envelope.message(WHEN), policy=email.policy.default)
    assert message.keys() == HEADERS
    assert message.defects == []
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative", "text/plain", "text/html",
    ]  # fmt: skip
    for name in ("From", "To", "Reply-To"):
        assert len(message[name].addresses) == 1
    assert message["To"].addresses[0].addr_spec == envelope.recipient == "ann@acme.test"
    assert all(len(line) <= 998 for line in envelope.message(WHEN).split(b"\r\n"))
    assert b"\n" not in envelope.message(WHEN).replace(b"\r\n", b"")
    assert b"\r" not in envelope.message(WHEN).replace(b"\r\n", b"")
    assert b"\r\n.\r\n" not in envelope.message(WHEN)
    return message


def test_there_are_two_hundred_injections() -> None:
    for vectors in (LINES, ADDRESSES, BODIES):
        assert len(set(vectors)) == len(vectors)
    assert 4 * len(LINES) + 3 * len(ADDRESSES) + 2 * len(BODIES) >= 240  # each in several places


@pytest.mark.parametrize("text", LINES)
def test_a_subject_stays_one_header(text: str) -> None:
    shown = check(mail(subject=text))["Subject"]
    assert "\n" not in shown


@pytest.mark.parametrize("text", LINES)
@pytest.mark.parametrize("field", ["from", "to", "reply_to"])
def test_a_name_stays_a_name(field: str, text: str) -> None:
    check(mail(**{field: {"name": text, "email": "ann@acme.test"}}))


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("field", ["from", "to", "reply_to"])
def test_what_is_no_address_is_refused(field: str, address: str) -> None:
    with pytest.raises(BadAddress):
        build("act_1", mail(**{field: {"name": None, "email": address}}), RETURN_PATH)


@pytest.mark.parametrize("text", BODIES)
@pytest.mark.parametrize("part", ["text", "html"])
def test_a_body_stays_a_body(part: str, text: str) -> None:
    check(mail(**{part: text}))


@given(st.text(max_size=300), st.text(max_size=60))
def test_any_text_comes_out_as_it_went_in(body: str, subject: str) -> None:
    message = check(mail(text=body, subject=subject))
    part = message.get_body(("plain",))
    assert part is not None
    lines = body.encode("utf-8", "replace").decode().replace("\r\n", "\n").replace("\r", "\n")
    assert part.get_payload(decode=True).decode().replace("\r\n", "\n") == lines  # type: ignore[union-attr]
    bare = " ".join("".join(mark if mark.isprintable() else " " for mark in subject).split())
    assert " ".join(message["Subject"].split()) == bare.encode("utf-8", "replace").decode()


@pytest.mark.parametrize("url", ["https://us.test/u/x\r\nBcc: evil@evil.test", "https://us.test/ü", "x\ny"])
def test_a_link_that_no_header_can_hold_is_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        build("act_1", mail(unsubscribe_url=url), RETURN_PATH)


def test_the_same_action_gives_the_same_bytes() -> None:
    assert build("act_1", mail(), RETURN_PATH) == build("act_1", mail(), RETURN_PATH)
    message = check(mail())
    assert message["Message-ID"] == "<act_1@us.test>"
    assert message["Date"].datetime.timestamp() * 1_000_000 == WHEN
    assert message["List-Unsubscribe"] == "<https://us.test/u/token>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_an_internal_mail_offers_no_unsubscribing() -> None:
    envelope = build("act_1", mail(unsubscribe_url=None, reply_to=None), RETURN_PATH)
    assert b"Unsubscribe" not in envelope.message(WHEN)
    assert b"Reply-To" not in envelope.message(WHEN)


@pytest.mark.parametrize(
    ("written", "taken", "utf8"),
    [
        ("Ann@ACME.test", "Ann@acme.test", False),
        ("ann@bücher.test", "ann@xn--bcher-kva.test", False),
        ("änn@acme.test", "änn@acme.test", True),
        ("ann@mailhost", "ann@mailhost", False),
        ("touchline@localhost", "touchline@localhost", False),  # what mails come from by default
        ("ann@mail.corp.local", "ann@mail.corp.local", False),
        (f"{string.ascii_lowercase}+x@a.test", f"{string.ascii_lowercase}+x@a.test", False),
    ],
)
def test_addresses_are_normalised(written: str, taken: str, utf8: bool) -> None:
    assert valid_address(written) == taken
    assert build("act_1", mail(to={"email": written}), RETURN_PATH).utf8 is utf8


@pytest.mark.parametrize(
    ("at_fault", "whose"),
    [
        ("to", "the recipient's address 'x.test'"),
        ("reply_to", "the owner's address 'x.test'"),
        ("from", "the sender's address 'x.test'"),
    ],
)
def test_whose_address_is_none_is_said(at_fault: str, whose: str) -> None:
    """The recipient of a mail is innocent of a mistyped owner."""
    with pytest.raises(BadAddress, match=rf"^{whose}: "):
        build("act_1", mail(**{at_fault: {"name": "Jo", "email": "x.test"}}), RETURN_PATH)
    owner = {"name": "Jo", "email": "x.test"}
    with pytest.raises(BadAddress, match=r"^the owner's address 'x.test': "):
        build("act_1", mail(**{"from": owner, "reply_to": owner}), RETURN_PATH)


def test_bounces_go_to_the_return_path_whoever_writes() -> None:
    envelope = build("act_1", mail(), RETURN_PATH)
    assert envelope.sender == RETURN_PATH
    assert b"bounces@" not in envelope.message(WHEN)  # whoever delivers it adds the Return-Path
    assert not envelope.utf8
    assert build("act_1", mail(), "bön@us.test").utf8


def test_what_providers_give_back_is_the_action() -> None:
    message = check(mail())
    assert message["X-PM-Metadata-touchline"] == "act_1"
    assert json.loads(message["X-SMTPAPI"]) == {"unique_args": {"touchline": "act_1"}}
    assert json.loads(message["X-Mailgun-Variables"]) == {"touchline": "act_1"}
    assert message["X-SES-MESSAGE-TAGS"] == "touchline=act_1"
