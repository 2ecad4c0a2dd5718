"""Staging: mails that must not reach customers."""

import email
import email.policy
from pathlib import Path

import pytest

from backbone.errors import ConfigurationError
from backbone.settings import load_settings
from services.actions.channels.email.channel import email_channel as channel
from services.actions.plays.retry_policy import Outcome
from tests.unit.channels.helpers import deliver, leased, mail, surroundings


async def outcome(tmp_path: Path, address: str, **settings: str) -> Outcome:
    """Of a mail to this address."""
    action = leased(recipient=address, rendered=mail(to={"name": "Ann Lee", "email": address}))
    return await deliver(channel(surroundings(tmp_path, **settings)), action)


@pytest.mark.parametrize(
    "address", ["jo@us.test", "JO@us.test", "qa@Us.Test", "ann@acme.test", "Ann@ACME.test"]
)
async def test_whom_mails_may_go_to(tmp_path: Path, address: str) -> None:
    assert (await outcome(tmp_path, address, mail_only_to="us.test, Ann@acme.test")).kind == "done"


@pytest.mark.parametrize(
    "address", ["bob@acme.test", "ann@acme.test.evil.test", "x@sub.us.test", "us.test@evil.test", ""]
)
async def test_whom_they_may_not(tmp_path: Path, address: str) -> None:
    said = await outcome(tmp_path, address, mail_only_to="us.test,ann@acme.test")
    assert (said.kind, said.reason) == ("skipped", "not_on_list")
    assert not list(tmp_path.glob("outbox/*"))


async def test_somebody_else_gets_them(tmp_path: Path) -> None:
    assert (await outcome(tmp_path, "ann@acme.test", mail_instead_to="qa@us.test")).kind == "done"
    (written,) = tmp_path.glob("outbox/*.eml")
    message = email.message_from_bytes(written.read_bytes(), policy=email.policy.default)
    assert message["To"] == '"ann@acme.test" <qa@us.test>'
    assert (message["From"], message["Message-ID"]) == ("Jo Doe <jo@us.test>", "<act_1@us.test>")
    assert message["List-Unsubscribe"] == "<https://us.test/u/token>"


async def test_the_list_is_about_whom_they_were_to(tmp_path: Path) -> None:
    given = {"mail_only_to": "us.test", "mail_instead_to": "qa@us.test"}
    assert (await outcome(tmp_path, "ann@acme.test", **given)).reason == "not_on_list"
    assert (await outcome(tmp_path, "jo@us.test", **given)).kind == "done"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("mail_only_to", "us.test,*@acme.test"),
        ("mail_only_to", "a b"),
        ("mail_only_to", ","),
        ("mail_instead_to", "qa"),
    ],
)
def test_what_is_no_list(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"TOUCHLINE_{name.upper()}: "):
        load_settings(**{name: value})
