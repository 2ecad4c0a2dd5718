"""The data folder, and the files in it that only this user may read: the admin key, the signing secret."""

import os
import re
import secrets
from pathlib import Path

from backbone.errors import ConfigurationError
from backbone.private_files import private_folder, tighten
from backbone.settings import MIN_SECRET, Settings

_PRIVATE = re.compile(r"[!-~]{1,200}")  # a key or a secret in a file of its own
KEY_REMEDY = "delete it and start Touchline again, which makes a new key"
SIGNING_REMEDY = (
    "put it back from a copy; where there is none, delete it, and the next start says what that costs"
)


def make_data_dir(settings: Settings) -> Path:
    """Make the data folder if it is missing, and our files in it readable to this user only."""
    try:
        private_folder(settings.data_dir)
    except OSError as error:
        raise ConfigurationError(f"TOUCHLINE_DATA_DIR: {settings.data_dir}: {error.strerror}") from None
    if not os.access(settings.data_dir, os.W_OK | os.X_OK):
        raise ConfigurationError(f"TOUCHLINE_DATA_DIR: {settings.data_dir}: this user may not write there")
    tighten(settings.data_dir)
    return settings.data_dir


def write_private(path: Path, text: str) -> None:
    """Write a file that only this user can read, whole or not at all, and durably."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def read_private(path: Path, remedy: str, *, least: int = 1) -> str:
    """Read what `write_private` wrote: at least `least` characters, without the line end. `remedy` says what
    to do if it is wrong.

    Raises `ConfigurationError`, and `FileNotFoundError` where there is none.
    """
    try:
        text = path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        text = " "
    if len(text) >= least and _PRIVATE.fullmatch(text):
        return text
    what = "is damaged" if text else "is empty"
    raise ConfigurationError(f"{path} {what}: {remedy}")


def secret_key(settings: Settings) -> bytes:
    """The key that signs links and hashes: `TOUCHLINE_SECRET_KEY`, or for the embedded set-up one
    kept in `secret.key`.

    Raises `ConfigurationError` where it is unset and several processes would each make their own.
    """
    if settings.secret_key is not None:
        return settings.secret_key.get_secret_value().encode()
    if not settings.embedded:
        raise ConfigurationError("TOUCHLINE_SECRET_KEY: is required with Kafka or PostgreSQL")
    path = make_data_dir(settings) / "secret.key"
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32) + "\n")
    return read_private(path, SIGNING_REMEDY, least=MIN_SECRET).encode()
