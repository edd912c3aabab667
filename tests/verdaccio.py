"""A real Verdaccio with private packages, on a free port of loopback: the registry that an organisation leaves."""

import http.client
import json
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.clients import toolbox
from tests.wsgi import Answer

VERSION = "6.10.4"
OVERRIDES = {"node-fetch": "2.6.7"}  # the one that every registry mirror is sure to have


class Verdaccio:
    """Its address, and its file of people."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self.htpasswd = folder / "htpasswd"
        self.storage = folder / "storage"

    def stop(self) -> None:
        """End it, for good."""
        assert self.process
        self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        self.process.kill()
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def send(self, method: str, path: str, *, body: Any = None, headers: dict | None = None) -> Answer:
        """One request; what `tests.stories.publisher` publishes with."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = {"Content-Type": "application/json", **(headers or {})}
            connection.request(method, path, body=body, headers=sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, response.reason, found, response.read())
        finally:
            connection.close()


@contextmanager
def running() -> Iterator[Verdaccio]:
    """Run it: who is signed in reads and publishes `@corp/*`, and nobody else does. Raises `toolbox.Unavailable`."""
    kept = toolbox.ROOM / f"verdaccio@{VERSION}"
    toolbox.install_once(kept, {"verdaccio": VERSION}, overrides=OVERRIDES)
    with tempfile.TemporaryDirectory(prefix="larder-verdaccio-") as scratch:
        folder = Path(scratch)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            registry = Verdaccio(probe.getsockname()[1], folder)
        (folder / "config.yaml").write_text(json.dumps(_configuration(registry)))
        program = kept / "node_modules" / "verdaccio" / "bin" / "verdaccio"
        command = [
            toolbox.node(),
            program,
            "--config",
            folder / "config.yaml",
            "--listen",
            f"127.0.0.1:{registry.port}",
        ]
        with (folder / "log").open("wb") as log:
            registry.process = subprocess.Popen(
                list(map(str, command)), stdout=log, stderr=log, cwd=folder,
                env={"PATH": os.environ["PATH"], "HOME": scratch, "NODE_ENV": "production"},
            )  # fmt: skip
        try:
            _wait(registry, folder / "log")
            yield registry
        finally:
            registry.stop()


def _configuration(registry: Verdaccio) -> dict[str, object]:
    """YAML, so JSON will do."""
    rights = {"access": "$authenticated", "publish": "$authenticated"}
    return {
        "storage": str(registry.storage),
        "auth": {"htpasswd": {"file": str(registry.htpasswd)}},
        "packages": {"@corp/*": rights, "**": rights},
        "log": {"type": "stdout", "format": "json", "level": "warn"},
    }


def _wait(registry: Verdaccio, log: Path) -> None:
    assert registry.process
    deadline = time.monotonic() + 60
    while True:
        with suppress(URLError, ConnectionError), urlopen(f"{registry.url}/-/ping", timeout=5):
            return
        assert registry.process.poll() is None, log.read_text(errors="replace")
        assert time.monotonic() < deadline, log.read_text(errors="replace")
        time.sleep(0.1)
