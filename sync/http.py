"""The one HTTP client for upstreams: pooled, guarded, and honest about what it got.

urllib3 does the protocol. What it leaves open is decided here: redirects are followed by hand, so that credentials
stay with the origin they were configured for and every target is vetted (`sync.addresses`); a total deadline ends an
upstream which drips; bodies come as they stood on the wire, or decoded within a bound; and whatever goes wrong is an
error with a sentence for people.
Nothing is tried twice but for one case: a kept connection that the server gave up just before we used it.
"""

import http.client
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol, Self
from urllib.parse import urljoin

import urllib3
import zstandard
from urllib3 import exceptions as failures
from urllib3.util import Url, parse_url

from audit.facts import storable_text
from sync import addresses

REDIRECTS = frozenset({301, 302, 303, 307, 308})
NOT_NOW = frozenset({408, 425, 429})
DEFAULT_PORTS = {"http": 80, "https": 443}
RETRY_AFTER_MAX = 3600.0
DRAIN_MAX = 65536  # An unread body up to this size is read to its end: that is cheaper than a new connection.
# What is given to a decompressor at once. Its output is known only afterwards: at worst 16 MB, by zstd.
INFLATE_STEP = 512


class UpstreamError(Exception):
    """An upstream did not give what was asked; the sentence tells an operator why."""

    def __init__(self, sentence: str, *, retry_after: float | None = None) -> None:
        self.sentence = storable_text(sentence)  # an upstream's own words may be in it
        super().__init__(self.sentence)
        self.retry_after = retry_after


class Unreachable(UpstreamError):
    """No answer: the name, the connection, TLS or the time."""


class BadAnswer(UpstreamError):
    """An answer that says "not now", or that makes no sense."""


class Truncated(UpstreamError):
    """The connection ended before the body did."""


class Refused(UpstreamError):
    """An answer about one thing that is no use: the upstream is not ill, and asking again soon would not help."""


class TooLarge(Refused):
    """The body is larger than the caller wants to hold."""


class ForbiddenTarget(Refused):
    """A URL that we will not follow, wherever it came from."""


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds: to connect to one address, between two pieces of an answer, and for all together.

    Only the name server takes its own time; the system's resolver cannot be told how long it may.
    """

    connect: float = 5
    read: float = 20
    total: float = 60


USUAL = Timeouts()


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an upstream was configured to be, and the credentials that it and nobody else may see."""

    scheme: str
    host: str
    port: int
    authorization: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, url: str, authorization: str | None = None) -> Self:
        """The origin of a configured URL. Raises `ForbiddenTarget` when that is none we would follow."""
        return cls(*_place(_parsed(url)), authorization)

    def owns(self, target: Url) -> bool:
        return (self.scheme, self.host, self.port) == _place(target)


class Response:
    """An answer whose body is still on its way; leaving its `with` block gives the connection back or up."""

    def __init__(self, raw: urllib3.BaseHTTPResponse, target: Url, max_bytes: int | None = None) -> None:
        self.status = raw.status
        self.reason = raw.reason
        self.headers: Mapping[str, str] = raw.headers
        self.url = target.url
        self.content_length: int | None = raw.length_remaining
        self.shown = _shown(target)  # for sentences
        self._raw = raw
        self._max_bytes = max_bytes

    def stream(self, chunk: int = 65536) -> Iterator[bytes]:
        """Give the body as it stands on the wire, at most `chunk` bytes at a time and as soon as they come."""
        received = 0
        while True:
            with _failures_named(self.shown, in_body=True):
                data = self._raw.read1(chunk, decode_content=False)
            if not data:
                return
            received += len(data)
            if self._max_bytes is not None and received > self._max_bytes:
                raise TooLarge(f"{self.shown} sent more than {self._max_bytes} bytes")
            yield data

    def read_all(self, max_bytes: int) -> bytes:
        """The whole body, decoded. Neither what came nor what it decodes to may be larger than `max_bytes`."""
        body = bytearray()
        for data in self.stream():
            body += data
            if len(body) > max_bytes:
                raise TooLarge(f"{self.shown} sent more than {max_bytes} bytes")
        return _decoded(bytes(body), self.headers.get("content-encoding", ""), max_bytes, self.shown)

    def close(self) -> None:
        """Give the connection back when little of the body is left, else close it."""
        left = self._raw.length_remaining
        if left is not None and left <= DRAIN_MAX:
            self._raw.drain_conn()
        else:
            self._raw.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self._raw.close()


