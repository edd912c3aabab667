"""An organisation leaves a real Verdaccio while people publish to it; and then that Larder for another one."""

import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from registry.names import PackageName
from tests import verdaccio
from tests.clients import toolbox
from tests.server import Server
from tests.stories.publisher import Publisher
from tests.stories.uploads import Upload

pytestmark = pytest.mark.clients

PASSWORD = "correct horse battery"
WHY = "everything is here by now"
BOXES = [f"@corp/box-{number}" for number in range(6)]
# What a worker does when the beat tells it to, one after the other.
WORK = """
from sync import migrating, running
for one in migrating.Migration.objects.under_way():
    migrating.look(one)
running.work(60)
"""


@pytest.fixture
def npm() -> toolbox.Client:
    with had():
        return toolbox.client("npm-12")


@pytest.fixture
def old() -> Iterator[verdaccio.Verdaccio]:
    with had(), verdaccio.running() as registry:
        yield registry


@contextmanager
def had() -> Iterator[None]:
    """A machine that cannot get a client or Verdaccio skips the test, and CI fails it."""
    try:
        yield
    except toolbox.Unavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))


def integrities(registry, name: str, token: str) -> dict[str, str]:
    answer = registry.send("GET", f"/{PackageName.parse(name).url}", headers={"Authorization": f"Bearer {token}"})
    assert answer.status == 200, answer.body
    return {number: one["dist"]["integrity"] for number, one in answer.json()["versions"].items()}


def start(server: Server, old_url: str, kind: str, token: str, *words: str) -> None:
    server.manage("upstream", "add", "old", old_url, "--kind", kind, "--token-stdin", given=token)
    server.manage("migration", "start", "@corp", "--from", "old", *words)


@contextmanager
def publishing(old, publishers: list[Publisher], first: int) -> Iterator[None]:
    """While the block runs, each of them publishes further versions of every box, and a new package."""
    stop = threading.Event()

    def publish(line: int) -> None:
        for number in range(20):
            if stop.is_set():
                return
            for box in [*BOXES[:3], f"@corp/new-{first}-{line}"]:
                answer = publishers[line].publish(Upload(box, f"{first + line}.0.{number}", tag=f"line-{first + line}"))
                assert answer.status in (201, 409, 503), answer.body  # Verdaccio refuses who comes at the same moment

    with ThreadPoolExecutor(len(publishers)) as crowd:
        busy = [crowd.submit(publish, line) for line in range(len(publishers))]
        try:
            yield
        finally:
            stop.set()
        for one in busy:
            one.result()


@contextmanager
def nobody_calls(port: int) -> Iterator[None]:
    """In the old registry's place is somebody who takes every call down; there is to be none."""
    calls = []
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen()
        listening.settimeout(0.1)
        stop = threading.Event()

        def answer() -> None:
            while not stop.is_set():
                try:
                    caller, _ = listening.accept()
                except TimeoutError:
                    continue
                calls.append(caller.recv(200))
                caller.close()

        thread = threading.Thread(target=answer)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
    assert calls == []


def bring_over(server: Server) -> None:
    for _ in range(10):
        server.manage("shell", "--no-imports", "-c", WORK)
        if server.manage("migration", "status", "@corp", check=False).returncode == 0:
            return
    raise AssertionError(server.manage("migration", "status", "@corp", check=False).stdout)


def installs(server: Server, client: toolbox.Client, folder: Path, token: str, numbers: dict[str, list[str]]) -> None:
    app = {"dependencies": {name: known[-1] for name, known in numbers.items()}}
    project = client.project(folder, server.url, app, token)
    done = project.install()
    assert done.returncode == 0, done
    assert {name for name, _ in project.tree().values()} == numbers.keys()


def test_from_verdaccio_and_on_to_another_larder(old: verdaccio.Verdaccio, npm: toolbox.Client, tmp_path: Path) -> None:
    people = [Publisher.sign_in(old, name, PASSWORD) for name in ("alice", "bob")]
    for box in BOXES:
        assert people[0].publish(Upload(box)).status == 201
    with Server(LARDER_SIGNUP="closed", LARDER_PRIVATE_SCOPES="") as larder:
        assert "2 people are here now" in larder.manage(
            "migration", "users", "--from", "htpasswd", str(old.htpasswd)
        ).stdout  # fmt: skip
        with publishing(old, people, first=2):
            start(larder, old.url, "verdaccio", people[0].token)
            larder.manage("shell", "--no-imports", "-c", WORK)
        bring_over(larder)
        names = sorted({row["name"] for row in json.loads(status(larder))})
        there = {name: integrities(old, name, people[0].token) for name in names}
        assert set(BOXES) < there.keys()
        assert any(len(known) > 1 for known in there.values()), "somebody published meanwhile"
        assert (
            "packages are ours now"
            in larder.manage("migration", "cutover", "@corp", "--reason", WHY, "--owner", "alice").stdout
        )

        with replaced(old):
            assert larder.get(f"/{PackageName.parse(BOXES[0]).url}").status == 404, (
                "what was private there is private here"
            )
            alice = Publisher.sign_in(larder, "alice", PASSWORD)
            assert {name: integrities(larder, name, alice.token) for name in names} == there
            installs(larder, npm, tmp_path / "first", alice.token, {name: list(there[name]) for name in names})
            assert alice.publish(Upload(BOXES[0], "9.0.0")).status == 201
            assert alice.publish(Upload("@corp/brand-new")).status == 201
            there = {name: integrities(larder, name, alice.token) for name in [*names, "@corp/brand-new"]}
            move_on(larder, alice, there, npm, tmp_path)


def move_on(first: Server, alice: Publisher, there: dict[str, dict], npm: toolbox.Client, folder: Path) -> None:
    """The same once more, from a Larder, which is ended after it."""
    with Server(LARDER_PRIVATE_SCOPES="") as second:
        with publishing(first, [alice], first=20):
            start(second, first.url, "larder", alice.token, "--public")
            second.manage("shell", "--no-imports", "-c", WORK)
        bring_over(second)
        names = sorted({row["name"] for row in json.loads(status(second))})
        assert there.keys() <= set(names)
        there = {name: integrities(first, name, alice.token) for name in names}
        second.manage("migration", "cutover", "@corp", "--reason", WHY)
        first.stop()
        with nobody_calls(first.port):
            anew = Publisher.sign_in(second, "alice", PASSWORD)
            assert {name: integrities(second, name, anew.token) for name in names} == there
            installs(second, npm, folder / "second", anew.token, {name: list(there[name]) for name in names})


def status(server: Server) -> str:
    return server.manage("migration", "status", "@corp", "--json").stdout


@contextmanager
def replaced(old: verdaccio.Verdaccio) -> Iterator[None]:
    old.stop()
    with nobody_calls(old.port):
        yield
