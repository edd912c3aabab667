"""What real clients get of versions that rules are about: by a range, by the number, and by a lockfile of before."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients import advice, toolbox
from tests.clients.commands import Completed
from tests.clients.releases import CLIENTS as RELEASES
from tests.fake_upstream import FakeUpstream
from tests.server import Server

pytestmark = pytest.mark.clients

SOME = ("npm-12", "yarn-1")
# LARDER_TEST_CLIENTS_ALL: every client, not only some. It takes some minutes more.
CLIENTS = tuple(RELEASES) if os.environ.get("LARDER_TEST_CLIENTS_ALL") else SOME
ACTIONS = ("replace", "override", "hide", "forbid")
# Each action has its own, since one install may be about several.
REASONS = {action: f"it carries a worm called {action}-mite" for action in ACTIONS}
# The lockfile of before is made of these together: none of them is refused by it.
SOFT = ("replace", "override", "hide")


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """For each client a package for each action, so that its rules are there when it is its turn and not before."""
    with FakeUpstream() as registry:
        for client in CLIENTS:
            for action in ACTIONS:
                publish(registry, named(action, client))
        yield registry


@pytest.fixture(scope="module")
def larder(upstream: FakeUpstream) -> Iterator[Server]:
    with Server(upstream=upstream.url) as server:
        yield server


def named(action: str, client: str) -> str:
    return f"{action}-for-{client}"


def publish(registry: FakeUpstream, name: str) -> None:
    """1.0.0 is good; 1.0.1 is bad, and has a script that leaves a file behind."""
    registry.publish(name, "1.0.0", files={"index.js": "module.exports = 'good'"})
    mark = "require('fs').writeFileSync('ran', '')"
    bad = {"index.js": "module.exports = 'bad'", "mark.js": mark}
    registry.publish(name, "1.0.1", files=bad, scripts={"postinstall": "node mark.js"})


def make_rules(larder: Server, client: str, folder: Path) -> None:
    rules = [
        {"package": named(action, client), "versions": "1.0.1", "action": action, "reason": REASONS[action]}
        | ({"replacement": "1.0.0"} if action == "replace" else {})
        | ({"overrides": {"scripts": {"postinstall": ""}}} if action == "override" else {})
        for action in ACTIONS
    ]
    file = folder / "rules.json"
    file.write_text(json.dumps({"rules": rules}))
    larder.manage("bugversions", "import", "--file", str(file))


class Installer:
    """One client, its apps, and what it gets."""

    def __init__(self, client: toolbox.Client, larder: Server, folder: Path) -> None:
        self._client, self._larder, self._folder = client, larder, folder

    def app(self, label: str, spec: str, *actions: str) -> toolbox.Project:
        wanted = {named(action, self._client.name): spec for action in actions}
        return self._client.project(self._folder / label, self._larder.url, {"dependencies": wanted}, scripts=True)

    def seen(self, project: toolbox.Project, done: Completed, action: str) -> str:
        """What an install came to for one of its packages, in a few words."""
        why = ", says why" if REASONS[action] in done.stdout + done.stderr else ""
        if done.returncode:
            return f"refused{why}"
        name = named(action, self._client.name)
        paths = [path for path, (package, _) in project.tree().items() if package == name]
        if not paths:  # it ends as if all were well, and has installed nothing
            return f"nothing{why}"
        [path] = paths
        code = "bad" if b"'bad'" in project.read(path, "index.js") else "good"
        return f"{code}, its script ran{why}" if self._ran(project, path) else f"{code}{why}"

    @staticmethod
    def _ran(project: toolbox.Project, path: str) -> bool:
        try:
            project.read(path, "ran")
        except (OSError, KeyError):
            return False
        return True


@pytest.mark.parametrize("name", CLIENTS)
def test_what_it_gets(name: str, real_client: Callable[[str], toolbox.Client], larder: Server, tmp_path: Path) -> None:
    installer = Installer(real_client(name), larder, tmp_path)
    before = {
        label: installer.app(label, "^1.0.0", *actions) for label, actions in (("soft", SOFT), ("hard", ("forbid",)))
    }
    for project in before.values():
        done = project.install()
        assert done.returncode == 0, done
    make_rules(larder, name, tmp_path)
    column = {}

    fresh = installer.app("fresh", "^1.0.0", *ACTIONS)
    done = fresh.install()
    assert done.returncode == 0, done
    for action in ACTIONS:
        column[f"{action}: ^1.0.0"] = installer.seen(fresh, done, action)
    for label, actions in (
        ("exact", ("replace", "override")),
        ("exact-hide", ("hide",)),
        ("exact-forbid", ("forbid",)),
    ):
        exact = installer.app(label, "1.0.1", *actions)
        done = exact.install()
        for action in actions:
            column[f"{action}: 1.0.1"] = installer.seen(exact, done, action)
    for label, project in before.items():
        project.clear_modules()
        project.clear_cache()
        done = project.install(frozen=True)
        for action in SOFT if label == "soft" else ("forbid",):
            column[f"{action}: lockfile"] = installer.seen(project, done, action)

    for action in ("replace", "hide", "forbid"):
        assert column[f"{action}: ^1.0.0"] in ("good", "good, says why"), column
    assert column["replace: 1.0.1"] in ("good", "good, says why"), column
    for cell in ("hide: 1.0.1", "forbid: 1.0.1", "forbid: lockfile"):
        assert column[cell].startswith("refused"), column
    for action in SOFT:
        assert column[f"{action}: lockfile"].startswith("bad"), column
    rows = [f"{action}: {way}" for action in ACTIONS for way in ("^1.0.0", "1.0.1", "lockfile")]
    advice.keep(name, {row: column[row] for row in rows})
    known = advice.documented(advice.DOCUMENT.read_text()).get(name, {})
    assert column == known, "run: python -m tests.clients.advice --write"
