"""Which addresses an upstream may send us to: the guard against requests into networks that are not its own.

A document of an upstream names the URLs of its tarballs, and any answer may be a redirect; both may come from
a stranger. So public addresses are always allowed, and others only when the upstream itself lives on such a
one: a registry on loopback may point at loopback, one in the office at the office.

The caller connects to the addresses that `permitted` returns and to nothing else. So a name is resolved once,
for the check and the connection together: a name server that changes its answer in between is not asked again.
"""

import ipaddress
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


class AddressClass(Enum):
    """Who can be reached at an address; the value is how an operator reads it."""

    PUBLIC = "public"
    PRIVATE = "private"
    LOOPBACK = "loopback"
    LINK_LOCAL = "link-local"
    MULTICAST = "multicast"
    UNSPECIFIED = "unspecified"


# No registry lives on one of these, wherever the upstream is.
NEVER = frozenset({AddressClass.LINK_LOCAL, AddressClass.MULTICAST, AddressClass.UNSPECIFIED})


def _networks(*ranges: str) -> tuple[IPNetwork, ...]:
    return tuple(ipaddress.ip_network(range_) for range_ in ranges)


# Metadata services of clouds hand out credentials to whoever asks. Most listen on 169.254.169.254; these do
# not, but belong to the link just as much.
_METADATA = _networks("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
_RANGES = {
    AddressClass.UNSPECIFIED: _networks("0.0.0.0/8", "::/128"),
    AddressClass.LOOPBACK: _networks("127.0.0.0/8", "::1/128"),
    AddressClass.LINK_LOCAL: _networks("169.254.0.0/16", "fe80::/10") + _METADATA,
    AddressClass.MULTICAST: _networks("224.0.0.0/4", "ff00::/8"),
    # These only complete what the `ipaddress` module of Python 3.11 knows to be not public.
    AddressClass.PRIVATE: _networks("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "fec0::/10"),
}
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that a name resolved to, in the form that `socket.connect` takes."""

    family: socket.AddressFamily
    sockaddr: tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]

    @property
    def address_class(self) -> AddressClass:
        return classify(ipaddress.ip_address(self.sockaddr[0]))


def classify(address: IPAddress) -> AddressClass:
    """Tell who can be reached at an address; IPv6 that wraps an IPv4 address is judged by that."""
    address = _embedded(address) or address
    for address_class, networks in _RANGES.items():
        if any(address in network for network in networks):
            return address_class
    if address.is_global and not address.is_reserved:
        return AddressClass.PUBLIC
    return AddressClass.PRIVATE


def resolve(host: str, port: int) -> list[Endpoint]:
    """Ask the resolver for the addresses of `host`, in its order. Raises `socket.gaierror`."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return [Endpoint(family, sockaddr) for family, _type, _protocol, _name, sockaddr in found]


def permitted(host: str, port: int, *, home: str) -> list[Endpoint]:
    """Resolve `host` and keep the addresses that the upstream whose own host is `home` may send us to."""
    endpoints = resolve(host, port)
    allowed = {AddressClass.PUBLIC}
    if any(endpoint.address_class not in NEVER | allowed for endpoint in endpoints):
        allowed = reach(endpoints if host == home else resolve(home, port))
    return [endpoint for endpoint in endpoints if endpoint.address_class in allowed]


def reach(home: Iterable[Endpoint]) -> set[AddressClass]:
    """The classes of address that an upstream living at `home` may point at.

    Only public ones as soon as one of its own is: who adds a private address to a public name gains nothing.
    """
    own = {endpoint.address_class for endpoint in home} - NEVER
    return {AddressClass.PUBLIC} if AddressClass.PUBLIC in own else own | {AddressClass.PUBLIC}


def may_ask_proxy_for(host: str, *, home: str) -> bool:
    """Whether a proxy may be asked for `host`. It resolves names in our place, so only addresses are judged."""
    address, own = literal(host), literal(home)
    if address is None:
        return True
    own_class = AddressClass.PUBLIC if own is None else classify(own)
    return classify(address) in {AddressClass.PUBLIC, own_class} - NEVER


def literal(host: str) -> IPAddress | None:
    """The address that `host` is without asking a name server, in every spelling that a resolver understands.

    To a resolver `127.1`, `0x7f000001` and `2130706433` are loopback, and so is `localhost`.
    """
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return ipaddress.IPv4Address("127.0.0.1")
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(name))
    except OSError:
        return None


def _embedded(address: IPAddress) -> ipaddress.IPv4Address | None:
    """The IPv4 address inside an IPv4-mapped, 6to4 or NAT64 one."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
