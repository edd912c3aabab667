"""The toolbox shows what a client really did, and each client starts from nothing."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.clients import toolbox, trees
from tests.clients.releases import ENDS
from tests.fake_upstream import FakeUpstream

pytestmark = pytest.mark.clients

APP = {"dependencies": {"left": "^1.0.0", "@acme/right": "^2.0.0"}}
INSTALLED = {("left", "1.1.0"), ("@acme/right", "2.0.0"), ("deep", "1.2.0")}
TARBALLS = {"/left/-/left-1.1.0.tgz", "/@acme/right/-/right-2.0.0.tgz", "/deep/-/deep-1.2.0.tgz"}

RealClient = Callable[[str], toolbox.Client]


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as registry:
        registry.publish("left", "1.0.0")
        registry.publish("left", "1.1.0", files={"index.js": "module.exports = 'left'"})
        registry.publish("@acme/right", "2.0.0", dependencies={"deep": "^1.0.0"})
        registry.publish("deep", "1.2.0")
        yield registry


def tarballs_asked(upstream: FakeUpstream, since: int) -> set[str]:
    return {request.path for request in list(upstream.requests)[since:] if request.path.endswith(".tgz")}


@pytest.mark.parametrize("name", ENDS)
def test_a_client_installs_cold_then_warm_then_frozen(
    name: str, real_client: RealClient, upstream: FakeUpstream, tmp_path: Path
) -> None:
    project = real_client(name).project(tmp_path, upstream.url, APP)

    cold = project.install()
    assert cold.returncode == 0, cold
    assert set(project.tree().values()) == INSTALLED
    assert tarballs_asked(upstream, since=0) == TARBALLS
    promised = project.lock_integrities()
    assert set(promised) == {"left@1.1.0", "@acme/right@2.0.0", "deep@1.2.0"}

    project.clear_modules()
    assert project.tree() == {}
    before = len(upstream.requests)
    warm = project.install()
    assert warm.returncode == 0, warm
    assert set(project.tree().values()) == INSTALLED
    assert tarballs_asked(upstream, before) == set(), "the cache had all of them"

    project.clear_modules()
    project.clear_cache()
    before = len(upstream.requests)
    frozen = project.install(frozen=True)
    assert frozen.returncode == 0, frozen
    assert set(project.tree().values()) == INSTALLED
    assert tarballs_asked(upstream, before) == TARBALLS, "the cache was gone"
    assert project.lock_integrities() == promised


@pytest.mark.parametrize("name", ENDS)
def test_scripts_run_only_when_they_are_switched_on(
    name: str, real_client: RealClient, upstream: FakeUpstream, tmp_path: Path
) -> None:
    upstream.publish(
        "noisy",
        "1.0.0",
        scripts={"postinstall": "node speak.js"},
        files={"speak.js": "require('fs').writeFileSync('spoken.txt', 'hello')"},
    )
    app = {"dependencies": {"noisy": "1.0.0"}}
    spoke = {}
    for switch in (False, True):
        project = real_client(name).project(tmp_path / str(switch), upstream.url, app, scripts=switch)
        done = project.install()
        assert done.returncode == 0, done
        (path,) = project.tree()
        try:
            spoke[switch] = project.read(path, "spoken.txt") == b"hello"
        except (FileNotFoundError, KeyError):
            spoke[switch] = False
    assert spoke == {False: False, True: True}


@pytest.mark.parametrize("name", ENDS)
def test_no_other_registry_can_be_reached(
    name: str, real_client: RealClient, upstream: FakeUpstream, tmp_path: Path
) -> None:
    impatient = dict.fromkeys(("fetch-retry-mintimeout", "fetch-retry-maxtimeout"), "1") if "npm" in name else {}
    project = real_client(name).project(tmp_path, upstream.url, APP, settings=impatient)
    # The same server by another name, which for the client is elsewhere.
    for file in project.home.iterdir():
        file.write_text(file.read_text().replace(upstream.url, f"http://localhost:{upstream.port}"))

    done = project.install()

    assert done.returncode != 0, done
    assert upstream.count() == 0


def test_workers_that_ask_together_install_a_package_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    installs: list[Path] = []

    def install(folder: Path, *_: object) -> None:
        installs.append(folder)
        (folder / "package.json").write_text("{}")

    monkeypatch.setattr(toolbox, "_npm_install", install)
    kept = tmp_path / "kept" / "left@1.0.0"
    with ThreadPoolExecutor(4) as workers:
        for asked in [workers.submit(toolbox.install_once, kept, {"left": "1.0.0"}) for _ in range(4)]:
            asked.result()

    assert len(installs) == 1
    assert (kept / "package.json").is_file()
    assert [entry for entry in kept.parent.iterdir() if entry.is_dir()] == [kept]


def test_a_failed_installation_is_not_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(folder: Path, *_: object) -> None:
        (folder / "half").touch()
        raise toolbox.Unavailable("the registry does not have it")

    monkeypatch.setattr(toolbox, "_npm_install", fail)
    with pytest.raises(toolbox.Unavailable):
        toolbox.install_once(tmp_path / "kept", {"left": "1.0.0"})
    assert [entry for entry in tmp_path.iterdir() if entry.is_dir()] == []


def test_a_lockfile_of_npm_6_is_read_to_its_depths() -> None:
    inner = {"version": "1.0.0", "integrity": "sha512-inner"}
    outer = {"version": "2.0.0", "integrity": "sha512-outer", "dependencies": {"left": inner}}
    text = json.dumps({"lockfileVersion": 1, "dependencies": {"left": outer}})
    assert trees.npm_lock(text) == {"left@2.0.0": "sha512-outer", "left@1.0.0": "sha512-inner"}


def test_a_lockfile_of_yarn_1_lists_a_package_that_several_ranges_want_once() -> None:
    text = '"@acme/right@^2.0.0", "@acme/right@~2.0.0":\n  version "2.0.0"\n  resolved "x"\n  integrity sha512-a\n'
    assert trees.yarn_lock(text) == {"@acme/right@2.0.0": "sha512-a"}
