"""Certificates for tests: an authority, a broker on 127.0.0.1, a client, and an authority that nobody trusts."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_HOST = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
_DAY = dt.timedelta(days=1)
PASSWORD = "open sesame"


@dataclass(frozen=True)
class Certificates:
    """PEM files. `broker` and `client` hold a private key and its certificate, signed by `authority`.

    `locked` is the client's file with the key encrypted by `PASSWORD`.
    """

    authority: Path
    stranger: Path
    broker: Path
    client: Path
    locked: Path


class _Issuer:
    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = name
        self.certificate = self._sign(name, self._key.public_key(), authority=True)

    def issue(self, name: str, hosts: Sequence[x509.GeneralName] = (), password: str = "") -> bytes:
        """Make a new key and its certificate, in PEM."""
        key = ec.generate_private_key(ec.SECP256R1())
        lock: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            lock = serialization.BestAvailableEncryption(password.encode())
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
        return text + self._sign(name, key.public_key(), hosts=hosts)

    def _sign(
        self,
        name: str,
        key: ec.EllipticCurvePublicKey,
        *,
        authority: bool = False,
        hosts: Sequence[x509.GeneralName] = (),
    ) -> bytes:
        now = dt.datetime.now(dt.UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(_named(self._name))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _DAY)
            .not_valid_after(now + _DAY)
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        )
        if hosts:
            made = made.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def make_certificates(folder: Path) -> Certificates:
    """Make new certificates, in files of this folder."""
    ours, theirs = _Issuer("authority"), _Issuer("stranger")
    made = Certificates(*(folder / f"{each.name}.pem" for each in fields(Certificates)))
    made.authority.write_bytes(ours.certificate)
    made.stranger.write_bytes(theirs.certificate)
    made.broker.write_bytes(ours.issue("broker", [_HOST]))
    made.client.write_bytes(ours.issue("client"))
    made.locked.write_bytes(ours.issue("client", password=PASSWORD))
    return made
