"""How long one client takes to install an app: through Larder, through Verdaccio, and straight from the upstream.

    python benchmarks/install.py [--client npm-11] [--app small|large] [--runs 3]

Each install is made by a client with a clean home and cache. Cold: the server's storage is empty as well. Warm: the
server has everything, from the cold install just before. The contestants take turns in each round, so that a slow
minute of the network or the machine is a slow minute for all of them. Prints a Markdown table of medians.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.larder import larder
from benchmarks.processes import Server
from benchmarks.verdaccio import npm_config, verdaccio
from tests.clients import toolbox
from tests.clients.releases import CLIENTS

STATES = ("cold", "warm")


@dataclass
class Contestant:
    """One way to the packages, and what its installs took: seconds of the client, CPU seconds of the server."""

    name: str
    start: Callable[[Path], AbstractContextManager[Server | None]]
    seconds: dict[str, list[float]] = field(default_factory=lambda: {state: [] for state in STATES})
    cpu: dict[str, list[float]] = field(default_factory=lambda: {state: [] for state in STATES})


def main() -> None:
    """Measure and print."""
    options = _options()
    app = json.loads(Path(__file__).with_name("app.json").read_text())[options.app]
    upstream = npm_config("registry")
    client = toolbox.client(options.client)
    contestants = [
        Contestant("Larder", lambda folder: larder(upstream, folder)),
        Contestant("Verdaccio 6", lambda folder: verdaccio(upstream, folder)),
        Contestant("straight", _no_server),
    ]
    sizes = set()
    for number in range(options.runs):
        for contestant in contestants:
            print(f"round {number + 1} of {options.runs}: {contestant.name}", file=sys.stderr)
            sizes |= _play(contestant, client, app, upstream)
    packages = " or ".join(str(size) for size in sorted(sizes))
    print(f"{options.client}, {options.app} app of {packages} packages, median of {options.runs}\n")
    print("\n".join(_table(contestants)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--client", default="npm-11", choices=CLIENTS)
    parser.add_argument("--app", default="small", choices=("small", "large"))
    parser.add_argument("--runs", default=3, type=int)
    return parser.parse_args()


@contextmanager
def _no_server(_: Path) -> Iterator[None]:
    yield None


def _play(contestant: Contestant, client: toolbox.Client, app: dict[str, Any], upstream: str) -> set[int]:
    """Install cold and warm through one contestant; return how many packages that gave."""
    sizes = set()
    with tempfile.TemporaryDirectory(prefix="larder-bench-") as scratch:
        folder = Path(scratch)
        with contestant.start(folder / "server") as server:
            for state in STATES:
                before = server.cpu_seconds() if server else 0.0
                project = client.project(folder / state, server.url if server else upstream, app)
                done = project.install()
                if done.returncode:
                    sys.exit(f"{client.name} could not install through {contestant.name}:\n{done.stderr[-3000:]}")
                contestant.seconds[state].append(done.seconds)
                contestant.cpu[state].append(server.cpu_seconds() - before if server else 0.0)
                sizes.add(len(project.tree()))
    return sizes


def _table(contestants: list[Contestant]) -> Iterator[str]:
    """Yield the lines of the result: seconds, and each in proportion to those below it."""
    *_, peer, straight = contestants
    yield f"| storage | through | seconds | ÷ {peer.name} | ÷ {straight.name} | server CPU seconds |"
    yield "|---|---|---:|---:|---:|---:|"
    for state in STATES:
        for contestant in contestants:
            took = median(contestant.seconds[state])
            ratios = [took / median(other.seconds[state]) for other in (peer, straight)]
            cpu = median(contestant.cpu[state])
            yield f"| {state} | {contestant.name} | {took:.1f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {cpu:.1f} |"


if __name__ == "__main__":
    main()
