"""Where an upstream may send us: the classes of addresses, and the rule over them."""

import ipaddress
import socket

import pytest

from sync import addresses
from sync.addresses import AddressClass, classify

PUBLIC, OFFICE, OWN_MACHINE, METADATA = "8.8.8.8", "10.1.2.3", "127.0.0.1", "169.254.169.254"


@pytest.fixture
def names(monkeypatch):
    """A name server of our own: fill in which addresses a name has."""
    known = {}

    def getaddrinfo(host, *_args, **_options):
        if host not in known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        families = [socket.AF_INET6 if ":" in address else socket.AF_INET for address in known[host]]
        return [
            (family, socket.SOCK_STREAM, 6, "", (address, 0))
            for family, address in zip(families, known[host], strict=True)
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


def allowed(host, home):
    return [str(address) for address in addresses.permitted(host, home=home)]


@pytest.mark.parametrize(
    ("kind", "examples"),
    [
        (AddressClass.PUBLIC, "8.8.8.8 1.1.1.1 172.32.0.1 192.169.0.1 2606:4700::1111 2001:4860:4860::8888"),
        (AddressClass.PRIVATE, "10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1 100.64.0.1 100.127.255.255"),
        (AddressClass.PRIVATE, "192.0.2.1 198.51.100.7 203.0.113.9 198.18.0.1 240.0.0.1 255.255.255.255"),
        (AddressClass.PRIVATE, "192.0.0.8 192.88.99.1 fc00::1 fd12:3456::1 fec0::1 2001:db8::1 3fff::1 64:ff9b:1::1"),
        (AddressClass.PRIVATE, "2001::1 100::1 5f00::1 4000::1"),
        (AddressClass.LOOPBACK, "127.0.0.1 127.255.255.254 ::1"),
        (AddressClass.LINK_LOCAL, "169.254.0.1 169.254.169.254 fe80::1 fe80::1%eth0"),
        (AddressClass.LINK_LOCAL, "100.100.100.200 168.63.129.16 192.0.0.192 fd00:ec2::254 fd20:ce::254"),
        (AddressClass.MULTICAST, "224.0.0.1 239.255.255.255 ff02::1"),
        (AddressClass.UNSPECIFIED, "0.0.0.0 0.1.2.3 ::"),
    ],
)
def test_every_address_has_a_class(kind, examples):
    assert {example: classify(ipaddress.ip_address(example)) for example in examples.split()} == dict.fromkeys(
        examples.split(), kind
    )


@pytest.mark.parametrize(
    ("inner", "kind"),
    [
        ("8.8.8.8", AddressClass.PUBLIC),
        ("10.0.0.1", AddressClass.PRIVATE),
        ("127.0.0.1", AddressClass.LOOPBACK),
        ("169.254.169.254", AddressClass.LINK_LOCAL),
        ("0.0.0.0", AddressClass.UNSPECIFIED),
        ("224.0.0.1", AddressClass.MULTICAST),
    ],
)
def test_ipv6_around_an_ipv4_address_is_judged_by_what_is_inside(inner, kind):
    bits = int(ipaddress.IPv4Address(inner))
    mapped, nat64 = f"::ffff:{inner}", f"64:ff9b::{inner}"
    six_to_four = ipaddress.IPv6Address((0x2002 << 112) | (bits << 80) | 1)

    assert classify(ipaddress.ip_address(mapped)) is kind
    assert classify(ipaddress.ip_address(nat64)) is kind
    assert classify(six_to_four) is kind


def test_everybody_may_point_at_public_addresses(names):
    names.update({"cdn.example": [PUBLIC], "upstream.example": [OFFICE]})

    assert allowed("cdn.example", home="upstream.example") == [PUBLIC]


@pytest.mark.parametrize("inside", [OFFICE, OWN_MACHINE, METADATA, "::1", "fd12::1", "0.0.0.0", "::ffff:10.1.2.3"])
def test_a_public_upstream_may_not_point_inside(names, inside):
    names.update({"cdn.example": [inside], "upstream.example": [PUBLIC]})

    assert allowed("cdn.example", home="upstream.example") == []


def test_an_upstream_may_point_at_its_own_kind_and_no_further(names):
    names.update({"files.example": [OFFICE, OWN_MACHINE], "office.example": ["192.168.7.7"], "here.example": ["::1"]})

    assert allowed("files.example", home="office.example") == [OFFICE]
    assert allowed("files.example", home="here.example") == [OWN_MACHINE]
    assert allowed("office.example", home="office.example") == ["192.168.7.7"]


@pytest.mark.parametrize("never", [METADATA, "fe80::1", "224.0.0.1", "0.0.0.0", "::", "fd00:ec2::254"])
def test_nobody_may_point_at_metadata_services_and_their_like_not_even_one_who_lives_there(names, never):
    names.update({"cdn.example": [never], "upstream.example": [never]})

    assert allowed("cdn.example", home="upstream.example") == []
    assert allowed("upstream.example", home="upstream.example") == []


def test_of_mixed_addresses_the_permitted_ones_are_left(names):
    names.update({"cdn.example": [OFFICE, PUBLIC, METADATA], "upstream.example": [PUBLIC]})

    assert allowed("cdn.example", home="upstream.example") == [PUBLIC]


def test_a_public_upstream_does_not_get_inside_by_adding_a_private_address_to_its_own_name(names):
    names.update({"upstream.example": [OFFICE, PUBLIC], "trap.example": [OFFICE]})

    assert allowed("upstream.example", home="upstream.example") == [PUBLIC]
    assert allowed("trap.example", home="upstream.example") == []


def test_the_upstream_is_not_looked_up_for_a_public_target(names):
    names["cdn.example"] = [PUBLIC]

    assert allowed("cdn.example", home="nowhere.example") == [PUBLIC]


@pytest.mark.parametrize(
    "spelling",
    ["127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "[::1]", "::1", "LOCALHOST.", "db.localhost"],
)
def test_every_spelling_of_this_machine_is_known_without_a_name_server(spelling):
    address = addresses.literal(spelling)

    assert address is not None
    assert classify(address) is AddressClass.LOOPBACK


@pytest.mark.parametrize("name", ["upstream.example", "127.0.0.1.upstream.example", "localhost.example", "1.2.3.4.5"])
def test_a_name_is_not_an_address(name):
    assert addresses.literal(name) is None


def test_a_proxy_is_asked_for_names_and_for_addresses_of_the_upstreams_own_kind():
    ask = addresses.may_ask_proxy_for

    assert ask("cdn.example", home="upstream.example")
    assert ask(PUBLIC, home="upstream.example")
    assert ask("192.168.7.7", home=OFFICE)
    assert not ask(OFFICE, home="upstream.example")
    assert not ask("2130706433", home="upstream.example")
    assert not ask("localhost", home=OFFICE)
    assert not ask(METADATA, home=METADATA)
