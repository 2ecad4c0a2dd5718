"""Addresses that no webhook may reach, in every form in which an IPv6 address holds an IPv4 one."""

# ruff: noqa: E501  vectors read better in one line

from ipaddress import IPv4Address, ip_address

import pytest

from services.actions.channels.webhook.ssrf import AddressGuard, AddressRefused, networks


def hexed(v4: str, turned: int = 0) -> str:
    """Two groups of an IPv6 address (`7f00:1`); Teredo has every bit of them `turned` round."""
    high, low = divmod(int(IPv4Address(v4)), 0x10000)
    return f"{high ^ turned:x}:{low ^ turned:x}"


V4 = [
    "127.0.0.1", "127.255.255.254", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "169.254.169.254", "169.254.0.1", "100.64.0.1", "100.100.100.200", "100.127.255.255", "0.0.0.0", "0.1.2.3",
    "192.0.0.1", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.255", "240.0.0.1", "255.255.255.255", "192.88.99.1", "168.63.129.16", "192.31.196.1",
    "192.52.193.1", "192.175.48.1",
]  # fmt: skip
V6 = [
    "::1", "::", "fe80::1", "fe80::1%1", "febf::1", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "ff0e::1", "100::1",
    "2001:db8::1", "2001::1", "2001:10::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "3fff::1", "5f00::1", "64:ff9b:1::1",
    "4000::1", "8000::1",
]  # fmt: skip
INSIDE = [form.format(v4) for v4 in V4 for form in ("::ffff:{}", "64:ff9b::{}", "::{}")]
TUNNELS = [f"2002:{packed}::1" for packed in map(hexed, V4)] + [
    f"2001:0:808:808:0:0:{hexed(v4, 0xFFFF)}" for v4 in V4
]


def test_there_are_two_hundred_of_them() -> None:
    addresses = {ip_address(one) for one in V4 + V6 + INSIDE + TUNNELS}
    assert len(addresses) >= 200


@pytest.mark.parametrize("address", V4 + V6 + INSIDE + TUNNELS)
def test_no_private_address_is_reached(address: str) -> None:
    with pytest.raises(AddressRefused):
        AddressGuard().check(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "172.15.255.255",
        "172.32.0.1",
        "2606:4700::1111",
        "2a00:1450::1",
        "::ffff:8.8.8.8",
        "64:ff9b::8.8.8.8",
    ],
)
def test_public_addresses_are_reached(address: str) -> None:
    AddressGuard().check(address)


@pytest.mark.parametrize("address", ["127.0.0.1", "::ffff:127.0.0.1", "10.1.2.3", "fd00::1"])
def test_networks_of_the_settings_are_reached(address: str) -> None:
    guard = AddressGuard(networks(["127.0.0.0/8", "10.1.0.0/16", "fd00::/8"]))
    guard.check(address)
    for closed in ("10.2.0.1", "169.254.169.254", "::1"):
        with pytest.raises(AddressRefused):
            guard.check(closed)
