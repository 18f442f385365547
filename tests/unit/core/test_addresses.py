"""Addresses: the same vectors are also put to the sidecar's image, by the integration tests."""

from __future__ import annotations

import ipaddress

import pytest

from bottle.core.addresses import NOT_AN_ADDRESS, NOT_GLOBAL_UNICAST, refused

SPECIAL = (
    ("0.0.0.0", "this network"),  # noqa: S104  # nothing is bound
    ("0.1.2.3", "this network"),
    ("10.0.0.0", "private use"),
    ("10.255.255.255", "private use"),
    ("100.64.0.1", "shared address space"),
    ("100.100.100.200", "shared address space"),
    ("100.127.255.255", "shared address space"),
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "loopback"),
    ("168.63.129.16", "cloud platform service"),
    ("169.254.0.1", "link-local"),
    ("169.254.169.254", "link-local"),
    ("172.16.0.1", "private use"),
    ("172.31.255.255", "private use"),
    ("192.0.0.8", "IETF protocol assignments"),
    ("192.0.0.192", "IETF protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.31.196.1", "AS112"),
    ("192.52.193.1", "AMT"),
    ("192.88.99.1", "6to4 relay anycast"),
    ("192.168.1.1", "private use"),
    ("192.175.48.1", "AS112"),
    ("198.18.0.1", "benchmarking"),
    ("198.19.255.255", "benchmarking"),
    ("198.51.100.7", "documentation"),
    ("203.0.113.7", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "reserved"),
    ("::", "unspecified"),
    ("::1", "loopback"),
    ("::7f00:1", "IPv4-compatible"),
    ("::8.8.8.8", "IPv4-compatible"),
    ("::ffff:127.0.0.1", "IPv4-mapped"),
    ("::ffff:8.8.8.8", "IPv4-mapped"),
    ("64:ff9b::7f00:1", "IPv4-IPv6 translation"),
    ("64:ff9b::808:808", "IPv4-IPv6 translation"),
    ("64:ff9b:1::1", "IPv4-IPv6 translation"),
    ("100::1", "discard-only"),
    ("100:0:0:1::1", "dummy prefix"),
    ("2001::1", "IETF protocol assignments"),
    ("2001:20::1", "IETF protocol assignments"),
    ("2001:db8::1", "documentation"),
    ("2002::1", "6to4"),
    ("2002:7f00:1::1", "6to4"),
    ("2620:4f:8000::1", "AS112"),
    ("3fff::1", "documentation"),
    ("5f00::1", "segment routing"),
    ("fc00::1", "unique local"),
    ("fd00:ec2::254", "unique local"),
    ("fe80::1", "link-local"),
    ("febf::1", "link-local"),
    ("fec0::1", "site-local"),
    ("ff02::1", "multicast"),
    ("4000::1", NOT_GLOBAL_UNICAST),
    ("200::1", NOT_GLOBAL_UNICAST),
    ("::ffff:0:127.0.0.1", NOT_GLOBAL_UNICAST),
    ("", NOT_AN_ADDRESS),
    ("localhost", NOT_AN_ADDRESS),
    ("8.8.8", NOT_AN_ADDRESS),
    ("134744072", NOT_AN_ADDRESS),
    ("010.8.8.8", NOT_AN_ADDRESS),
    ("0x8.8.8.8", NOT_AN_ADDRESS),
    ("8.8.8.8:443", NOT_AN_ADDRESS),
    ("8.8.8.8/32", NOT_AN_ADDRESS),
    (" 8.8.8.8", NOT_AN_ADDRESS),
    ("[2606:4700::1]", NOT_AN_ADDRESS),
    ("2606:4700::1%eth0", NOT_AN_ADDRESS),
    ("fe80::1%1", NOT_AN_ADDRESS),
)
"""Addresses that nothing is dialled at, with the word that names why."""

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.1",
    "160.79.104.10",
    "168.63.129.15",
    "168.63.129.17",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.1",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2606:4700::1",
    "2607:6bc0::10",
    "2a00:1450:4001::1",
)
"""Neighbours of the above, and addresses of public services."""


@pytest.mark.parametrize(("address", "name"), SPECIAL)
def test_special_addresses_are_refused_by_name(address: str, name: str) -> None:
    assert refused(address) == name


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_not(address: str) -> None:
    assert refused(address) is None


@pytest.mark.parametrize("address", [a for a, n in SPECIAL if n != NOT_AN_ADDRESS])
def test_no_spelling_gets_around(address: str) -> None:
    """The table is of networks, not of texts: the long form is the same address."""
    assert refused(ipaddress.ip_address(address).exploded) is not None
