"""What real clients make of our answers: `audit` prints what is known, and ends as it does where npm answers."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bugversions.osv_entries import folder, ghsa, malware
from tests.clients import toolbox
from tests.clients.commands import Completed
from tests.clients.releases import CLIENTS, IS_WHOLE
from tests.fake_upstream import FakeUpstream
from tests.server import Server

pytestmark = pytest.mark.clients

DRIVERS = list(CLIENTS) if IS_WHOLE else ["npm-6", "npm-12", "pnpm-10", "pnpm-12", "yarn-1", "yarn-4", "bun"]
WORDS = {"yarn-4": ("npm", "audit", "--recursive")}
FIXING = [name for name in DRIVERS if name.startswith("npm-")]
# yarn 1 ends with the sum of what it found: 4 moderate, 8 high. npm 8 forgets its status on a Node newer than its own.
FOUND = {"yarn-1": 4 + 8, "npm-8": 0}
REASON = "it mines coins on build machines"

RealClient = Callable[[str], toolbox.Client]


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as registry:
        registry.publish("leaf", "1.2.0")
        registry.publish("branch", "1.0.0", dependencies={"leaf": "1.x"})
        registry.publish("mined", "2.0.0")
        registry.publish("stem", "1.0.0")
        yield registry


@pytest.fixture(scope="module")
def larder(upstream: FakeUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    dump = tmp_path_factory.mktemp("dump")
    twigs = [ghsa(f"twig-of-{name}", source=f"GHSA-{name}") for name in FIXING]
    folder(dump, ghsa("leaf"), malware("evil", "1.0.1"), *twigs)
    facts = f"package='mined', versions='2.x', action='override', reason={REASON!r}, overrides={{'gypfile': False}}"
    with Server(upstream=upstream.url, LARDER_FRESH_SECONDS=0) as server:
        server.manage("advisories", "import", str(dump))
        server.manage("shell", "-c", f"from bugversions.models import BugVersion; BugVersion.objects.create({facts})")
        yield server


@pytest.fixture
def project(real_client: RealClient, larder: Server, tmp_path: Path) -> Callable[..., toolbox.Project]:
    """An app of a client's with these dependencies, installed."""

    def made(name: str, **dependencies: str) -> toolbox.Project:
        client = real_client(name)
        if name == "yarn-1":
            client = _asking(client, larder.url, tmp_path / "yarn")
        app = client.project(tmp_path, larder.url, {"dependencies": dependencies})
        installed = app.install()
        assert installed.returncode == 0, installed
        return app

    return made


def _asking(client: toolbox.Client, url: str, folder: Path) -> toolbox.Client:
    """yarn 1, which audits at the public registry whatever registry it is told, with our URL written over that one."""
    node, program = map(Path, client.command)
    shutil.copytree(program.parents[1], folder)
    code = folder / "lib" / "cli.js"
    code.write_text(code.read_text().replace("https://registry.yarnpkg.com", url))
    return replace(client, command=(str(node), str(folder / "bin" / program.name)))


def audit(project: toolbox.Project, *more: str) -> Completed:
    return project.run(*WORDS.get(project.client.name, ("audit",)), *more)


@pytest.mark.parametrize("name", DRIVERS)
def test_what_is_known_is_printed_and_the_status_says_so(name: str, project: Callable[..., toolbox.Project]) -> None:
    done = audit(project(name, branch="1.0.0", mined="2.0.0", stem="1.0.0"))
    said = " ".join((done.stdout + done.stderr).split())
    assert "leaf pads too far" in said
    assert REASON in said
    assert done.returncode == FOUND.get(name, 1), done


@pytest.mark.parametrize("name", DRIVERS)
def test_what_is_clean_is_clean(name: str, project: Callable[..., toolbox.Project]) -> None:
    done = audit(project(name, stem="1.0.0"))
    assert done.returncode == 0, done
    assert "leaf" not in done.stdout


@pytest.mark.parametrize("name", FIXING)
def test_audit_fix_brings_the_version_that_is_good(
    name: str, project: Callable[..., toolbox.Project], upstream: FakeUpstream
) -> None:
    twig = f"twig-of-{name}"
    upstream.publish(twig, "1.2.0")
    app = project(name, **{twig: "^1.0.0"})
    upstream.publish(twig, "1.3.1")
    assert app.run("view", twig).returncode == 0  # what npm 6 is advised comes from the versions that are known here
    assert app.tree() == {twig: (twig, "1.2.0")}
    found = audit(app)
    assert found.returncode == FOUND.get(name, 1), found
    fixed = audit(app, "fix")
    assert fixed.returncode == 0, fixed
    assert app.tree() == {twig: (twig, "1.3.1")}, fixed
    assert audit(app).returncode == 0


@pytest.mark.parametrize("name", FIXING)
def test_an_install_says_what_it_brought_and_is_never_broken(
    name: str, real_client: RealClient, larder: Server, upstream: FakeUpstream, tmp_path: Path
) -> None:
    app, settings = {"dependencies": {"leaf": "1.x", "mined": "2.0.0"}}, {"audit": "true"}
    told = real_client(name).project(tmp_path / "told", larder.url, app, settings=settings).install()
    assert told.returncode == 0, told
    assert "2 vulnerabilities" in told.stdout

    with Server(upstream=upstream.url, workers=1, LARDER_MAX_AUDIT_NAMES=0, LARDER_MAX_AUDIT_NODES=0) as refusing:
        untold = real_client(name).project(tmp_path / "untold", refusing.url, app, settings=settings)
        done = untold.install()
        assert done.returncode == 0, done
        assert len(untold.tree()) == 2
        refused = audit(untold)
        assert "found 0 vulnerabilities" not in refused.stdout
        assert refused.returncode == 1, refused
