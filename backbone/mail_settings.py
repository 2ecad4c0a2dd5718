"""The settings of mail: the server that takes it, who it comes from, and what comes back."""

import re
import ssl
from email.utils import parseaddr
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from backbone.dkim_key import read_dkim_key
from backbone.setting_checks import PREFIX, check_address, check_port

_LABELS = r"^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$"
_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]{1,40}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")


class MailSettings(BaseSettings):
    """The part of `Settings` that is about mail."""

    smtp_url: SecretStr | None = Field(
        None,
        description="smtp://user:password@host:587 or smtps://…; unset: .eml files. With a password the connection "
        "has to be encrypted, unless the host is a loopback address or the URL ends in ?starttls=false",
    )
    smtp_ehlo: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?$",
        max_length=255,
        description="the name that we greet the mail server with; unset: this machine's",
    )
    smtp_ca_file: Path | None = Field(
        None,
        description="PEM file of the authorities that sign the mail server's certificate; unset: the system's",
    )
    smtp_rate: float | None = Field(
        None,
        gt=0,
        le=100_000,
        description="how many mails a second each process hands to the mail server at most, evenly spread; unset: as "
        "many as it takes",
    )
    sender: str = Field("Touchline <touchline@localhost>", description="From of mails without an owner")
    return_path: str | None = Field(
        None,
        description="the address that bounces of our mails go to (the envelope sender); unset: the address of the "
        "sender. It is never an owner's: pipe what comes to it into `touchline mail-feedback`",
    )
    dkim_key: SecretStr | None = Field(
        None,
        description="the RSA private key that signs our mails (DKIM), in PEM, or the path of a file that holds it; "
        "unset: mails are not signed by us",
    )
    dkim_selector: str | None = Field(
        None,
        pattern=_LABELS,
        max_length=63,
        description="the selector of the key: its public half is at SELECTOR._domainkey.DOMAIN; required with a key",
    )
    dkim_domain: str | None = Field(
        None,
        pattern=_LABELS,
        max_length=253,
        description="the domain that signs, best the one in the addresses that mails come from; required with a key",
    )
    sendgrid_public_key: str | None = Field(
        None,
        description="the verification key of SendGrid's signed event webhook; with it, "
        "`/v1/mail/feedback/sendgrid` takes signed reports without an API key",
    )
    mailgun_signing_key: SecretStr | None = Field(
        None,
        description="Mailgun's HTTP webhook signing key; with it, `/v1/mail/feedback/mailgun` takes signed reports "
        "without an API key",
    )
    ses_topics: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="the ARNs, separated by commas, of the SNS topics to which Amazon SES reports; "
        "`/v1/mail/feedback/ses` takes what these have signed without an API key, and no other topic's reports",
    )
    mail_only_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="for staging: addresses and domains, separated by commas, that mails may go to; all others are "
        "skipped (`not_on_list`). Exact but for case: a domain does not stand for those below it",
    )
    mail_instead_to: str | None = Field(
        None, description="for staging: the address that all mails go to instead of their recipients"
    )

    @field_validator("smtp_url")
    @classmethod
    def _smtp_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and urlsplit(value.get_secret_value()).scheme not in {"smtp", "smtps"}:
            raise ValueError("should begin with smtp:// or smtps://")
        if value is not None:
            check_port(value.get_secret_value())
        return value

    @field_validator("sender")
    @classmethod
    def _sender(cls, value: str) -> str:
        from schemas.addresses import BadAddress, valid_address

        try:
            valid_address(parseaddr(value)[1])
        except BadAddress:
            raise ValueError("should be an address, or a name and <an address>") from None
        return value

    @field_validator("mail_only_to", mode="before")
    @classmethod
    def _only_to(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        listed = tuple(part.strip().lower() for part in value.split(",") if part.strip())
        if not listed:
            raise ValueError("should name an address or a domain")
        for one in listed:
            check_address(one if "@" in one else f"somebody@{one}", one)
        return listed

    @field_validator("smtp_ca_file")
    @classmethod
    def _smtp_ca_file(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                ssl.create_default_context(cafile=value)
            except OSError as error:  # ssl.SSLError is one
                raise ValueError(f"should be a PEM file of certificates; {value}: {error.strerror}") from None
        return value

    @field_validator("return_path", "mail_instead_to")
    @classmethod
    def _one_address(cls, value: str | None) -> str | None:
        if value is not None:
            check_address(value, value)
        return value

    @field_validator("dkim_key")
    @classmethod
    def _dkim_key(cls, value: SecretStr | None) -> SecretStr | None:
        return None if value is None else SecretStr(read_dkim_key(value.get_secret_value()))

    @model_validator(mode="after")
    def _dkim_is_whole(self) -> Self:
        given = {name: getattr(self, f"dkim_{name}") is not None for name in ("key", "selector", "domain")}
        if lacking := [name for name, there in given.items() if not there and any(given.values())]:
            names = ", ".join(f"{PREFIX}DKIM_{name.upper()}" for name in lacking)
            raise ValueError(f"{names}: to sign mails, key, selector and domain are needed together")
        return self

    @field_validator("sendgrid_public_key")
    @classmethod
    def _sendgrid_public_key(cls, value: str | None) -> str | None:
        from backbone.public_keys import elliptic_key

        if value is not None:
            elliptic_key(value)
        return value

    @field_validator("ses_topics", mode="before")
    @classmethod
    def _ses_topics(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        listed = tuple(part.strip() for part in value.split(",") if part.strip())
        if wrong := [one for one in listed if not _TOPIC.fullmatch(one)]:
            raise ValueError(
                f"should be such as arn:aws:sns:eu-west-1:123456789012:bounces; not: {wrong[0][:100]}"
            )
        return listed

    @property
    def envelope_sender(self) -> str:
        """The address that bounces go to."""
        return self.return_path or parseaddr(self.sender)[1]
