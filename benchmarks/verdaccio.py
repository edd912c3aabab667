"""Verdaccio 6, the peer that Larder is measured beside."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.processes import Server, emptied, free_port, running
from tests.clients import toolbox

HOME = Path(__file__).resolve().parents[1] / "var" / "bench" / "verdaccio"
NAME = "Verdaccio 6"
VERSION = "6.10.4"
OVERRIDES = {"node-fetch": "2.6.7"}  # the one that every registry mirror is sure to have


def npm_config(key: str) -> str:
    """Return what this machine's npm is configured with, or nothing."""
    npm = shutil.which("npm")
    if npm is None:
        raise toolbox.Unavailable("This machine has no npm to ask for its configuration.")
    asked = subprocess.run([npm, "config", "get", key], capture_output=True, text=True, check=True)
    value = asked.stdout.strip()
    return "" if value in {"null", "undefined"} else value


@contextmanager
def verdaccio(uplink: str | None = None, storage: Path | None = None) -> Iterator[Server]:
    """Run Verdaccio with an empty storage, or with what it left in `storage`, in front of `uplink`."""
    home = HOME / VERSION
    toolbox.install_once(home, {"verdaccio": VERSION}, overrides=OVERRIDES)
    folder = storage or emptied(HOME / "storage")
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.yaml"
        config.write_text(json.dumps(_configuration(uplink or npm_config("registry"), folder)))
        program = home / "node_modules" / "verdaccio" / "bin" / "verdaccio"
        command = [toolbox.node(), program, "--config", config, "--listen", f"127.0.0.1:{port}"]
        production = {"NODE_ENV": "production"}
        with running(
            NAME, list(map(str, command)), port=port, environment=production, log=Path(scratch) / "log"
        ) as server:
            yield server


def _configuration(uplink: str, storage: Path) -> dict[str, object]:
    """Return its configuration (YAML, so JSON will do): its defaults but for size, noise and freshness."""
    rights = {"access": "$all", "publish": "$authenticated", "proxy": "upstream"}
    return {
        "storage": str(storage),
        "auth": {"htpasswd": {"file": str(storage / "htpasswd")}},
        # An hour, so that a benchmark of warm reads measures reads and not questions to the uplink.
        "uplinks": {"upstream": {"url": uplink, "timeout": "60s", "maxage": "1h"}},
        "packages": {"@*/*": rights, "**": rights},
        "max_body_size": "500mb",
        "log": {"type": "stdout", "format": "json", "level": "error"},
    }
