"""Reads the key that signs mails, as it is given in a setting. No error shows any part of it."""

from pathlib import Path

MIN_BITS = 1_024  # RFC 8301; 2,048 is what it advises
_BEGIN = "-----BEGIN"
_WANTED = "should be an RSA private key in PEM without a password, or the path of a file that holds one"


def read_dkim_key(given: str) -> str:
    """The key in PEM (PKCS #1). `given`: PEM, also with `\\n` for line ends, or a path. Raises `ValueError`."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    text = given.replace("\\n", "\n") if _BEGIN in given else _file(given)
    try:
        key = load_pem_private_key(text.strip().encode(), password=None)
    except Exception:  # noqa: BLE001  whatever it is, its words may hold what was given
        raise ValueError(_WANTED) from None
    if not isinstance(key, RSAPrivateKey):
        raise ValueError(_WANTED)
    if key.key_size < MIN_BITS:
        raise ValueError(f"should have {MIN_BITS} bits or more, better 2048; this one has {key.key_size}")
    return key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()


def _file(path: str) -> str:
    try:
        return Path(path.strip()).read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        why = f": {error.strerror}" if isinstance(error, OSError) and error.strerror else ""
        raise ValueError(f"{_WANTED}; no such file can be read{why}") from None
