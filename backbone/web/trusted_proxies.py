"""Who really asks, behind proxies: what a proxy says of its caller counts where `TOUCHLINE_TRUSTED_PROXIES` names it.

    seen_through(scope, networks)      # the same scope, or one with the caller's own address, scheme and host

Anybody can send `X-Forwarded-For`. Each proxy appends the address that it was called from, so only what trusted
proxies have written is believed: from the right, the first address that is no trusted proxy's is the caller's.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple

from starlette.types import Scope

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]
FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
MOST_HOPS = 20  # proxies between a caller and us; what stands before is not looked at
_WITH_PORT = re.compile(r"\[([^\]]+)\](?::[0-9]+)?|([0-9.]+)(?::[0-9]+)?")
_HOST = re.compile(rb"[A-Za-z0-9.\-_:\[\]]{1,255}")


class Caller(NamedTuple):
    """The caller, and the place from the right in `X-Forwarded-For` where it stands (0: nobody forwarded it)."""

    address: Address
    hops: int


def address_of(text: str) -> Address | None:
    """The address in an entry of `X-Forwarded-For`, perhaps with a port; None for anything else, such as `unknown`."""
    found = _WITH_PORT.fullmatch(text.strip())
    try:
        address = ipaddress.ip_address((found[1] or found[2]) if found else text.strip().partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def caller_of(peer: Address, chain: Sequence[str], networks: Networks) -> Caller:
    """The caller: the peer itself unless it is a trusted proxy, else the rightmost address that is no trusted proxy's.

    `chain`: the entries of `X-Forwarded-For`, in order. What a trusted proxy could not tell ends the search: then that
    proxy counts as the caller.
    """
    found = Caller(peer, 0)
    for hops, entry in enumerate(reversed(chain[-MOST_HOPS:]), 1):
        if not is_trusted(found.address, networks):
            break
        address = address_of(entry)
        if address is None:
            break
        found = Caller(address, hops)
    return found


def is_trusted(address: Address, networks: Networks) -> bool:
    """Whether a proxy at this address is believed."""
    return any(address in network for network in networks)


def comes_from(peer: str, networks: Networks) -> bool:
    """Whether the other end of a connection is a proxy that is believed."""
    address = address_of(peer)
    return address is not None and is_trusted(address, networks)


def seen_through(scope: Scope, networks: Networks) -> Scope:
    """The scope as it would be if the caller had come without its proxies; the same scope if it came without any."""
    peer = address_of(scope["client"][0]) if scope.get("client") else None
    if peer is None or not is_trusted(peer, networks):
        return scope
    chain = _entries(scope, FOR)
    caller = caller_of(peer, chain, networks)
    if not caller.hops:
        return scope
    seen = {**scope, "client": (str(caller.address), 0)}
    protocols = _entries(scope, PROTO)
    # a chain of proxies may have a protocol for each hop, or one for all
    at = caller.hops if len(protocols) == len(chain) else 1
    if protocols and protocols[-at].lower() in {"http", "https"}:
        seen["scheme"] = protocols[-at].lower()
    hosts = _entries(scope, HOST)
    if hosts and _HOST.fullmatch(host := hosts[-1].encode("latin-1")):
        seen["headers"] = [(b"host", host), *(pair for pair in scope["headers"] if pair[0] != b"host")]
    return seen


def _entries(scope: Scope, name: bytes) -> list[str]:
    """The values of a header that is a list, of all its lines."""
    lines = [value.decode("latin-1") for key, value in scope["headers"] if key == name]
    return [entry.strip() for line in lines for entry in line.split(",")]
