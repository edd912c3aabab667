"""A copy of this checkout, and `bin/run` in it, as somebody has them who has just cloned the project."""

import http.client
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import IO, Any, Self

from tests.server import CHECKOUT
from tests.wsgi import Answer

PATIENCE = 120
UPSTREAM = "https://upstream.example/npm"
# All that `npm config get` is asked for. The real client may be absent, and has a configuration of this machine.
NPM = f"""#!/bin/sh
case "$*" in
  "config get registry") echo {UPSTREAM}/ ;;
  *) echo undefined ;;
esac
"""


class Checkout:
    """The project in a folder of its own. Its virtual environment is, if it has one, the one that runs the tests."""

    def __init__(self, folder: Path, *, lend_environment: bool = True) -> None:
        self.folder = folder / "checkout"
        self.programs = folder / "programs"
        self.home = folder / "home"
        for path in _files_of_the_project():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # deleted, and git has not heard of it
                shutil.copy2(CHECKOUT / path, self.folder / path)
        if lend_environment:
            self._lend_environment()
        self.home.mkdir()
        self.programs.mkdir()
        self.install("npm", NPM)

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    def environment(self, **variables: Any) -> dict[str, str]:
        """A plain one, in which nothing of the tests' own settings is left, and no package is downloaded."""
        return {
            "PATH": f"{self.programs}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "PIP_NO_INDEX": "1",
            **{name: str(value) for name, value in variables.items()},
        }

    def install(self, name: str, script: str) -> None:
        """A program that is found before the machine's own of that name."""
        (self.programs / name).write_text(script)
        (self.programs / name).chmod(0o755)

    def _lend_environment(self) -> None:
        venv = self.folder / ".venv"
        venv.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (venv / name).symlink_to(Path(sys.prefix) / name)


class Run:
    """`bin/run`, from its start to its end; what still runs when the block ends is ended.

    with Run(checkout, LARDER_VAR=folder, PORT=8000) as run:
        run.serving()
    """

    def __init__(self, checkout: Checkout, *, PORT: int, **variables: Any) -> None:  # noqa: N803 (a variable's name)
        self.port = PORT
        self._processes: set[int] = set()
        self._out = tempfile.TemporaryFile()  # noqa: SIM115 (both are closed with the run)
        self._error = tempfile.TemporaryFile()  # noqa: SIM115
        self._main = subprocess.Popen(
            [checkout.folder / "bin" / "run"],
            env=checkout.environment(PORT=PORT, **variables),
            stdout=self._out,
            stderr=self._error,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._main.poll() is None:
            self.stop()
        for pid in {self._main.pid, *self.left()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._main.wait()
        self._out.close()
        self._error.close()

    def serving(self) -> Self:
        """Itself, once it serves."""
        deadline = time.monotonic() + PATIENCE
        while "npm config set registry" not in self.said:
            assert self._main.poll() is None, self.said + self.complaint
            assert time.monotonic() < deadline, self.said + self.complaint
            time.sleep(0.05)
        self._processes |= descendants(self._main.pid)
        return self

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def send(self, method: str, path: str, *, body: Any = None, headers: dict | None = None) -> Answer:
        """One request, whole."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            sent = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, response.reason, sent, response.read())

    @property
    def said(self) -> str:
        """All of its standard output so far."""
        return _all_of(self._out)

    @property
    def complaint(self) -> str:
        """All of its standard error so far."""
        return _all_of(self._error)

    @property
    def password(self) -> str | None:
        """The one that it has made for the first administrator and shown."""
        shown = re.search(r"password (\S+) \(shown this once\)", self.said)
        return shown[1] if shown else None

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it by a signal to `bin/run` alone; the exit status."""
        self._processes |= descendants(self._main.pid)
        self._main.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; the exit status."""
        return self._main.wait(PATIENCE)

    def left(self) -> set[int]:
        """Its processes that still live."""
        self._processes |= descendants(self._main.pid)
        return {pid for pid in self._processes if is_alive(pid)}

    def process(self, name: str) -> int:
        """The process id of the one child in whose command line `name` is."""
        [found] = [pid for pid in children(self._main.pid) if name in _read(pid, "cmdline")]
        return found


def _all_of(file: IO[bytes]) -> str:
    """What is in the file, without moving the place at which somebody writes to it."""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode(errors="replace")


def descendants(pid: int) -> set[int]:
    """The process, and all that it started, whatever sessions they are in."""
    return {pid}.union(*(descendants(child) for child in children(pid)))


def children(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    return []


def is_alive(pid: int) -> bool:
    """Whether it runs; one that is dead and only waits to be looked at does not."""
    status = _read(pid, "stat")
    return bool(status) and status.rpartition(")")[2].split()[0] not in "ZX"


def _read(pid: int, file: str) -> str:
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _files_of_the_project() -> list[str]:
    """What git tracks and what it would, but nothing that it ignores."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]
