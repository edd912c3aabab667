"""A server under measurement: how it is started, when it answers, what CPU time it took, how it ends."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
FIRST_RUN = 600  # seconds until a server must answer; the first start of one may install what it needs
FAREWELL = 20  # seconds between asking a server to stop and making it


class DidNotStart(Exception):
    """A server ended or kept silent instead of answering."""


@dataclass(frozen=True)
class Server:
    """A running server: where it answers, and its first process."""

    name: str
    url: str
    pid: int

    @property
    def pids(self) -> list[int]:
        """The first process and all that descend from it, as they are now."""
        children: dict[int, list[int]] = {}
        for pid, fields in _all_processes():
            children.setdefault(int(fields[1]), []).append(pid)
        found = [self.pid]
        for pid in found:
            found.extend(children.get(pid, ()))
        return found

    def cpu_seconds(self) -> float:
        """Return the CPU time of the whole tree so far, with that of children which have ended."""
        alive = set(self.pids)
        return sum(sum(map(int, fields[11:15])) for pid, fields in _all_processes() if pid in alive) / TICKS


def _all_processes() -> Iterator[tuple[int, list[str]]]:
    """Yield pid and fields of `/proc/<pid>/stat` from the state on: 1 is the parent, 11 to 14 are times."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we looked
            yield int(entry.name), stat.rpartition(")")[2].split()


@contextmanager
def running(
    name: str, command: Sequence[str], *, port: int, environment: Mapping[str, str], log: Path
) -> Iterator[Server]:
    """Run a server on a loopback port until the block ends; what it prints goes to `log`, in its folder."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=log.parent,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Server(name, f"http://127.0.0.1:{port}", process.pid)
    try:
        _wait_until_it_answers(server, process, log)
        yield server
    finally:
        _stop(server, process)


def free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def emptied(folder: Path) -> Path:
    """Return the folder, new and empty."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def _wait_until_it_answers(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + FIRST_RUN
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{server.url}/-/ping", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise DidNotStart(f"{server.name} did not start. The end of what it said:\n{log.read_text()[-2000:]}")


def _stop(server: Server, process: subprocess.Popen[bytes]) -> None:
    """Ask the server to stop; one that does not is ended with all that descends from it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(FAREWELL)
    except subprocess.TimeoutExpired:
        for pid in server.pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait()
