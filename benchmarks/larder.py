"""Larder as anyone would start it: `bin/run`, in the embedded shape, with a folder of its own."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import Server, emptied, free_port, running
from benchmarks.verdaccio import npm_config

CHECKOUT = Path(__file__).resolve().parents[1]
NAME = "Larder"


@contextmanager
def larder(upstream: str | None = None, var: Path | None = None) -> Iterator[Server]:
    """Run Larder with nothing in its folder, or with what it left in `var`, in front of `upstream`."""
    folder = var or emptied(CHECKOUT / "var" / "bench" / "larder")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    environment = {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "LARDER_VAR": str(folder),
        "LARDER_UPSTREAM_URL": upstream or npm_config("registry"),
        "LARDER_UPSTREAM_CA": npm_config("cafile"),
        "LARDER_FRESH_SECONDS": "3600",  # as long as Verdaccio's, and for the same reason
        "LARDER_SECRET_KEY": secrets.token_urlsafe(48),
        "LARDER_ADMIN_PASSWORD": secrets.token_urlsafe(15),
    }
    command = [str(CHECKOUT / "bin" / "run")]
    with running(NAME, command, port=port, environment=environment, log=folder / "bench.log") as server:
        yield server
