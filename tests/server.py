"""A real server in processes of its own, with its own var folder and database.

    with Server(upstream=upstream.url, workers=2, LARDER_SIGNUP="closed") as server:
        answer = server.get("/left-pad")
        server.manage("sync", "left-pad")

It is gunicorn as `bin/run` starts it, without the worker beside it. The database is SQLite in the var folder, or a
database of its own on the PostgreSQL that DATABASE_URL names. Its log is shown when a test fails inside the block.
"""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

from tests.wsgi import Answer

CHECKOUT = Path(__file__).resolve().parent.parent
PATIENCE = 60


class Server:
    """Larder on a free port of loopback; stopped and started again, it keeps its port, folder and rows."""

    def __init__(self, *, upstream: str = "none", workers: int = 2, threads: int = 16, **environment: Any) -> None:
        self.var = Path(tempfile.mkdtemp(prefix="larder-server-"))
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._database = os.environ.get("DATABASE_URL", "")
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": f"sqlite:///{self.var / 'larder.sqlite3'}",
            "PYTHONUNBUFFERED": "1",
            "HOST": "127.0.0.1",
            "LARDER_VAR": str(self.var),
            "LARDER_SECRET_KEY": "a key for tests",
            "LARDER_UPSTREAM_URL": upstream,
            "LARDER_UPSTREAM_CA": "",
            "LARDER_NODE_DIST_URL": "none",
            "LARDER_PUBLIC_URL": "",
            "LARDER_LDAP_URL": "",
            "LARDER_OIDC_ISSUER": "",
            "LARDER_PRIVATE_SCOPES": "@acme",
            "LARDER_SIGNUP": "open",
            "LARDER_LOG_LEVEL": "WARNING",
            "LARDER_WORKERS": str(workers),
            "LARDER_THREADS": str(threads),
            **{name: str(value) for name, value in environment.items()},
        }

    # --- Its life -------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            if self._database:
                self._environment["DATABASE_URL"] = _create_database(self._database)
            self.manage("migrate", "--verbosity", "0")
            return self.start()
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is not None:
            print(f"--- The log of {self.url} ---\n{self.log}")
        if self._environment["DATABASE_URL"].startswith("postgres"):
            _drop_database(self._database, self._environment["DATABASE_URL"])
        shutil.rmtree(self.var, ignore_errors=True)

    def start(self) -> Self:
        """Serve, and return when it answers. The socket is ours until the server has it, so no port is guessed."""
        with socket.socket() as listening, (self.var / "log").open("ab") as log:
            _bind(listening, self.port)
            listening.listen(128)
            self.port = listening.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--config", "python:config.gunicorn",
                 "--bind", f"fd://{listening.fileno()}", "config.wsgi"],
                cwd=CHECKOUT, env=self._environment, pass_fds=[listening.fileno()],
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._wait_until_it_answers()
        return self

    def stop(self) -> None:
        """End it as an operator does; what does not end is killed."""
        if self._process is None:
            return
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        self.kill()

    def kill(self) -> None:
        """`kill -9` of the master and all its workers at once, as when the machine loses power."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def _wait_until_it_answers(self) -> None:
        """Until one worker answers and the others are there: they are started one after the other."""
        assert self._process
        deadline = time.monotonic() + PATIENCE
        wanted = int(self._environment["LARDER_WORKERS"])
        while True:
            with suppress(OSError, http.client.HTTPException):
                if self.get("/-/ping", timeout=5).status == 200 and len(self.workers) == wanted:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not come up:\n{self.log}")
            time.sleep(0.1)

    # --- What one can ask of it -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What it has said so far, over all its starts."""
        path = self.var / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        """The master's."""
        assert self._process, "the server is not running"
        return self._process.pid

    @property
    def workers(self) -> list[int]:
        """The process ids of the web workers."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(child) for child in children.split()]

    @property
    def peak_memory(self) -> int:
        """The most memory in bytes that any of the web workers ever had (VmHWM)."""
        return max(_peak_memory(worker) for worker in self.workers)

    def get(self, path: str, *, timeout: float = PATIENCE, **headers: str) -> Answer:
        """GET on a connection of its own; `if_none_match="…"` and the like are headers."""
        return self.send("GET", path, timeout=timeout, headers={key.replace("_", "-"): headers[key] for key in headers})

    def send(
        self, method: str, path: str, *, body: Any = None, headers: dict | None = None, timeout: float = PATIENCE
    ) -> Answer:
        """One request, whole; `body` may be whatever `http.client` sends. Raises what `http.client` raises."""
        with self.opened(method, path, body=body, headers=headers, timeout=timeout) as response:
            raw = response.read()
            sent = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, response.reason, sent, raw)

    @contextmanager
    def opened(
        self, method: str, path: str, *, body: Any = None, headers: dict | None = None, timeout: float = PATIENCE
    ):
        """The answer to a request, as an `http.client.HTTPResponse` whose body is still to be read."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            yield connection.getresponse()
        finally:
            connection.close()

    def manage(self, *arguments: str, check: bool = True, given: str = "") -> subprocess.CompletedProcess[str]:
        """`manage.py`, with the server's environment; `given` is what it reads."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=CHECKOUT, env=self._environment, capture_output=True, text=True, timeout=PATIENCE, check=False,
            input=given,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"manage.py {' '.join(arguments)}:\n{done.stdout}{done.stderr}"
        return done


def _bind(listening: socket.socket, port: int) -> None:
    """Bind; workers that were killed just now may need a moment to let go of the port."""
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return listening.bind(("127.0.0.1", port))
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _peak_memory(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(kilobytes) << 10


def _create_database(server: str) -> str:
    """The URL of a new, empty database on the PostgreSQL at `server`."""
    name = f"larder_server_{uuid4().hex[:12]}"
    _execute(server, f'CREATE DATABASE "{name}"')
    return urlsplit(server)._replace(path=f"/{name}").geturl()


def _drop_database(server: str, url: str) -> None:
    _execute(server, f'DROP DATABASE IF EXISTS "{urlsplit(url).path[1:]}" WITH (FORCE)')


def _execute(server: str, statement: str) -> None:
    import psycopg2

    connection = psycopg2.connect(server)
    try:
        connection.autocommit = True
        connection.cursor().execute(statement)
    finally:
        connection.close()
