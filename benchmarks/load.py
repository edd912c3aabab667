"""A small load generator: a few processes, each with one kept-alive connection, for a bounded time.

It reads answers no further than it must to find their end, so that it costs less than any server it measures.
"""

import multiprocessing
import socket
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

PATIENCE = 60  # seconds for one answer


class WrongAnswer(Exception):
    """A server answered otherwise than it was asked to."""


@dataclass(frozen=True)
class Ask:
    """One request, repeated: where, with which headers, and the status that must come back."""

    url: str
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200

    def wire(self) -> bytes:
        """Return the request as it is sent."""
        address = urlsplit(self.url)
        lines = [f"GET {address.path} HTTP/1.1", f"host: {address.netloc}"]
        lines += [f"{name}: {value}" for name, value in self.headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()


@dataclass(frozen=True)
class Answer:
    """One answer: status, headers with small names, and the size of its body on the wire."""

    status: int
    headers: dict[str, str]
    size: int


class Connection:
    """A connection that asks one thing again and again, and is opened anew when the server has closed it."""

    def __init__(self, ask: Ask) -> None:
        address = urlsplit(ask.url)
        self.place = (address.hostname or "", address.port or 80)
        self.request = ask.wire()
        self.socket: socket.socket | None = None
        self.held = b""

    def get(self) -> Answer:
        """Ask once and read the answer to its end."""
        if self.socket is None:
            self.socket = socket.create_connection(self.place, PATIENCE)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(self.request)
        head = self._until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
        status = int(head[0].split()[1])
        size = 0 if status == 304 else self._body(headers)
        if headers.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, headers, size)

    def close(self) -> None:
        """End the connection; `get` opens another."""
        if self.socket:
            self.socket.close()
            self.socket = None

    def _body(self, headers: dict[str, str]) -> int:
        if "content-length" in headers:
            return self._skip(int(headers["content-length"]))
        size = 0
        while chunk := int(self._until(b"\r\n").partition(b";")[0], 16):
            size += self._skip(chunk)
            self._skip(2)
        self._until(b"\r\n")
        return size

    def _until(self, end: bytes) -> bytes:
        while end not in self.held:
            self.held += self._received()
        found, _, self.held = self.held.partition(end)
        return found

    def _skip(self, size: int) -> int:
        missing = size - len(self.held)
        while missing > 0:
            self.held = b""
            part = self._received()
            missing, self.held = missing - len(part), part
        self.held = self.held[len(self.held) + missing :] if missing else b""
        return size

    def _received(self) -> bytes:
        if self.socket is None or not (part := self.socket.recv(1 << 18)):
            raise WrongAnswer("the connection ended inside an answer")
        return part


def once(ask: Ask) -> Answer:
    """Ask once, on a connection of its own."""
    connection = Connection(ask)
    try:
        return connection.get()
    finally:
        connection.close()


def load(ask: Ask, *, connections: int, seconds: float, most: int) -> tuple[int, float]:
    """Ask over several connections until time is up or each has asked `most` times; return count and seconds."""
    context = multiprocessing.get_context("fork")
    with context.Pool(connections) as pool:
        began = time.monotonic()
        counts = pool.starmap(_repeat, [(ask, began + seconds, most)] * connections, chunksize=1)
        return sum(counts), time.monotonic() - began


def _repeat(ask: Ask, deadline: float, most: int) -> int:
    connection = Connection(ask)
    count = 0
    try:
        while count < most and time.monotonic() < deadline:
            answer = connection.get()
            if answer.status != ask.status:
                raise WrongAnswer(f"{ask.url} answered {answer.status}, not {ask.status}")
            count += 1
    finally:
        connection.close()
    return count
