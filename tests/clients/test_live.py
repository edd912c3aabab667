"""Real applications of popular packages, through Larder and straight from its upstream.

Needs the upstream that the npm client of the machine is configured with, so it is marked `live`. By default the newest
npm and pnpm drive a small one, and what they install from nothing is compared; `LARDER_TEST_LIVE=all` takes all clients
and the big one, of some thirty direct dependencies, and compares what they install with a cache and from the lockfile
too.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients import toolbox
from tests.clients.releases import CLIENTS
from tests.server import CHECKOUT, Server

pytestmark = [pytest.mark.clients, pytest.mark.live]

IS_WHOLE = os.environ.get("LARDER_TEST_LIVE") == "all"
APP = json.loads((CHECKOUT / "benchmarks" / "app.json").read_text())["large" if IS_WHOLE else "small"]
LEAST = 300 if IS_WHOLE else 50
DRIVERS = list(CLIENTS) if IS_WHOLE else ["npm-12", "pnpm-12"]
TRIES = 3

Tree = dict[str, tuple[str, str]]


@pytest.fixture(scope="module")
def larder() -> Iterator[Server]:
    """A server whose upstream is the machine's own; what a client has fetched is there for the next."""
    upstream, authorities = configured("registry"), configured("cafile")
    with Server(upstream=upstream, workers=2, threads=32, LARDER_UPSTREAM_CA=authorities) as server:
        yield server


def configured(key: str) -> str:
    found = subprocess.run(["npm", "config", "get", key], capture_output=True, text=True, check=True, cwd="/")
    value = found.stdout.strip().rstrip("/")
    return "" if value in ("null", "undefined") else value


def installed(project: toolbox.Project, larder: Server, **how: bool) -> Tree:
    """Install, and what there is then; the network between here and the upstream may have a bad moment."""
    for attempt in range(TRIES):
        done = project.install(**how)
        if done.returncode == 0:
            return tree_of(project)
        time.sleep(5 * attempt)
    raise AssertionError(f"{done}\n--- Larder's log ---\n{larder.log[-4000:]}")


def tree_of(project: toolbox.Project) -> Tree:
    """What is installed, but for packages of another C library: old clients know no `libc`, and take them or not."""
    return {path: package for path, package in project.tree().items() if "-musl" not in path}


@pytest.mark.parametrize("name", DRIVERS)
def test_a_real_application(
    name: str,
    real_client: Callable[[str], toolbox.Client],
    larder: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for variable in toolbox.AUTHORITIES[:2] if configured("cafile") else ():
        monkeypatch.setenv(variable, os.environ.get(variable) or configured("cafile"))
    through = real_client(name).project(tmp_path / "through", larder.url, APP)
    straight = real_client(name).project(tmp_path / "straight", configured("registry"), APP)
    ours = stages(through, larder)
    assert len(ours["cold"]) > LEAST
    theirs = stages(straight, larder) if IS_WHOLE else {"cold": installed(straight, larder)}
    assert {stage: different(ours[stage], theirs[stage]) for stage in theirs} == {stage: {} for stage in theirs}


def different(ours: Tree, theirs: Tree) -> dict[str, tuple[object, object]]:
    """What is not the same straight from the upstream."""
    return {path: (ours.get(path), theirs.get(path)) for path in ours | theirs if ours.get(path) != theirs.get(path)}


def stages(project: toolbox.Project, larder: Server) -> dict[str, Tree]:
    """What is installed from nothing, then with a cache, then from the lockfile alone, each integrity verified.

    The last may hold more than the others: npm 6 takes packages of other platforms from its lockfile.
    """
    cold, integrities = installed(project, larder), project.lock_integrities()

    project.clear_modules()
    warm = installed(project, larder)

    project.clear_modules()
    project.clear_cache()
    frozen = installed(project, larder, frozen=True)
    assert project.lock_integrities() == integrities
    return {"cold": cold, "warm": warm, "from the lockfile": frozen}