class Client:
    """Asks upstreams. One is enough for a process: threads share it, and connections are kept and used again."""

    def __init__(
        self, *, user_agent: str, timeout: Timeouts = USUAL, max_redirects: int = 5, ca_file: str | None = None
    ) -> None:
        """`ca_file` names certificates to trust besides the system's. Proxies come from the environment."""
        self._user_agent = user_agent
        self._timeout = timeout
        self._max_redirects = max_redirects
        tls = ssl.create_default_context()
        if ca_file is not None:
            tls.load_verify_locations(ca_file)
        self._connections = addresses.Connections(tls)

    def get(
        self,
        url: str,
        *,
        origin: Origin,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        timeout: Timeouts | None = None,
        method: str = "GET",
    ) -> Response:
        """Ask for `url` on behalf of `origin`, and return the answer of the place where the redirects end.

        What was not found, not allowed or not modified is an answer; an upstream that is ill, or sends us where we will
        not go, is an `UpstreamError`. Bodies come with gzip unless `headers` say otherwise, bounded by `max_bytes`.
        """
        timeout = timeout or self._timeout
        deadline = time.monotonic() + timeout.total
        wanted = {"accept-encoding": "gzip", "user-agent": self._user_agent}
        wanted |= {name.lower(): value for name, value in (headers or {}).items()}
        target, visited = _parsed(url), set[Url]()
        while len(visited) <= self._max_redirects:
            visited.add(target)
            exchange = addresses.Exchange(origin.host, timeout.connect, timeout.read, deadline)
            response = Response(self._ask(method, target, origin, wanted, exchange), target, max_bytes)
            if response.status not in REDIRECTS:
                return _accepted(response, max_bytes)
            target = _redirected(response, target)
            if target in visited:
                raise BadAnswer(f"{_shown(target)} redirects in a circle")
        raise BadAnswer(f"{_shown(_parsed(url))} redirects more than {self._max_redirects} times")

    def close(self) -> None:
        """Close the connections that are kept. The client can still be used."""
        self._connections.close()

    def _ask(
        self, method: str, target: Url, origin: Origin, wanted: Mapping[str, str], exchange: addresses.Exchange
    ) -> urllib3.BaseHTTPResponse:
        headers = {name: value for name, value in wanted.items() if name != "authorization"}
        if origin.authorization is not None and origin.owns(target):
            headers["authorization"] = origin.authorization
        with _failures_named(_shown(target)):
            return self._connections.send(method, target, headers, exchange)


