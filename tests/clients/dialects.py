"""How each family of clients is told the same things: where the registry is, install, publish, log in.

A dialect is data and pure functions. It says which files belong in a home folder and which words go on the
command line; `toolbox` writes the files and runs the command.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.clients import trees


@dataclass(frozen=True)
class Setup:
    """What a project wants of its client, in no client's words."""

    registry_url: str
    token: str | None = None
    scripts: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)  # in the client's own words


def _in_node_modules(app: Path) -> Iterator[tuple[str, Path]]:
    return trees.in_node_modules(app / "node_modules")


@dataclass(frozen=True)
class Dialect:
    """The words and files of one family of clients."""

    files: Callable[[Setup], dict[str, str]]  # name below the home folder, and its text
    install: tuple[str, ...]
    frozen: tuple[str, ...]
    no_scripts: tuple[str, ...]
    publish: Callable[[Path], tuple[str, ...]]
    lockfile: str
    integrities: Callable[[str], dict[str, str]]
    installed: Callable[[Path], Iterator[tuple[str, Path]]] = _in_node_modules
    environment: Callable[[Setup], dict[str, str]] = lambda _: {}
    login: tuple[str, ...] = ()  # none where it needs a terminal
    publishes_from_inside: bool = False


def _npmrc(setup: Setup) -> dict[str, str]:
    address = urlsplit(setup.registry_url)
    lines = {"registry": f"{setup.registry_url.rstrip('/')}/"}
    if setup.token:
        lines[f"//{address.netloc}{address.path.rstrip('/')}/:_authToken"] = setup.token
    lines |= {"audit": "false", "fund": "false", "update-notifier": "false"}
    if setup.scripts:
        lines["dangerously-allow-all-scripts"] = "true"  # npm 12 runs none unasked; older ones pass it over
    lines |= setup.settings
    return {".npmrc": "".join(f"{key}={value}\n" for key, value in lines.items())}


def _pnpm_environment(setup: Setup) -> dict[str, str]:
    """Give pnpm its settings as variables: from 11 on it reads only registries and tokens in .npmrc."""
    settings = {
        "minimum-release-age": "0",  # a day by default since 11, and what a test publishes is seconds old
        "dangerously-allow-all-builds": str(setup.scripts).lower(),
        "update-notifier": "false",
    } | dict(setup.settings)
    named = {key.replace("-", "_"): value for key, value in settings.items()}
    return {f"{prefix}_config_{key}": value for prefix in ("npm", "pnpm") for key, value in named.items()}


def _yarnrc(setup: Setup) -> dict[str, str]:
    return _npmrc(setup) | {
        ".yarnrc": f'registry "{setup.registry_url.rstrip("/")}/"\ndisable-self-update-check true\n'
    }


def _yarnrc_yml(setup: Setup) -> dict[str, str]:
    settings: dict[str, object] = {
        "npmRegistryServer": setup.registry_url.rstrip("/"),
        "unsafeHttpWhitelist": [urlsplit(setup.registry_url).hostname],
        "npmMinimalAgeGate": 0,
        "enableScripts": setup.scripts,
        "enableTelemetry": False,
        "enableTips": False,
        "pnpEnableInlining": False,  # the map as JSON, so that `trees` can read it
    }
    if setup.token:
        settings["npmAuthToken"] = setup.token
    written = {key: json.dumps(value) for key, value in settings.items()} | dict(setup.settings)
    return {".yarnrc.yml": "".join(f"{key}: {value}\n" for key, value in written.items())}


def _bunfig(setup: Setup) -> dict[str, str]:
    token = f", token = {json.dumps(setup.token)}" if setup.token else ""
    lines = {"registry": f"{{ url = {json.dumps(setup.registry_url)}{token} }}"} | dict(setup.settings)
    text = "telemetry = false\n[install]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items())
    return {".bunfig.toml": text}


NPM = Dialect(
    files=_npmrc,
    install=("install",),
    frozen=("ci",),
    no_scripts=("--ignore-scripts",),
    publish=lambda folder: ("publish", str(folder)),
    login=("login", "--auth-type=legacy"),
    lockfile="package-lock.json",
    integrities=trees.npm_lock,
)
PNPM = Dialect(
    files=_npmrc,
    install=("install", "--no-frozen-lockfile"),
    frozen=("install", "--frozen-lockfile"),
    no_scripts=("--ignore-scripts",),
    publish=lambda folder: ("publish", str(folder), "--no-git-checks"),
    lockfile="pnpm-lock.yaml",
    integrities=trees.pnpm_lock,
    environment=_pnpm_environment,
)
YARN_1 = Dialect(
    files=_yarnrc,
    install=("install", "--non-interactive"),
    frozen=("install", "--non-interactive", "--frozen-lockfile"),
    no_scripts=("--ignore-scripts",),
    publish=lambda folder: ("publish", str(folder), "--non-interactive", "--no-git-tag-version"),
    lockfile="yarn.lock",
    integrities=trees.yarn_lock,
    environment=lambda _: {"FAKEROOTKEY": "1"},  # a real root's cache is in /usr/local/share, not in HOME
)
YARN_BERRY = Dialect(
    files=_yarnrc_yml,
    install=("install", "--no-immutable"),
    frozen=("install", "--immutable"),
    no_scripts=(),  # `enableScripts` says it
    publish=lambda _: ("npm", "publish"),
    lockfile="yarn.lock",
    integrities=trees.berry_lock,
    installed=trees.in_pnp,
    publishes_from_inside=True,
)
BUN = Dialect(
    files=_bunfig,
    install=("install",),
    frozen=("install", "--frozen-lockfile"),
    no_scripts=("--ignore-scripts",),
    publish=lambda _: ("publish",),
    lockfile="bun.lock",
    integrities=trees.bun_lock,
    environment=lambda _: {"DO_NOT_TRACK": "1"},
    publishes_from_inside=True,
)
