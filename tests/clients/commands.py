"""Running one command of a client to its end, silently or in conversation, within PATIENCE."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PATIENCE = 300  # seconds, so that a client that hangs fails its test and not the whole run


@dataclass(frozen=True)
class Completed:
    """How a command ended; one that lost our patience has the return code of a kill, -9."""

    returncode: int
    stdout: str
    stderr: str
    seconds: float


def run(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str]) -> Completed:
    """Run a command that is told nothing on its standard input."""
    began = time.monotonic()
    with _process(command, cwd, environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        stdout, stderr = (stream.decode(errors="replace") for stream in process.communicate())
    return Completed(process.returncode, stdout, stderr, time.monotonic() - began)


def converse(
    command: Sequence[str], answers: Mapping[str, str], *, cwd: Path, environment: Mapping[str, str]
) -> Completed:
    """Run a command and answer each prompt when it appears; all that it says is in `stdout`.

    Prompts that read lines one at a time throw away what was piped to them all at once.
    """
    began = time.monotonic()
    waiting, said = dict(answers), ""
    with _process(command, cwd, environment, stdin=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while words := os.read(_open(process.stdout).fileno(), 65536):
            said += words.decode(errors="replace")
            for prompt in [prompt for prompt in waiting if prompt in said]:
                _open(process.stdin).write(f"{waiting.pop(prompt)}\n".encode())
                _open(process.stdin).flush()
        process.wait()
    return Completed(process.returncode, said, "", time.monotonic() - began)


@contextmanager
def _process(
    command: Sequence[str], cwd: Path, environment: Mapping[str, str], *, stdin: int, stderr: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a session of its own, which ends as a whole when time is up or the block fails."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )
    clock = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
    clock.start()
    try:
        with process:
            try:
                yield process
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
    finally:
        clock.cancel()


def _open(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None, "the process was started with this pipe"
    return stream