@contextmanager
def _failures_named(place: str, *, in_body: bool = False) -> Iterator[None]:
    """Turn what urllib3 raises about `place` into our errors."""
    try:
        yield
    except addresses.NotPermitted as error:
        reason = "leads into a network that is neither public nor this upstream's own"
        raise ForbiddenTarget(f"{place} {reason}; nothing was sent there") from error
    except failures.NewConnectionError as error:  # which urllib3 counts among the timeouts
        raise Unreachable(f"{place} cannot be reached: {_reason(error)}") from error
    except failures.TimeoutError as error:
        raise Unreachable(f"{place} did not answer in time") from error
    except failures.ProtocolError as error:
        reason = _reason(error)
        if in_body:
            raise Truncated(f"{place} broke off before the end: {reason}") from error
        if isinstance(error.args[-1], http.client.RemoteDisconnected | OSError):
            raise Unreachable(f"{place} broke the connection off: {reason}") from error
        raise BadAnswer(f"{place} does not speak HTTP: {reason}") from error
    except failures.InvalidHeader as error:
        raise BadAnswer(f"{place} sent a header that makes no sense: {error}") from error
    except failures.HTTPError as error:
        raise Unreachable(f"{place} cannot be reached: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What the operating system or the peer said, without the layers around it."""
    cause = error.__cause__ or error.args[-1]
    return str(getattr(cause, "strerror", None) or cause)


def _accepted(response: Response, max_bytes: int | None) -> Response:
    """Pass an answer on, unless it says that the upstream is ill or that it is too large."""
    status, length = response.status, response.content_length
    if status in NOT_NOW or status >= 500 or status < 200 or (300 <= status < 400 and status != 304):
        response.close()
        retry_after = _retry_after(response.headers.get("retry-after", ""))
        raise BadAnswer(f"{response.shown} answered {status} {response.reason}", retry_after=retry_after)
    if max_bytes is not None and length is not None and length > max_bytes:
        response.close()
        raise TooLarge(f"{response.shown} has {length} bytes, {max_bytes} are allowed")
    return response


def _redirected(response: Response, target: Url) -> Url:
    """Where a redirect leads, if we follow it there."""
    response.close()
    location = response.headers.get("location")
    if not location:
        raise BadAnswer(f"{response.shown} answered {response.status} without saying where to go")
    try:
        next_target = _parsed(urljoin(target.url, location))
    except ValueError as error:
        raise BadAnswer(f"{response.shown} redirects to what is not a URL") from error
    if target.scheme == "https" and next_target.scheme == "http":
        raise ForbiddenTarget(f"{response.shown} redirects from https to plain http, to {_shown(next_target)}")
    return next_target


def _retry_after(value: str) -> float | None:
    """Seconds until an upstream wants to be asked again: given as such or as a date, and bounded."""
    if value.isascii() and value.isdigit():
        return min(float(value), RETRY_AFTER_MAX)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return min(max(moment.timestamp() - time.time(), 0.0), RETRY_AFTER_MAX)


class _Decoder(Protocol):
    """What zlib and zstandard have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


_DECODERS: dict[str, Callable[[], _Decoder]] = {
    **dict.fromkeys(("gzip", "x-gzip", "deflate"), lambda: zlib.decompressobj(32 + zlib.MAX_WBITS)),
    "zstd": lambda: zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj(),
}


def _decoded(body: bytes, coding: str, max_bytes: int, place: str) -> bytes:
    """Undo a Content-Encoding, in steps so small that a bomb is noticed before it has filled the memory."""
    coding = coding.strip().lower()
    if not body or coding in {"", "identity"}:
        return body
    decoded = bytearray()
    try:
        decoder = _DECODERS[coding]()
        for start in range(0, len(body), INFLATE_STEP):
            encoded = body[start : start + INFLATE_STEP]
            while encoded:
                if decoder.eof:  # what follows is one more member of the same kind
                    decoder = _DECODERS[coding]()
                decoded += decoder.decompress(encoded)
                encoded = decoder.unused_data
            if len(decoded) > max_bytes:
                raise TooLarge(f"{place} decodes to more than {max_bytes} bytes")
    except (KeyError, zlib.error, zstandard.ZstdError) as error:
        raise BadAnswer(f"{place} cannot be decoded from {coding}: {error}") from error
    if not decoder.eof:
        raise BadAnswer(f"{place} cannot be decoded from {coding}: it ends too early")
    return bytes(decoded)


def _parsed(url: str) -> Url:
    """Read a URL with the very parser that the connection goes by, and refuse what we never follow."""
    try:
        target = parse_url(url)
    except failures.LocationParseError as error:
        raise ForbiddenTarget(f"{url.partition('?')[0][:200]!r} is not a URL") from error
    if target.auth is not None:
        raise ForbiddenTarget(f"a URL of {target.host} carries a name and password; they belong in the upstream")
    if target.scheme not in DEFAULT_PORTS or not target.host or "%" in target.host:
        raise ForbiddenTarget(f"{url.partition('?')[0][:200]!r} is not an http or https URL")
    return target._replace(fragment=None)


def _place(target: Url) -> tuple[str, str, int]:
    scheme, host = target.scheme or "", target.host or ""
    return scheme, host, target.port or DEFAULT_PORTS[scheme]


def _shown(target: Url) -> str:
    """A URL for people: without its query, which may be a signature."""
    return target._replace(query=None).url
