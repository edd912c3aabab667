"""The guard around connections to upstreams: where they may lead, and how long they may last.

A document of an upstream names the URLs of its tarballs, and any answer may be a redirect; both may come from
a stranger. So public addresses are always allowed, and others only when the upstream itself lives on such a
one: a registry on loopback may point at loopback, one in the office at the office.

Connections are made to the addresses that `permitted` returns and to nothing else. So a name is resolved once
for the check and the connection, and a name server that changes its answer in between is not asked again.
"""

import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import NewConnectionError, ProtocolError, SSLError
from urllib3.util import Timeout, Url, make_headers, parse_url
from urllib3.util.connection import create_connection

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


def classify(address: IPAddress) -> AddressClass:
    """Tell who can be reached at an address; IPv6 that wraps an IPv4 address is judged by that."""
    address = _embedded(address) or address
    for address_class, networks in _RANGES.items():
        if any(address in network for network in networks):
            return address_class
    if address.is_global and not address.is_reserved:
        return AddressClass.PUBLIC
    return AddressClass.PRIVATE


def resolve(host: str) -> list[IPAddress]:
    """Ask the resolver for the addresses of `host`, in its order. Raises `socket.gaierror`."""
    found = socket.getaddrinfo(host.strip("[]"), None, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(sockaddr[0]) for *_, sockaddr in found]


def permitted(host: str, *, home: str) -> list[IPAddress]:
    """Resolve `host` and keep the addresses that the upstream whose own host is `home` may send us to."""
    found = resolve(host)
    allowed = {AddressClass.PUBLIC}
    if any(classify(address) not in NEVER | allowed for address in found):
        allowed = reach(found if host == home else resolve(home))
    return [address for address in found if classify(address) in allowed]


def reach(home: Iterable[IPAddress]) -> set[AddressClass]:
    """The classes of address that an upstream living at `home` may point at.

    Only public ones as soon as one of its own is: who adds a private address to a public name gains nothing.
    """
    own = {classify(address) for address in home} - NEVER
    return {AddressClass.PUBLIC} if AddressClass.PUBLIC in own else own | {AddressClass.PUBLIC}


def may_ask_proxy_for(host: str, *, home: str) -> bool:
    """Whether a proxy may be asked for `host`; names pass, because resolving them is up to the proxy."""
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


class NotPermitted(Exception):
    """A name leads to addresses that the upstream may not send us to, and to no others."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as the connection that carries them has to know it."""

    home: str
    connect_timeout: float
    read_timeout: float
    deadline: float
    has_connected: bool = False
    has_heard: bool = False

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Be the exchange that the connections of this thread serve."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)

    def within(self, seconds: float) -> float:
        """That many seconds, or what is left until the deadline. Raises `TimeoutError` when nothing is."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time for the whole answer is over")
        return min(seconds, left)


# urllib3 creates connections and responses itself, and passes nothing on to them but its own settings.
_current: ContextVar[Exchange] = ContextVar("exchange")


class _PacedReader(io.RawIOBase):
    """Reads from a socket no longer than the exchange may last, however little comes at a time."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw = raw
        self._sock = sock
        self._exchange = _current.get()
        self.has_ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._sock.settimeout(self._exchange.within(self._exchange.read_timeout))
        count = self._raw.readinto(buffer)
        self._exchange.has_heard |= bool(count)
        self.has_ended = count == 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PacedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._reader = _PacedReader(self.fp.detach(), sock)
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """Read the head, and refuse half of one: http.client takes the end of the stream for the end of the head."""
        super().begin()
        if self._reader.has_ended:
            raise ConnectionAbortedError("the answer ends within its head")


class _Connection(HTTPConnection):
    """Connects to permitted addresses only; TLS, SNI and Host go by the name as ever."""

    response_class = _PacedResponse

    def _new_conn(self) -> socket.socket:
        exchange = _current.get()
        exchange.has_connected = True
        if self.proxy is not None:
            return super()._new_conn()
        try:
            found = permitted(self._dns_host, home=exchange.home)
        except (socket.gaierror, UnicodeError) as error:
            raise NewConnectionError(self, "no such name") from error
        if not found:
            raise NotPermitted
        for address in found:
            try:
                wait = exchange.within(exchange.connect_timeout)
                return create_connection((str(address), self.port), wait, None, self.socket_options)
            except OSError as error:
                failure = error
        raise NewConnectionError(self, str(failure)) from failure


class _TLSConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


class Connections:
    """Connections that are kept and used again, apart for each home: what one may reach, another must not find open."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self._tls = tls
        self._pools: dict[tuple[str, str | None], PoolManager] = {}
        self._lock = threading.Lock()

    def send(self, method: str, target: Url, headers: Mapping[str, str], exchange: Exchange) -> BaseHTTPResponse:
        """Send one request without a body and return the head of its answer, the body still to be read.

        A server may give up a kept connection in the moment in which we use it. Then, and only while not a byte of
        an answer has come, the request is sent once more; for the dead connection the pool opens a new one.
        """
        pools = self._pools_for(target, exchange.home)
        options: dict[str, Any] = {"retries": False, "preload_content": False, "decode_content": False}
        options["timeout"] = Timeout(connect=exchange.connect_timeout, read=exchange.read_timeout)
        with exchange.going_on():
            try:
                return pools.urlopen(method, target.url, redirect=False, headers=headers, **options)
            except (ProtocolError, SSLError):
                if exchange.has_connected or exchange.has_heard:
                    raise
                return pools.urlopen(method, target.url, redirect=False, headers=headers, **options)

    def close(self) -> None:
        """Close those that are not in use."""
        with self._lock:
            for pools in self._pools.values():
                pools.clear()

    def _pools_for(self, target: Url, home: str) -> PoolManager:
        proxy = _proxy_for(target)
        if proxy is not None and not may_ask_proxy_for(target.host or "", home=home):
            raise NotPermitted
        with self._lock:
            if (home, proxy) not in self._pools:
                self._pools[home, proxy] = _new_pools(self._tls, proxy)
            return self._pools[home, proxy]


def _proxy_for(target: Url) -> str | None:
    """The proxy that the environment names for a URL."""
    proxies = getproxies()
    place = target.host if target.port is None else f"{target.host}:{target.port}"
    if proxy_bypass(place or ""):
        return None
    return proxies.get(target.scheme or "") or proxies.get("all")


def _new_pools(tls: ssl.SSLContext, proxy: str | None) -> PoolManager:
    options: dict[str, Any] = {"maxsize": 64, "ssl_context": tls}
    if proxy is None:
        pools = PoolManager(**options)
    else:
        url = parse_url(proxy if "://" in proxy else f"http://{proxy}")
        credentials = make_headers(proxy_basic_auth=unquote(url.auth)) if url.auth else None
        options |= {"proxy_headers": credentials, "proxy_ssl_context": tls}
        pools = ProxyManager(url._replace(auth=None).url, **options)
    pools.pool_classes_by_scheme = {"http": _Pool, "https": _TLSPool}
    return pools
