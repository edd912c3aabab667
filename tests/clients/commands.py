"""Running one command of a client to its end, silently or in conversation, within PATIENCE."""

import os
import pty
import signal
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PATIENCE = 300  # seconds, so that a client that hangs fails its test and not the whole run

# What is typed at a prompt, or a function of all that was said so far, which may as well do something and type nothing.
Reply = str | Callable[[str], str | None]


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
    command: Sequence[str], answers: Mapping[str, Reply], *, cwd: Path, environment: Mapping[str, str]
) -> Completed:
    """Run a command and answer each prompt when it appears; all that it says is in `stdout`.

    Prompts that read lines one at a time throw away what was piped to them all at once.
    """
    began = time.monotonic()
    with _process(command, cwd, environment, stdin=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        reading, writing = _open(process.stdout).fileno(), _open(process.stdin).fileno()
        said = _talk(reading, writing, answers, enter="\n")
        process.wait()
    return Completed(process.returncode, said, "", time.monotonic() - began)


def at_terminal(
    command: Sequence[str], answers: Mapping[str, Reply], *, cwd: Path, environment: Mapping[str, str]
) -> Completed:
    """Converse at a terminal, for commands that ask nobody else; all that it shows is in `stdout`."""
    began = time.monotonic()
    screen, keyboard = pty.openpty()
    with (
        os.fdopen(screen, "rb", buffering=0),
        _process(command, cwd, environment, stdin=keyboard, stdout=keyboard, stderr=keyboard) as process,
    ):
        os.close(keyboard)
        said = _talk(screen, screen, answers, enter="\r")
        process.wait()
    return Completed(process.returncode, said, "", time.monotonic() - began)


def _talk(reading: int, writing: int, answers: Mapping[str, Reply], *, enter: str) -> str:
    """Answer prompts until the other side has no more to say; return all that it said."""
    waiting, said = dict(answers), ""
    while words := _read(reading):
        said += words.decode(errors="replace")
        for prompt in [prompt for prompt in waiting if prompt in said]:
            reply = waiting.pop(prompt)
            typed = reply if isinstance(reply, str) else reply(said)
            if typed is not None:
                _wait_for_the_cursor(writing)
                os.write(writing, f"{typed}{enter}".encode())
    return said


def _wait_for_the_cursor(writing: int) -> None:
    """Wait until the one who prompts has switched a terminal's echo off: some forget what was typed before."""
    deadline = time.monotonic() + 5
    while os.isatty(writing) and termios.tcgetattr(writing)[3] & termios.ECHO and time.monotonic() < deadline:
        time.sleep(0.01)


def _read(file: int) -> bytes:
    with suppress(OSError):  # a terminal that nobody holds any more
        return os.read(file, 65536)
    return b""


@contextmanager
def _process(
    command: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    *,
    stdin: int,
    stdout: int = subprocess.PIPE,
    stderr: int,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a session of its own, which ends as a whole when time is up or the block fails."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=stdin,
        stdout=stdout,
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
