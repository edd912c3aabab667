"""A copy of this checkout, and `bin/run` in it, as somebody has them who has just cloned the project."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from tests.server import CHECKOUT

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
    """The project in a folder of its own. Its virtual environment is the one that runs the tests."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkout"
        self._home = folder / "home"
        self._programs = folder / "programs"
        for path in _files_of_the_project():
            (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):  # deleted, and git has not heard of it
                shutil.copy2(CHECKOUT / path, self.folder / path)
        self._lend_environment()
        self._home.mkdir()
        self._programs.mkdir()
        (self._programs / "npm").write_text(NPM)
        (self._programs / "npm").chmod(0o755)

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    def environment(self, var: Path, **variables: Any) -> dict[str, str]:
        """A plain one, in which nothing of the tests' own settings is left, and no package is downloaded."""
        return {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "HOME": str(self._home),
            "PIP_NO_INDEX": "1",
            "LARDER_VAR": str(var),
            **{name: str(value) for name, value in variables.items()},
        }

    def fail(self, var: Path, **variables: Any) -> str:
        """`bin/run` that cannot start: what it says on standard error."""
        done = subprocess.run(
            [self.folder / "bin" / "run"],
            env=self.environment(var, **variables), capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert done.returncode != 0, done.stdout
        assert "Traceback" not in done.stdout + done.stderr
        return done.stderr

    def _lend_environment(self) -> None:
        venv = self.folder / ".venv"
        venv.mkdir()
        for name in ("bin", "lib", "pyvenv.cfg"):
            (venv / name).symlink_to(Path(sys.prefix) / name)


class Run:
    """`bin/run`, from its start to its end.

    When the block ends it is stopped by Ctrl-C, and none of its processes may be left.
    """

    def __init__(self, checkout: Checkout, var: Path, **variables: Any) -> None:
        self._output = var.with_name(f"{var.name}-{time.monotonic_ns()}.out")
        self._processes: set[int] = set()
        with self._output.open("wb") as output:
            self._main = subprocess.Popen(
                [checkout.folder / "bin" / "run"],
                env=checkout.environment(var, **variables), stdout=output, stderr=output, start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        try:
            self._wait_until_it_serves()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._main.poll() is None:
                self.stop(signal.SIGINT)
        finally:
            self._kill()

    @property
    def said(self) -> str:
        """All of its output so far."""
        return self._output.read_text(errors="replace")

    @property
    def password(self) -> str | None:
        """The one that it has made for the first administrator and shown."""
        shown = re.search(r"password (\S+) \(shown this once\)", self.said)
        return shown[1] if shown else None

    def stop(self, number: signal.Signals) -> int:
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

    def _wait_until_it_serves(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while "Larder serves at" not in self.said:
            assert self._main.poll() is None, self.said
            assert time.monotonic() < deadline, self.said
            time.sleep(0.05)
        self._processes |= descendants(self._main.pid)

    def _kill(self) -> None:
        for pid in {self._main.pid, *self.left()}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._main.wait()


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
