"""Checks which addresses a webhook may reach: those of the public internet, and the networks that the settings name.

The check is of the address that is about to be connected to, after its name has been resolved. So no name, number
format, redirect or changing name server gets around it.
"""

import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA's registries of special-purpose addresses, multicast, and a cloud's inner address in public space. Python's own
# `is_private` lacks some of them.
_CLOSED_V4 = tuple(map(IPv4Network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
    "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32",
)))  # fmt: skip
_OPEN_V6 = IPv6Network("2000::/3")  # the publicly routed networks; all others are closed
_CLOSED_V6 = tuple(map(IPv6Network, (
    "2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20",
)))  # fmt: skip
_MAPPED, _COMPATIBLE = IPv6Network("::ffff:0:0/96"), IPv6Network("::/96")
_NAT64 = IPv6Network("64:ff9b::/96")


class AddressRefused(Exception):
    """A webhook's address may not be reached."""


class AddressGuard:
    """Checks addresses. `allowed` are the networks that may be reached although they are not public."""

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def check(self, host: str) -> None:
        """Raises `AddressRefused` unless the address (a number, not a name) may be reached."""
        address = ip_address(host.partition("%")[0])
        forms = (address, *_inner(address))
        if any(form in network for form in forms for network in self._allowed if _alike(form, network)):
            return
        if not any(map(_is_public, forms)):
            raise AddressRefused(f"{address} is not a public address")

    def socket(self, info: tuple[int, int, int, str, tuple[object, ...]]) -> socket.socket:
        """A socket for an address in the form of `getaddrinfo`, after the last check before it is connected."""
        family, kind, protocol, _, place = info
        self.check(str(place[0]))
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made


def refusal_in(error: BaseException | None) -> AddressRefused | None:
    """The `AddressRefused` behind an error of the HTTP client; None if there is none."""
    while error is not None:
        if isinstance(error, AddressRefused):
            return error
        error = error.__cause__ or error.__context__
    return None


def _alike(address: Address, network: Network) -> bool:
    return address.version == network.version


def _inner(address: Address) -> Iterator[IPv4Address]:
    """The IPv4 address that an IPv6 address stands for, if hosts would send to that."""
    if isinstance(address, IPv6Address) and any(
        address in network for network in (_MAPPED, _COMPATIBLE, _NAT64)
    ):
        yield IPv4Address(int(address) & 0xFFFF_FFFF)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _CLOSED_V4)
    return address in _OPEN_V6 and not any(address in network for network in _CLOSED_V6)


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks from CIDR texts; raises `ValueError`."""
    return tuple(ip_network(text) for text in texts)
