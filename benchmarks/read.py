"""What reading costs: documents and tarballs that are here already, from Larder beside Verdaccio.

    python benchmarks/read.py [--seconds 3] [--connections 4]

Both servers run at once, each fetched everything from the upstream before, and they take turns row by row under the
same load. The last column is the measure: how many requests a second of CPU time (of the whole process tree) answers.
Requests per second of wall time are shown too, but the load generator shares the machine with the servers.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.larder import larder
from benchmarks.load import Ask, load, once
from benchmarks.processes import Server
from benchmarks.verdaccio import npm_config, verdaccio

ACCEPT = {
    "full": "application/json",
    "abbreviated": "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*",
}
MOST = 5000  # requests of one connection for one row


@dataclass(frozen=True)
class Row:
    """One thing that clients read."""

    path: str
    flavour: str | None = None  # none for a tarball
    conditional: bool = False

    @property
    def title(self) -> str:
        """What stands in the first column."""
        return ", ".join(filter(None, [f"`{self.path}`", self.flavour, "304" if self.conditional else None]))

    def ask(self, server: Server) -> Ask:
        """Return the request for it, as npm makes it."""
        headers = [("accept", ACCEPT[self.flavour]), ("accept-encoding", "gzip")] if self.flavour else []
        ask = Ask(f"{server.url}{self.path}", tuple(headers))
        if not self.conditional:
            return ask
        validator = ("if-none-match", once(ask).headers["etag"])
        return replace(ask, headers=(*ask.headers, validator), status=304)


ROWS = [
    *(Row(f"/{name}", flavour) for name in ("ms", "express", "typescript", "next") for flavour in ACCEPT),
    Row("/ms", "full", conditional=True),
    Row("/typescript", "full", conditional=True),
    Row("/ms/-/ms-2.1.3.tgz"),
    Row("/typescript/-/typescript-5.4.5.tgz"),
]


@dataclass(frozen=True)
class Measured:
    """What one server did with one row."""

    size: int
    per_second: float
    per_cpu_second: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", default=3.0, type=float, help="of load for each row and server")
    parser.add_argument("--connections", default=4, type=int)
    options = parser.parse_args()
    upstream = npm_config("registry")
    with (
        tempfile.TemporaryDirectory(prefix="larder-bench-") as scratch,
        larder(upstream, Path(scratch) / "larder") as ours,
        verdaccio(upstream, Path(scratch) / "verdaccio") as theirs,
    ):
        print("\n".join(_table([ours, theirs], options.seconds, options.connections)))


def _table(servers: list[Server], seconds: float, connections: int) -> Iterator[str]:
    """Yield the lines of the result."""
    ours, theirs = (server.name for server in servers)
    yield f"| what | {ours}: bytes | req/s | req/CPU s | {theirs}: bytes | req/s | req/CPU s | {ours} ÷ {theirs} |"
    yield "|---|---:|---:|---:|---:|---:|---:|---:|"
    for row in ROWS:
        print(row.title, file=sys.stderr)
        results = [_measured(server, row, seconds, connections) for server in servers]
        cells = [f"{it.size} | {it.per_second:.0f} | {it.per_cpu_second:.0f}" for it in results]
        ratio = results[0].per_cpu_second / results[1].per_cpu_second
        yield f"| {row.title} | {cells[0]} | {cells[1]} | **{ratio:.1f}** |"


def _measured(server: Server, row: Row, seconds: float, connections: int) -> Measured:
    """Read a row once so that the server has it, let every process of it warm up, then put it under load."""
    once(Row.ask(replace(row, conditional=False), server))
    ask = row.ask(server)
    load(ask, connections=connections, seconds=seconds / 6, most=MOST)
    before = server.cpu_seconds()
    count, took = load(ask, connections=connections, seconds=seconds, most=MOST)
    cpu = max(server.cpu_seconds() - before, 0.01)  # the clock's own step
    return Measured(once(ask).size, count / took, count / cpu)


if __name__ == "__main__":
    main()
