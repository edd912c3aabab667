"""Which clients the tests drive: each pinned exactly, with a word of why, and what it cannot do."""

import os
import platform
import sys
from dataclasses import dataclass

from tests.clients.dialects import BUN, NPM, PNPM, YARN_1, YARN_BERRY, Dialect

SYSTEM = "darwin" if sys.platform == "darwin" else "linux"
MACHINE = {"aarch64": "arm64", "arm64": "arm64"}.get(platform.machine(), "x64")
BUN_MACHINE = {"arm64": "aarch64"}.get(MACHINE, MACHINE)


@dataclass(frozen=True)
class Release:
    """One pinned package that is a program."""

    package: str
    version: str
    program: str  # its path inside the package; one that ends in .js, .cjs or .mjs runs on Node
    dialect: Dialect
    why: str


def _npm(version: str, why: str) -> Release:
    return Release("npm", version, "bin/npm-cli.js", NPM, why)


def _pnpm(version: str, why: str, program: str = "bin/pnpm.cjs") -> Release:
    return Release("pnpm", version, program, PNPM, why)


NODE = Release(f"node-{SYSTEM}-{MACHINE}", "24.21.0", "bin/node", NPM, "all clients here run on it")
PNPM_12 = f"@pnpm/exe.{SYSTEM}-{MACHINE}"
BERRY = "@yarnpkg/cli-dist"
BUN_1 = f"@oven/bun-{SYSTEM}-{BUN_MACHINE}"

CLIENTS = {
    "npm-6": _npm("6.14.18", "came with Node 14; lockfile version 1"),
    "npm-8": _npm("8.19.4", "came with Node 16; the last to log in with a password unasked"),
    "npm-9": _npm("9.9.4", "came with Node 18; the last line that installs from abbreviated documents"),
    "npm-10": _npm("10.9.9", "came with Node 20 and 22; installs from full documents"),
    "npm-11": _npm("11.21.2", "comes with Node 24; the last to run scripts unasked"),
    "npm-12": _npm("12.2.0", "the newest; refuses tarballs of another origin"),
    "pnpm-8": _pnpm("8.15.9", "lockfile version 6"),
    "pnpm-9": _pnpm("9.15.9", "lockfile version 9; the last to run scripts unasked"),
    "pnpm-10": _pnpm("10.34.9", "the last without conditional requests, and to publish through npm"),
    "pnpm-11": _pnpm("11.28.11", "the last in TypeScript; checks ages of versions", "bin/pnpm.mjs"),
    "pnpm-12": Release(PNPM_12, "12.21.0", "pnpm", PNPM, "the newest, rewritten in Rust; zstd and HEAD"),
    "yarn-1": Release("yarn", "1.22.22", "bin/yarn.js", YARN_1, "the end of its line, and in wide use"),
    "yarn-4": Release(BERRY, "4.18.1", "bin/yarn.js", YARN_BERRY, "the newest, with its Plug'n'Play"),
    "bun": Release(BUN_1, "1.4.5", "bin/bun", BUN, "the newest; an HTTP client of its own"),
}
# The first and the last of each line, which a run takes where not all are worth its time.
# LARDER_TEST_CLIENTS_ALL: all of them. It takes some minutes more.
IS_WHOLE = bool(os.environ.get("LARDER_TEST_CLIENTS_ALL"))
ENDS = tuple(CLIENTS) if IS_WHOLE else ("npm-6", "npm-12", "pnpm-8", "pnpm-12", "yarn-1", "yarn-4", "bun")
NPM_ON_PATH = CLIENTS["npm-11"]

# What a test must not expect of a client, and why. All else that the toolbox offers was seen to work.
NO_TERMINAL = "its prompts want a terminal; the toolbox asks the registry for a token in its place"
BORROWED = dict.fromkeys(("publish", "view"), "it hands this to the npm on its PATH, which is npm-11 here")
CANNOT: dict[str, dict[str, str]] = {
    "pnpm-8": {"login": NO_TERMINAL, **BORROWED},
    "pnpm-9": {"login": NO_TERMINAL, **BORROWED},
    "pnpm-10": {"login": NO_TERMINAL, **BORROWED},
    "pnpm-11": {"login": NO_TERMINAL},
    "pnpm-12": {"login": NO_TERMINAL},
    "yarn-1": {
        "login": NO_TERMINAL,
        "token": "it reads unscoped packages without its token, unless the settings say always-auth=true",
    },
    "yarn-4": {
        "login": NO_TERMINAL,
        "lock_integrities": "its checksums are of the zip it made of a tarball, not of the tarball",
        "publish": "a package is a project to it, so it resolves the package's own dependencies first",
        "tree": "Plug'n'Play has no node_modules, so the paths are `name@version`",
    },
    "bun": {
        "login": "it has no such command",
        "scripts": "it runs those of packages that package.json names, and none of packages below them",
    },
}
