"""Real npm clients at pinned versions, each run from a home folder of its own.

    app = {"dependencies": {"left-pad": "^1.0.0"}}
    project = toolbox.client("npm-11").project(tmp_path, registry.url, app)
    assert project.install().returncode == 0
    assert project.tree() == {"left-pad": ("left-pad", "1.3.0")}

The clients come from the npm registry through the machine's own npm, in whatever way that is configured. They
are kept in `LARDER_TEST_CLIENTS` (default `var/clients`), one folder for each package and version, so that a
second run fetches nothing. All of them run on one pinned Node, which is such a package too.

Nothing of the machine reaches a client but its certificate authorities: environment, home, cache, store and
configuration are new for each project. With a registry on loopback every other address is out of reach.
"""

import fcntl
import json
import os
import re
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.clients import commands, trees
from tests.clients.commands import Completed, Reply
from tests.clients.dialects import YARN_BERRY, Dialect, Setup
from tests.clients.releases import CLIENTS, NODE, NPM_ON_PATH, Release

CHECKOUT = Path(__file__).resolve().parents[2]
# LARDER_TEST_CLIENTS: the folder that keeps clients between runs. Default var/clients.
ROOM = Path(os.environ.get("LARDER_TEST_CLIENTS") or CHECKOUT / "var" / "clients")
UNREACHABLE = "http://127.0.0.1:9"  # the discard port: a proxy that refuses everyone
AUTHORITIES = ("NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Unavailable(Exception):
    """The machine cannot get a client: it has no npm, or its registry does not have the package."""


@dataclass(frozen=True)
class Client:
    """An installed client, ready to work in any number of projects."""

    name: str
    release: Release
    command: tuple[str, ...]

    def project(
        self,
        folder: Path,
        registry_url: str,
        package_json: Mapping[str, Any],
        token: str | None = None,
        *,
        scripts: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> "Project":
        """Make an app with this package.json in `folder`, and a clean home that knows one registry.

        `scripts` lets the app and its dependencies run theirs; `settings` are in the client's own words.
        """
        setup = Setup(registry_url, token, scripts, settings or {})
        project = Project(self, folder / "app", folder / "home", setup)
        project.app.mkdir(parents=True)
        # bun runs the scripts of packages that the app names; the other clients do not know the field.
        trusted = {"trustedDependencies": sorted(package_json.get("dependencies", ()))} if scripts else {}
        manifest = {"name": "app", "version": "1.0.0", "private": True} | trusted | dict(package_json)
        (project.app / "package.json").write_text(json.dumps(manifest, indent=2))
        project.configure()
        return project


@dataclass
class Project:
    """An app folder and the home folder of the one client that works in it."""

    client: Client
    app: Path
    home: Path
    setup: Setup

    @property
    def dialect(self) -> Dialect:
        """The words of this project's client."""
        return self.client.release.dialect

    def configure(self) -> None:
        """Write the client's configuration into the home folder."""
        self.home.mkdir(parents=True, exist_ok=True)
        for name, text in self.dialect.files(self.setup).items():
            (self.home / name).write_text(text)
        if self.dialect is YARN_BERRY:  # it takes the nearest folder with a lockfile for the project
            (self.app / self.dialect.lockfile).touch()

    def install(self, *, frozen: bool = False) -> Completed:
        """Install the app's dependencies; `frozen` takes what the lockfile says or fails."""
        words = self.dialect.frozen if frozen else self.dialect.install
        return self.run(*words, *(() if self.setup.scripts else self.dialect.no_scripts))

    def publish(self, folder: Path, tag: str | None = None, access: str | None = None) -> Completed:
        """Publish the package in a folder, which is left as it was."""
        with tempfile.TemporaryDirectory(dir=self.home) as outbox:
            copy = Path(shutil.copytree(folder, Path(outbox) / "package"))
            options = (*(("--tag", tag) if tag else ()), *(("--access", access) if access else ()))
            words = (*self.dialect.publish(copy), *options)
            if not self.dialect.publishes_from_inside:
                return self.run(*words)
            if self.dialect is YARN_BERRY:
                (copy / self.dialect.lockfile).touch()
                self.run("install", "--mode=update-lockfile", cwd=copy)
            return self.run(*words, cwd=copy)

    def login(self, user: str, password: str) -> str:
        """Log in with a password, the couch style, so that the client has a token from here on; return it.

        npm does it by itself. For the others, which cannot (see CANNOT), the registry is asked here.
        """
        if self.dialect.login:
            answers = {"Username:": user, "Password:": password, "Email:": f"{user}@example.com"}
            done = self.run(*self.dialect.login, answers=answers)
            found = re.search(r':_authToken="?([^"\n]+)', (self.home / ".npmrc").read_text())
            if done.returncode or not found:
                raise PermissionError(done.stdout)
            token = found[1]
        else:
            token = sign_in(self.setup.registry_url, user, password)
        self.setup = replace(self.setup, token=token)
        self.configure()
        return token

    def tree(self) -> dict[str, tuple[str, str]]:
        """Return the name and version in the package.json of every package that is installed, by its path.

        The path is below node_modules; for Plug'n'Play, which has none, it is `name@version`.
        """
        found: dict[str, tuple[str, str]] = {}
        for path, place in self._installed().items():
            manifest = json.loads(trees.read(place, "package.json"))
            found[path] = (manifest["name"], manifest["version"])
        return found

    def read(self, path: str, name: str) -> bytes:
        """Return the bytes of one file of the package at a path of `tree()`."""
        return trees.read(self._installed()[path], name)

    def _installed(self) -> dict[str, Path]:
        return dict(self.dialect.installed(self.app))

    def lock_integrities(self) -> dict[str, str]:
        """Return what the lockfile promises about each `name@version`."""
        return self.dialect.integrities((self.app / self.dialect.lockfile).read_text())

    def clear_modules(self) -> None:
        """Remove what was installed into the app and leave package.json and the lockfile."""
        for entry in self.app.iterdir():
            if entry.name in {"node_modules", ".yarn"}:
                shutil.rmtree(entry)
            elif entry.name.startswith(".pnp"):
                entry.unlink()

    def clear_cache(self) -> None:
        """Start over with a home folder that holds the configuration and no cache, store or state."""
        shutil.rmtree(self.home)
        self.configure()

    def run(
        self,
        *words: str,
        cwd: Path | None = None,
        answers: Mapping[str, Reply] | None = None,
        terminal: bool = False,
    ) -> Completed:
        """Run any command of the client in the app's folder; `answers` maps its prompts to replies.

        `terminal` is for prompts that ask nobody but a person who sits at one.
        """
        command = [*self.client.command, *words]
        place, environment = cwd or self.app, self.environment()
        if answers is None:
            return commands.run(command, cwd=place, environment=environment)
        converse = commands.at_terminal if terminal else commands.converse
        return converse(command, answers, cwd=place, environment=environment)

    def environment(self) -> dict[str, str]:
        """Return all the variables that the client gets to see."""
        own = {
            "HOME": str(self.home),
            "PATH": os.pathsep.join([str(node().parent), str(_npm_on_path()), "/usr/bin", "/bin"]),
            "LANG": "C.UTF-8",
            "NO_COLOR": "1",
        }
        authorities = {name: os.environ[name] for name in AUTHORITIES if name in os.environ}
        return own | authorities | _proxies(self.setup.registry_url) | self.dialect.environment(self.setup)


def _proxies(registry_url: str) -> dict[str, str]:
    """Cut a client of a loopback registry off from everywhere else; any other goes the machine's way."""
    host = urlsplit(registry_url).hostname or ""
    ways = {name: os.environ.get(name, "") for name in ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")}
    if host == "localhost" or host.startswith("127."):
        ways = {"HTTP_PROXY": UNREACHABLE, "HTTPS_PROXY": UNREACHABLE, "NO_PROXY": host}
    ways = {name: value for name, value in ways.items() if value}
    return ways | {name.lower(): value for name, value in ways.items()}


def sign_in(registry_url: str, user: str, password: str) -> str:
    """Return the token that a registry gives for a password, asked for as npm asks."""
    url = f"{registry_url.rstrip('/')}/-/user/org.couchdb.user:{user}"
    body = {"_id": f"org.couchdb.user:{user}", "name": user, "password": password, "type": "user"}
    request = urllib.request.Request(url, json.dumps(body).encode(), method="PUT")
    request.add_header("content-type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        token: str = json.load(answer)["token"]
        return token


def client(name: str) -> Client:
    """Return a client by its name in CLIENTS, installed now if it is not yet, or raise Unavailable."""
    release = CLIENTS[name]
    program = fetched(release)
    scripted = program.suffix in {".js", ".cjs", ".mjs"}
    return Client(name, release, (str(node()), str(program)) if scripted else (str(program),))


def node() -> Path:
    """Return the pinned Node's binary, installed now if it is not yet."""
    return fetched(NODE)


def _npm_on_path() -> Path:
    """Return the folder of the npm that pnpm, up to 10, hands some of its commands to."""
    fetched(NPM_ON_PATH)
    return _folder(NPM_ON_PATH) / "node_modules" / ".bin"


def fetched(release: Release) -> Path:
    """Return the path of a release's program after its package was installed, once for all processes."""
    install_once(_folder(release), {release.package: release.version})
    return _folder(release) / "node_modules" / release.package / release.program


def _folder(release: Release) -> Path:
    return ROOM / f"{release.package.replace('/', '+')}@{release.version}"


def install_once(kept: Path, dependencies: Mapping[str, str], **manifest: Any) -> None:
    """Install exact versions into a folder unless it is there; many test workers may ask at the same time."""
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_name(f".{kept.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_dir():
            with tempfile.TemporaryDirectory(dir=kept.parent) as scratch:
                folder = Path(scratch) / "whole"
                folder.mkdir()
                _npm_install(folder, dependencies, manifest)
                folder.rename(kept)


def _npm_install(folder: Path, dependencies: Mapping[str, str], manifest: Mapping[str, Any]) -> None:
    """Install into an empty folder with the machine's npm and its configuration; no script runs."""
    npm = shutil.which("npm")
    if npm is None:
        raise Unavailable("This machine has no npm to install clients with.")
    wanted = {"private": True, "dependencies": dict(dependencies), **manifest}
    (folder / "package.json").write_text(json.dumps(wanted))
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    done = subprocess.run([npm, "install", *quiet], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Unavailable(f"npm could not install {dict(dependencies)}: {done.stderr.strip()}")
