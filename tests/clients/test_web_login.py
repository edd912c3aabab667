"""A real npm at a terminal: its person signs in, and shows a second factor, in a browser."""

import os
import pty
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from registry import totp
from tests.browser import Browser
from tests.clients import toolbox
from tests.clients.commands import PATIENCE
from tests.clients.toolbox import Project
from tests.server import Server

pytestmark = pytest.mark.clients

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def larder() -> Iterator[Server]:
    with Server(workers=1) as server:
        yield server


@pytest.mark.parametrize("name", ["npm-9", "npm-11", "npm-12"])
def test_the_browser_lets_the_terminal_in(
    name: str, real_client: Callable[[str], toolbox.Client], larder: Server, tmp_path: Path
) -> None:
    package = {"name": f"of-{name}", "version": "1.0.0", "private": False}
    project = real_client(name).project(tmp_path, larder.url, package)

    with command(project, "login") as login:
        browser = Browser(larder.send)
        browser.open(login.url())
        browser.open("?new")
        assert b"Go back" in browser.fill(name=name, password=PASSWORD, again=PASSWORD).body
        assert login.ends() == 0, login.said
    assert project.run("whoami").stdout.strip() == name

    secret = second_factor(larder, name)
    with command(project, "publish") as publish:
        browser = Browser(larder.send)
        browser.open(publish.url())
        assert b"Go back" in browser.fill(code=totp.code(secret, time.time())).body
        assert publish.ends() == 0, publish.said
    assert larder.get(f"/of-{name}").status == 200


def second_factor(larder: Server, name: str) -> str:
    """Switch it on for a person; gives what their app keeps."""
    script = (
        "from audit.actors import Actor; from registry import second_factor; from registry.models import User;"
        f"user = User.objects.get(username={name!r});"
        "print(second_factor.begin(user, 'auth-and-writes', issuer='test'))"
    )
    url = re.findall(r"otpauth:\S+", larder.manage("shell", "-v0", "-c", script).stdout)[0]
    secret = parse_qs(urlsplit(url).query)["secret"][0]
    script = script.rpartition(";")[0] + (
        f";second_factor.confirm(user, {totp.code(secret, time.time())!r}, actor=Actor.system('test'))"
    )
    larder.manage("shell", "-v0", "-c", script)
    return secret


class Command:
    """A command that runs at a terminal of its own."""

    def __init__(self, process: subprocess.Popen[bytes], screen: int) -> None:
        self.said = ""
        self._process, self._screen = process, screen

    def url(self) -> str:
        """The URL that it shows."""
        while True:
            found = re.search(r"(http://\S+/-/web/login/\S+)\s", self.said)
            if found:
                return found[1]
            assert self._read(), self.said

    def ends(self) -> int:
        """How it ends."""
        while self._read():
            pass
        return self._process.wait(PATIENCE)

    def _read(self) -> bool:
        with suppress(OSError):  # a terminal that nobody holds any more
            words = os.read(self._screen, 65536)
            self.said += words.decode(errors="replace")
            return bool(words)
        return False


@contextmanager
def command(project: Project, *words: str) -> Iterator[Command]:
    """Run a command of the project's client at a terminal."""
    screen, keyboard = pty.openpty()
    process = subprocess.Popen(
        [*project.client.command, *words],
        cwd=project.app, env=project.environment(), stdin=keyboard, stdout=keyboard, stderr=keyboard,
        start_new_session=True,
    )  # fmt: skip
    os.close(keyboard)
    clock = threading.Timer(PATIENCE, process.kill)
    clock.start()
    try:
        yield Command(process, screen)
    finally:
        clock.cancel()
        process.kill()
        process.wait()
        os.close(screen)
