"""The checks of single settings, for `backbone.settings`."""

import ipaddress
from collections.abc import Callable
from urllib.parse import urlsplit

PREFIX = "TOUCHLINE_"


def is_loopback(host: str | None) -> bool:
    """Whether a host, by name or address, is this machine itself."""
    if host is None or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_address(address: str, shown: str) -> None:
    """Raises `ValueError` where this is no email address."""
    from schemas.addresses import BadAddress, valid_address

    try:
        if "*" in address:  # legal, and never meant
            raise BadAddress("no pattern")
        valid_address(address)
    except BadAddress:
        raise ValueError(f"this is no address or domain: {shown[:100]}") from None


def check_webhook(address: str) -> None:
    """Raises `ValueError` where this is no address that a webhook may go to, or its secret, after `#`, is none."""
    from pydantic import ValidationError

    from schemas.endpoint import EndpointIn

    url, _, secret = address.partition("#")
    try:
        EndpointIn.model_validate({"name": "ops", "url": url, **({"secret": secret} if secret else {})})
    except ValidationError as error:
        wrong = error.errors()[0]
        field = "what follows # " if wrong["loc"] == ("secret",) else ""
        raise ValueError(f"{field}{wrong['msg'].removeprefix('Value error, ')}") from None


def check_service(url: str) -> None:
    """Raises `ValueError` if this is not the address of a service: scheme, host and perhaps a port."""
    parts = urlsplit(url)
    more = parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc
    if parts.scheme not in {"http", "https"} or not parts.hostname or more:
        raise ValueError("should be an address such as http://rules:8080, without a path or a password")
    check_port(url)


def check_port(url: str) -> None:
    """Raises `ValueError` if a URL's port is out of range."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        raise ValueError("should have a number up to 65535 as its port") from None


def is_database(url: str) -> bool:
    """Whether SQLAlchemy can read this URL."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        make_url(url)
    except (ArgumentError, ValueError):
        return False
    return True


def kafka_misfits(given: Callable[[str], bool], protocol: str) -> list[str]:
    """What is wrong with the settings of Kafka's security under this protocol; `given` says which are set."""
    sasl = ("kafka_sasl_mechanism", "kafka_sasl_username", "kafka_sasl_password")
    tls = ("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile", "kafka_ssl_password")
    wrong = [
        f"{PREFIX}{name.upper()}: {why}"
        for names, used, required in ((sasl, "SASL" in protocol, True), (tls, "SSL" in protocol, False))
        for name in names
        for why in misfit(given(name), used, required, protocol)
    ]
    if given("kafka_ssl_keyfile") and not given("kafka_ssl_certfile"):
        wrong.append(f"{PREFIX}KAFKA_SSL_KEYFILE: needs {PREFIX}KAFKA_SSL_CERTFILE")
    return wrong


def misfit(given: bool, used: bool, required: bool, protocol: str) -> list[str]:
    """What is wrong with a Kafka security setting that is, or is not, given under this protocol."""
    if given and not used:
        return [f"has no meaning with {PREFIX}KAFKA_SECURITY_PROTOCOL={protocol}"]
    if used and required and not given:
        return [f"is required with {PREFIX}KAFKA_SECURITY_PROTOCOL={protocol}"]
    return []
