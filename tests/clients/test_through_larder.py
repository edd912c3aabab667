"""Every real client installs through Larder what it installs from the upstream itself, and publishes to Larder."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients import toolbox
from tests.clients.releases import CLIENTS, ENDS
from tests.fake_upstream import FakeUpstream
from tests.server import Server

pytestmark = pytest.mark.clients

RealClient = Callable[[str], toolbox.Client]

APP = {"dependencies": {"app-core": "^1.0.0", "@tools/build": "~2.1.0", "JSONKit": "1.x"}}
PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """A registry with a small world: ranges, scopes, a legacy name, a peer, a prerelease under a tag."""
    with FakeUpstream() as registry:
        registry.publish("app-core", "1.0.0", dependencies={"leaf": "^1.0.0"})
        registry.publish("app-core", "1.4.0", dependencies={"leaf": "^1.0.0", "@tools/shared": "*"})
        registry.publish("app-core", "2.0.0-beta.1", tag="next")
        registry.publish("@tools/build", "2.1.7", dependencies={"leaf": "^2.0.0"}, bin={"build": "index.js"})
        registry.publish("@tools/shared", "0.3.0", peerDependencies={"leaf": "*"})
        registry.publish("leaf", "1.9.0")
        registry.publish("leaf", "2.5.1")
        registry.publish("JSONKit", "1.0.3")
        yield registry


@pytest.fixture(scope="module")
def larder(upstream: FakeUpstream) -> Iterator[Server]:
    with Server(upstream=upstream.url) as server:
        yield server


@pytest.mark.parametrize("name", CLIENTS)
def test_the_tree_is_the_same_as_straight_from_the_upstream(
    name: str, real_client: RealClient, upstream: FakeUpstream, larder: Server, tmp_path: Path
) -> None:
    client = real_client(name)
    straight = client.project(tmp_path / "straight", upstream.url, APP)
    assert straight.install().returncode == 0

    through = client.project(tmp_path / "through", larder.url, APP)
    cold = through.install()
    assert cold.returncode == 0, cold
    assert through.tree() == straight.tree()
    assert through.lock_integrities() == straight.lock_integrities()

    through.clear_modules()
    warm = through.install()
    assert warm.returncode == 0, warm
    assert through.tree() == straight.tree()

    through.clear_modules()
    through.clear_cache()
    frozen = through.install(frozen=True)
    assert frozen.returncode == 0, frozen
    assert through.tree() == straight.tree()


@pytest.mark.parametrize("name", ENDS)
def test_what_is_here_installs_while_the_upstream_is_gone(name: str, real_client: RealClient, tmp_path: Path) -> None:
    client = real_client(name)
    with FakeUpstream() as upstream, Server(upstream=upstream.url, workers=1) as server:
        upstream.publish("leaf", "1.9.0")
        first = client.project(tmp_path / "first", server.url, {"dependencies": {"leaf": "^1.0.0"}})
        assert first.install().returncode == 0
        upstream.stop()
        second = client.project(tmp_path / "second", server.url, {"dependencies": {"leaf": "^1.0.0"}})
        again = second.install()
        assert again.returncode == 0, again
        assert second.tree() == first.tree()


@pytest.mark.parametrize("name", ENDS)
def test_publish_and_install_a_package_of_our_own(
    name: str, real_client: RealClient, larder: Server, tmp_path: Path
) -> None:
    client = real_client(name)
    package = f"@acme/made-by-{name}"
    project = client.project(tmp_path / "project", larder.url, {"dependencies": {}})
    token = project.login("person-of-" + name, PASSWORD)
    author = client.project(tmp_path / "author", larder.url, {"dependencies": {}}, token=token)
    folder = tmp_path / "package"
    folder.mkdir()
    manifest = {"name": package, "version": "1.0.0", "license": "MIT", "main": "index.js"}
    (folder / "package.json").write_text(json.dumps(manifest))
    (folder / "index.js").write_text("module.exports = 1\n")
    (folder / "README.md").write_text("# Made here\n")

    published = author.publish(folder)
    assert published.returncode == 0, published
    refused = author.publish(folder)
    assert refused.returncode != 0, "a version is published once"

    # With the token, as yarn 4 publishes restricted what has a scope, unless it is told otherwise.
    reader = client.project(tmp_path / "reader", larder.url, {"dependencies": {package: "^1.0.0"}}, token=token)
    installed = reader.install()
    assert installed.returncode == 0, installed
    assert set(reader.tree().values()) == {(package, "1.0.0")}
