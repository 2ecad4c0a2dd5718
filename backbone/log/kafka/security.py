"""TLS and SASL for a Kafka cluster, from the settings; and which setting is wrong when the cluster refuses us."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kafka import errors

from backbone.errors import ConfigurationError
from backbone.settings import Settings

_ENV = "TOUCHLINE_KAFKA_"


def security_of(settings: Settings) -> dict[str, Any]:
    """kafka-python's names for the TLS and SASL settings; those that are not set are left out.

    Raises `ConfigurationError` naming the setting whose file cannot be read. The files are read again at
    every connection, so that certificates can be renewed without a restart.
    """
    sasl, tls = settings.kafka_sasl_password, settings.kafka_ssl_password
    given: dict[str, Any] = {
        "sasl_mechanism": settings.kafka_sasl_mechanism,
        "sasl_plain_username": settings.kafka_sasl_username,
        "sasl_plain_password": sasl.get_secret_value() if sasl else None,
        "ssl_cafile": settings.kafka_ssl_cafile,
        "ssl_certfile": settings.kafka_ssl_certfile,
        "ssl_keyfile": settings.kafka_ssl_keyfile,
        "ssl_password": tls.get_secret_value() if tls else None,
    }
    security = {
        "security_protocol": settings.kafka_security_protocol,
        "ssl_check_hostname": settings.kafka_ssl_check_hostname,
        **{name: value for name, value in given.items() if value is not None},
    }
    _check_files(security)
    return security


def _check_files(security: Mapping[str, Any]) -> None:
    for name in ("ssl_cafile", "ssl_certfile", "ssl_keyfile"):
        path = security.get(name)
        try:
            if path is not None:
                Path(path).read_bytes()
        except OSError as error:
            raise ConfigurationError(f"{_ENV}{name.upper()}: {path}: {error.strerror}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        _trust(context, security)
    except ssl.SSLError:
        message = f"{_ENV}SSL_CAFILE: {security['ssl_cafile']} holds no certificate in PEM"
        raise ConfigurationError(message) from None
    try:
        _identify(context, security)
    except ssl.SSLError as error:
        names = f"{_ENV}SSL_CERTFILE, {_ENV}SSL_KEYFILE, {_ENV}SSL_PASSWORD"
        raise ConfigurationError(f"{names} do not fit together: {error.reason or error}") from None


def _trust(context: ssl.SSLContext, security: Mapping[str, Any]) -> None:
    if "ssl_cafile" in security:
        context.load_verify_locations(security["ssl_cafile"])
    else:
        context.load_default_certs()


def _identify(context: ssl.SSLContext, security: Mapping[str, Any]) -> None:
    if "ssl_certfile" in security:
        # an empty password, for without one OpenSSL would ask at the terminal
        key, password = security.get("ssl_keyfile"), security.get("ssl_password", "")
        context.load_cert_chain(security["ssl_certfile"], key, password)


def shake_hands(connection: socket.socket, host: str, security: Mapping[str, Any]) -> None:
    """TLS, where the settings ask for it, as kafka-python will do it. Raises `OSError` (`ssl.SSLError`).

    kafka-python leaves the socket of a failed handshake to the garbage collector, and tries again. So the
    handshake is tried here first.
    """
    if "SSL" not in security.get("security_protocol", ""):
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = security["ssl_check_hostname"]
    _trust(context, security)
    _identify(context, security)
    with context.wrap_socket(connection, server_hostname=host):
        pass


def explained(error: Exception, security: Mapping[str, Any]) -> str:
    """Why a server refused us, and which settings to check."""
    said = str(error).removeprefix(f"{type(error).__name__}: ")
    if isinstance(error, ssl.SSLError):
        said = f"no TLS: {getattr(error, 'verify_message', '') or error.reason or error}"
    return f"{said}; {_hint(error, said, security)}"


def _hint(error: Exception, said: str, security: Mapping[str, Any]) -> str:
    protocol = f"{_ENV}SECURITY_PROTOCOL={security.get('security_protocol', 'PLAINTEXT')}"
    mechanism = f"{_ENV}SASL_MECHANISM={security.get('sasl_mechanism')}"
    credentials = f"{_ENV}SASL_USERNAME and {_ENV}SASL_PASSWORD"
    if isinstance(error, ssl.SSLCertVerificationError):
        if "not valid for" in said:
            return f"the certificate has to name the host of {_ENV}BOOTSTRAP_SERVERS"
        return f"the certificate has to be signed by an authority in {_ENV}SSL_CAFILE"
    if isinstance(error, ssl.SSLError):
        return f"check {protocol}"
    if "_ALERT_" in said:
        return f"the server refuses our certificate: check {_ENV}SSL_CERTFILE and {_ENV}SSL_KEYFILE"
    if isinstance(error, errors.SaslAuthenticationFailedError):
        return f"check {credentials}"
    if isinstance(error, errors.UnsupportedSaslMechanismError | errors.IllegalSaslStateError):
        return f"check {protocol} and {mechanism}"
    if "SASL" in protocol:
        # The server's own words come together with its hanging up, and kafka-python loses them then.
        return f"check {credentials}, and whether the server takes {mechanism} with {protocol}"
    if protocol.endswith("=SSL"):
        return f"check {protocol}, and {_ENV}SSL_CERTFILE if the server asks for a certificate"
    return f"check {protocol}"
