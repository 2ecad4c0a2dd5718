"""What counts as an email address: the same for settings, playbooks, suppressions and mails. Nothing is looked up.

The library is imported with the first address: it takes a while, and long jobs may meet none.
"""

import unicodedata
from contextlib import suppress
from functools import cache, lru_cache
from typing import Any

# The library refuses these domains, as the internet has none of them. Private networks do: the default
# sender is at `localhost`, and many companies' mail servers are at `….local`.
OURS = ("local", "localhost")


class BadAddress(ValueError):
    """The text is not an email address."""


def valid_address(text: object) -> str:
    """The address, normalised; raises `BadAddress`."""
    if not isinstance(text, str):
        raise BadAddress("no address")
    return _validated(text)


def trimmed_address(text: str) -> str:
    """The address as it was written, without spaces around it; raises `BadAddress` with what is wrong and allowed."""
    bare = text.strip()
    try:
        _validated(bare)
    except BadAddress as error:
        raise BadAddress(f"should be an email address such as ann@acme.test, or null: {error}") from None
    return bare


@lru_cache(4_096)
def _validated(text: str) -> str:
    library = _library()
    try:
        found = library.validate_email(
            text, check_deliverability=False, globally_deliverable=False, test_environment=True, strict=True
        )
    except library.EmailNotValidError as error:
        raise BadAddress(str(error)) from None
    address = found.ascii_email or f"{found.local_part}@{found.ascii_domain}"
    if any(not mark.isprintable() or mark in '<>"' for mark in address):
        raise BadAddress("has characters that no address has")
    return address


def is_address(text: str) -> bool:
    """Whether this is meant as an address: its domain has a dot."""
    library = _library()
    try:
        library.validate_email(text, check_deliverability=False, test_environment=True)
    except library.EmailNotValidError:
        return False
    return True


def normal(address: str) -> str:
    """An address for comparing: trimmed, NFC, without upper case, its domain in ASCII where it has such a form."""
    bare = unicodedata.normalize("NFC", address.strip()).casefold()
    local, at, domain = bare.rpartition("@")
    with suppress(UnicodeError):  # not a domain at all
        domain = domain.encode("idna").decode()
    return local + at + domain


@cache
def _library() -> Any:
    import email_validator

    for name in OURS:
        if name in email_validator.SPECIAL_USE_DOMAIN_NAMES:
            email_validator.SPECIAL_USE_DOMAIN_NAMES.remove(name)
    return email_validator
