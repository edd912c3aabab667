"""What real clients get of versions that rules are about: by a range, by the number, and by a lockfile of before."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients import advice, toolbox
from tests.clients.commands import Completed
from tests.clients.releases import CLIENTS as RELEASES
from tests.clients.releases import IS_WHOLE
from tests.fake_upstream import FakeUpstream
from tests.server import Server

pytestmark = pytest.mark.clients

SOME = ("npm-12", "yarn-1")
CLIENTS = tuple(RELEASES) if IS_WHOLE else SOME
ACTIONS = ("replace", "override", "repack", "hide", "forbid", "hold")
# Each action has its own, since one install may be about several.
REASONS = {action: f"it carries a worm called {action}-mite" for action in ACTIONS}
# The lockfile of before is made of these together: none of them is refused by it.
SOFT = ("replace", "override", "repack", "hide")
HARD = ("forbid", "hold")
LONG_AGO = "2020-01-01T00:00:00.000Z"
HOLD = """
from audit.actors import Actor
from bugversions import clocks
clocks.hold({name!r}, 7 * 24 * 3600, reason={reason!r}, actor=Actor.system("test"))
"""


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
    """1.0.0 is good and old; 1.0.1 is bad, and has a script that leaves a file behind."""
    registry.publish(name, "1.0.0", files={"index.js": "module.exports = 'good'"}, time=LONG_AGO)
    mark = "require('fs').writeFileSync('ran', '')"
    bad = {"index.js": "module.exports = 'bad'", "mark.js": mark}
    registry.publish(name, "1.0.1", files=bad, scripts={"postinstall": "node mark.js"})


def make_rules(larder: Server, client: str, folder: Path) -> None:
    nothing = {"action": "override", "overrides": {"scripts": {"postinstall": ""}}}
    more = {"replace": {"replacement": "1.0.0"}, "override": nothing, "repack": {**nothing, "repack": True}}
    rules = [
        {"package": named(action, client), "versions": "1.0.1", "action": action, "reason": REASONS[action]}
        | more.get(action, {})
        for action in ACTIONS
        if action != "hold"
    ]
    file = folder / "rules.json"
    file.write_text(json.dumps({"rules": rules}))
    larder.manage("bugversions", "import", "--file", str(file))
    hold = HOLD.format(name=named("hold", client), reason=REASONS["hold"])
    larder.manage("shell", "--no-imports", "-c", hold)
    larder.manage("drain")  # tarballs are repacked by a worker


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


def test_node_gyp_does_not_run_by_itself_for_what_is_repacked(
    real_client: Callable[[str], toolbox.Client], upstream: FakeUpstream, larder: Server, tmp_path: Path
) -> None:
    """yarn 1 starts it for every binding.gyp, whatever the manifest says."""
    client = real_client("yarn-1")
    for name in ("native", "native-before"):
        upstream.publish(name, "1.0.1", files={"binding.gyp": "{}"}, scripts={"postinstall": "node -e 1"})
        assert larder.get(f"/{name}").status == 200
    rule = {
        "package": "native", "versions": "1.0.1", "action": "override", "reason": "nothing is to run", "repack": True,
        "overrides": {"scripts": {"postinstall": ""}},
    }  # fmt: skip
    file = tmp_path / "rules.json"
    file.write_text(json.dumps({"rules": [rule]}))
    larder.manage("bugversions", "import", "--file", str(file))
    larder.manage("drain")
    started = {}
    for name in ("native", "native-before"):
        project = client.project(tmp_path / name, larder.url, {"dependencies": {name: "1.0.1"}}, scripts=True)
        done = project.install()
        started[name] = "gyp" in done.stdout + done.stderr
        assert done.returncode == 0 or started[name], done
    assert started == {"native": False, "native-before": True}


def require(column: advice.Column) -> None:
    """What must be so whatever the client is."""
    for action in ("replace", "hide", "forbid", "hold"):
        assert column[f"{action}: ^1.0.0"] in ("good", "good, says why"), column
    assert column["replace: 1.0.1"] in ("good", "good, says why"), column
    for cell in ("repack: ^1.0.0", "repack: 1.0.1"):
        assert column[cell] == "bad", f"without its script: {column}"
    for cell in ("hide: 1.0.1", "forbid: 1.0.1", "forbid: lockfile", "hold: 1.0.1", "hold: lockfile"):
        assert column[cell].startswith("refused"), column
    for action in SOFT:
        assert column[f"{action}: lockfile"].startswith("bad"), column


@pytest.mark.parametrize("name", CLIENTS)
def test_what_it_gets(name: str, real_client: Callable[[str], toolbox.Client], larder: Server, tmp_path: Path) -> None:
    installer = Installer(real_client(name), larder, tmp_path)
    before = {
        label: installer.app(label, "^1.0.0", *actions)
        for label, actions in (("soft", SOFT), *((action, (action,)) for action in HARD))
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
    alone = [(f"exact-{action}", (action,)) for action in ("hide", *HARD)]
    for label, actions in (("exact", ("replace", "override", "repack")), *alone):
        exact = installer.app(label, "1.0.1", *actions)
        done = exact.install()
        for action in actions:
            column[f"{action}: 1.0.1"] = installer.seen(exact, done, action)
    for label, project in before.items():
        project.clear_modules()
        project.clear_cache()
        done = project.install(frozen=True)
        for action in SOFT if label == "soft" else (label,):
            column[f"{action}: lockfile"] = installer.seen(project, done, action)

    require(column)
    rows = [f"{action}: {way}" for action in ACTIONS for way in ("^1.0.0", "1.0.1", "lockfile")]
    advice.keep(name, {row: column[row] for row in rows})
    known = advice.documented(advice.DOCUMENT.read_text()).get(name, {})
    assert column == known, "run: python -m tests.clients.advice --write"
