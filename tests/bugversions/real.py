"""The real data: the npm package `bug-versions` 1.121.0, and packuments of 73 of its packages, with other hosts."""

import gzip
import json
from functools import cache
from pathlib import Path
from typing import Any

_DATA = Path(__file__).with_name("data")


@cache
def package() -> dict[str, Any]:
    """What is wanted of its package.json: name, version and config."""
    return json.loads(gzip.decompress((_DATA / "bug-versions.json.gz").read_bytes()))


@cache
def packuments() -> dict[str, str]:
    """By name, as text."""
    lines = gzip.decompress((_DATA / "packuments.jsonl.gz").read_bytes()).decode().split("\n")
    return {json.loads(line)["name"]: line for line in lines}


def advice() -> dict[str, dict[str, dict[str, Any]]]:
    """Its table of bad versions."""
    return package()["config"]["bug-versions"]
