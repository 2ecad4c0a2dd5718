"""All settings, read once from the environment and `.env`, checked as a whole, then frozen."""

import ipaddress
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import DotEnvSettingsSource, NoDecode, SettingsConfigDict

from backbone.errors import ConfigurationError
from backbone.mail_settings import MailSettings
from backbone.setting_checks import (
    PREFIX,
    check_address,
    check_port,
    check_service,
    check_webhook,
    is_database,
    is_loopback,
    kafka_misfits,
)

SECOND_US = 1_000_000
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_SERVER = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/]+):[0-9]{1,5}")
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[^\s:/?#@*]+)(:[0-9]{1,5})?")
_DURATION = re.compile(r"([0-9]{1,9})([smhdw])")

MIN_SECRET = 16  # characters

Networks = tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]
Seconds = Annotated[float, Field(gt=0, le=3_600)]


class Settings(MailSettings):
    """All settings; the environment variable is the name in capitals after `TOUCHLINE_`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_file=".env", frozen=True, extra="ignore", env_ignore_empty=True
    )

    data_dir: Path = Field(Path("data"), description="folder of everything kept on this machine")
    database_url: str = Field(
        "", description="sqlite:///… or postgresql://…; empty: SQLite in the data folder"
    )
    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8080, ge=0, le=65_535, description="port to listen on")
    public_url: str = Field("", description="how links in mails reach us; empty: http://host:port")
    secret_key: SecretStr | None = Field(
        None, description="signs unsubscribe links, keys the hashes of the erased"
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="origins of web pages whose Segment libraries may call us, such as https://app.example.com, "
        "separated by commas",
    )
    trusted_proxies: Annotated[Networks, NoDecode] = Field(
        (),
        description="networks, as CIDR, separated by commas, of the proxies before us: of what comes from there, the "
        "caller's address, protocol and host are those in X-Forwarded-For, -Proto and -Host",
    )
    ingest_url: str = Field("", description="where `touchline serve console` finds the ingest service")
    rules_url: str = Field("", description="where it finds the rules service")
    actions_url: str = Field("", description="where it finds the actions service")
    ops_email: str | None = Field(
        None,
        description="the address to tell when something needs the people who run Touchline, and when it is over",
    )
    ops_webhook: SecretStr | None = Field(
        None,
        description="the http(s) address to tell the same, signed as Standard Webhooks; the secret is #whsec_… at its "
        "end, or what `touchline keys ops-webhook` prints",
    )
    webhook_allowed_networks: Annotated[Networks, NoDecode] = Field(
        (), description="private networks that webhooks may reach, as CIDR, separated by commas"
    )
    clock: Literal["wall", "log"] = Field("wall", description="where the time comes from")
    clock_jumps: Literal["hold", "follow"] = Field(
        "hold",
        description="what to do when the machine's clock jumps by more than a day while we run, and no such time "
        "passed: hold (go on by our own reckoning until it is right again, or a restart) or follow",
    )
    accept_loss: Literal["none", "log", "tables"] = Field(
        "none",
        description="for one start: go on though log.db (log), or touchline.db (tables), was lost with all in it",
    )
    partitions: int = Field(8, ge=1, le=1_000, description="partitions of the topics on creation")
    log_retention: int = Field(
        90 * 86_400 * SECOND_US, description="how long the log is kept, such as 90d (inside: microseconds)"
    )
    history_retention: int = Field(
        400 * 86_400 * SECOND_US,
        description="how long ended plays, their actions, triggers and closed tasks are kept, such as 400d "
        "(inside: microseconds)",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info",
        description="least level written; debug also tells what errors quote, which may be personal data",
    )
    log_format: Literal["auto", "json", "pretty"] = Field("auto", description="auto: pretty on a terminal")

    kafka_bootstrap_servers: str = Field("", description="host:port,…; empty: the embedded log")
    kafka_replication_factor: int = Field(1, ge=1, le=32, description="replicas of topics that we create")
    kafka_session_timeout: Annotated[float, Field(ge=1, le=300)] = Field(
        10, description="seconds without a sign of life after which a worker's partitions go to others"
    )
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = Field(
        None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; required with SASL_…"
    )
    kafka_sasl_username: str | None = Field(None, description="required with SASL_…")
    kafka_sasl_password: SecretStr | None = Field(None, description="required with SASL_…")
    kafka_ssl_cafile: str | None = Field(
        None,
        description="PEM file of the authorities that sign the brokers' certificates; unset: the system's",
    )
    kafka_ssl_certfile: str | None = Field(
        None, description="PEM file of our own certificate, where the brokers ask for one"
    )
    kafka_ssl_keyfile: str | None = Field(
        None, description="PEM file of its private key; unset: in the same file"
    )
    kafka_ssl_password: SecretStr | None = Field(None, description="of the private key")
    kafka_ssl_check_hostname: bool = Field(
        True, description="whether a broker's certificate has to name its host"
    )

    ingest_max_in_flight: int = Field(
        256, ge=1, le=100_000, description="event requests waiting for the log at once; more get 429"
    )
    ingest_rate_limit: int = Field(0, ge=0, description="events a second and key; more get 429; 0: no limit")
    database_pool: int = Field(10, ge=1, le=200, description="database connections of one process")
    accounts_in_memory: int = Field(
        2_048,
        ge=1,
        description="MiB that rules may use, roughly, for account states of all partitions together; a worker "
        "with some of the partitions uses its share",
    )
    job_disk: int = Field(
        4_096,
        ge=16,
        description="MiB of temporary disk, in the data folder, that a long job (a backtest) may use",
    )
    header_timeout: Seconds = Field(10, description="seconds for a request's headers to arrive")
    body_timeout: Seconds = Field(20, description="seconds for a request's body to arrive")
    write_timeout: Seconds = Field(20, description="seconds for a client to take in 16 KiB of an answer")

    @field_validator("log_retention", "history_retention", mode="before")
    @classmethod
    def _duration(cls, value: object) -> object:
        if isinstance(value, int):
            return value
        found = _DURATION.fullmatch(str(value).strip())
        if found is None or int(found[1]) == 0:
            raise ValueError("should be a duration such as 12h, 90d or 4w")
        return int(found[1]) * _UNITS[found[2]] * SECOND_US

    @field_validator("webhook_allowed_networks", "trusted_proxies", mode="before")
    @classmethod
    def _networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ipaddress.ip_network(part.strip()) for part in value.split(",") if part.strip())

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        found = tuple(part.strip().rstrip("/").lower() for part in value.split(",") if part.strip())
        wrong = [one for one in found if not _ORIGIN.fullmatch(one)]
        if wrong:
            raise ValueError(f"should be http(s)://host or http(s)://host:port; this is not: {wrong[0]}")
        return found

    @field_validator("kafka_bootstrap_servers")
    @classmethod
    def _servers(cls, value: str) -> str:
        for server in filter(None, (part.strip() for part in value.split(","))):
            if not _SERVER.fullmatch(server):
                raise ValueError(f"should be host:port,…; this is not: {server}")
        return value

    @field_validator("kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.strip().upper() if isinstance(value, str) else value

    @field_validator("log_level", "clock", "clock_jumps", "accept_loss", "log_format", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.strip().lower() if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str) -> str:
        scheme = value.partition(":")[0].partition("+")[0]
        if value and scheme not in {"sqlite", "postgresql", "postgres"}:
            raise ValueError("should begin with sqlite:// or postgresql://")
        if value and not is_database(value):
            raise ValueError("should be such as sqlite:///file or postgresql://user:password@host:5432/name")
        return value

    @field_validator("public_url")
    @classmethod
    def _public_url(cls, value: str) -> str:
        if value and (urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname):
            raise ValueError("should be a http:// or https:// address")
        check_port(value)
        return value.rstrip("/")

    @field_validator("ingest_url", "rules_url", "actions_url")
    @classmethod
    def _service_url(cls, value: str) -> str:
        if value:
            check_service(value)
        return value.rstrip("/")

    @field_validator("ops_webhook")
    @classmethod
    def _ops_webhook(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            check_webhook(value.get_secret_value())
        return value

    @field_validator("ops_email")
    @classmethod
    def _ops_email(cls, value: str | None) -> str | None:
        if value is not None:
            check_address(value, value)
        return value

    @field_validator("secret_key")
    @classmethod
    def _secret(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < MIN_SECRET:
            raise ValueError(f"should have at least {MIN_SECRET} characters")
        return value

    @model_validator(mode="after")
    def _kafka_security(self) -> "Settings":
        """Check that every setting which the protocol needs is given, and none that would be silently ignored."""
        wrong = kafka_misfits(lambda name: getattr(self, name) is not None, self.kafka_security_protocol)
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @model_validator(mode="after")
    def _links_lead_here(self) -> "Settings":
        """Check that links lead to us, since mails that leave this machine carry links (to
        unsubscribe, among others)."""
        if self.smtp_url is None or is_loopback(urlsplit(self.smtp_url.get_secret_value()).hostname):
            return self
        public = urlsplit(self.public_url)
        if public.scheme != "https" or is_loopback(public.hostname):
            raise ValueError(
                f"{PREFIX}PUBLIC_URL: should be the https:// address at which readers of mails reach us, because "
                f"{PREFIX}SMTP_URL is set; the links of mails would lead to {self.base_url}"
            )
        return self

    @property
    def embedded(self) -> bool:
        """Whether everything is in the data folder: the embedded log and SQLite."""
        return not self.kafka_bootstrap_servers and self.url.startswith("sqlite")

    @property
    def url(self) -> str:
        """The database's SQLAlchemy URL."""
        if not self.database_url:
            return f"sqlite:///{(self.data_dir / 'touchline.db').absolute()}"
        scheme, _, rest = self.database_url.partition(":")
        return f"postgresql+psycopg:{rest}" if scheme in {"postgresql", "postgres"} else self.database_url

    @property
    def base_url(self) -> str:
        """The address by which others reach us, without a slash at the end."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104
        return self.public_url or f"http://{f'[{host}]' if ':' in host else host}:{self.port}"


def load_settings(**overrides: Any) -> Settings:
    """The settings of this process.

    Raises `ConfigurationError` with one line that names every wrong setting.
    """
    try:
        with _lines_that_are_none() as lines:
            settings = Settings(**overrides)
        if lines:
            raise ConfigurationError(f".env: {'; '.join(lines)}")
        return settings
    except OSError as error:
        raise ConfigurationError(f".env cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(".env is not UTF-8") from None
    except ValidationError as error:
        wrong = "; ".join(_setting_error(dict(item)) for item in error.errors(include_url=False))
        raise ConfigurationError(wrong) from None


@contextmanager
def _lines_that_are_none() -> Iterator[list[str]]:
    """Lines of `.env` that its reader ignores, and only logs."""
    found: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage().removeprefix("python-dotenv "))

    logger, listener = logging.getLogger("dotenv.main"), Listener()
    logger.addHandler(listener)
    propagated, logger.propagate = logger.propagate, False
    try:
        yield found
    finally:
        logger.propagate = propagated
        logger.removeHandler(listener)


def _setting_error(item: dict[str, Any]) -> str:
    message = str(item["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    # an error about several settings together names them itself
    return f"{PREFIX}{str(item['loc'][0]).upper()}: {message}" if item["loc"] else message


def variables() -> dict[str, str | None]:
    """The environment's variables, and those of `.env` that it does not set; names in capitals."""
    filed = DotEnvSettingsSource(Settings).env_vars
    return {name.upper(): value for name, value in filed.items()} | os.environ


def unknown_settings(given: Mapping[str, str | None] | None = None) -> list[str]:
    """`TOUCHLINE_…` variables, from the environment or `.env`, that no setting reads: most likely misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {PREFIX + name for name in ("URL", "API_KEY", "FAILPOINT")}
    names = variables() if given is None else given
    return sorted(name for name in names if name.startswith(PREFIX) and name not in known)
