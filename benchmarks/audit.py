"""What an audit costs: the bulk request of a tree of 1,500 packages, and the import of a dump as large as npm's.

    python benchmarks/audit.py [--entries 220000] [--runs 30]

Everything happens in this process, on an empty SQLite database, with a dump that is made up: nine of ten entries are
malware under names that nobody installs, as in the real one. 2,000 of the rest are about packages of the tree, and hit
half of its versions. The limit beside the request is what JSON alone costs: the same bodies, decoded and encoded.
"""

import argparse
import gzip
import io
import json
import os
import random
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

PACKAGES, MATCHING = 1500, 2000
PATH = "/-/npm/v1/security/advisories/bulk"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--entries", default=220_000, type=int, help="of the dump")
    parser.add_argument("--runs", default=30, type=int, help="of the request")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="larder-bench-") as scratch:
        application = _larder(Path(scratch))
        dump = Path(scratch) / "all.zip"
        _write(dump, options.entries)
        print(f"{options.entries} entries, {dump.stat().st_size >> 20} MiB\n")
        print("| what | seconds | CPU seconds |\n|---|---:|---:|")
        for title in ("import into an empty database", "the same dump again"):
            print(f"| {title} | {' | '.join(f'{value:.1f}' for value in _import(dump))} |")
        _request(application, options.runs)


def _larder(var: Path) -> Callable[..., Any]:
    os.environ.update(
        DJANGO_SETTINGS_MODULE="config.settings", LARDER_VAR=str(var), LARDER_UPSTREAM_URL="none", REDIS_URL="",
        DATABASE_URL=f"sqlite:///{var / 'larder.sqlite3'}", LARDER_LOG_LEVEL="ERROR", LARDER_PUBLIC_URL="",
    )  # fmt: skip
    (var / "static").mkdir()
    from django.core.management import call_command  # noqa: PLC0415 (after the settings were said)

    from config.wsgi import application  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    return application


def _write(dump: Path, count: int) -> None:
    chance = random.Random(1)
    with zipfile.ZipFile(dump, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(count):
            entry = _vulnerability(number, chance) if number % 10 == 0 else _malware(number)
            file.writestr(f"{entry['id']}.json", json.dumps(entry))


def _vulnerability(number: int, chance: random.Random) -> dict[str, Any]:
    """The first of these are about packages of the tree."""
    place = number // 10
    name = f"package-{chance.randrange(PACKAGES)}" if place < MATCHING else f"other-{place}"
    events = [{"introduced": "0"}, {"fixed": f"1.{chance.randrange(20)}.{chance.randrange(10)}"}]
    return {
        "id": f"GHSA-{number:04x}-{place:04x}-bbbb",
        "modified": "2026-10-01T12:00:00Z",
        "aliases": [f"CVE-2026-{place}"],
        "summary": f"{name} takes what it is given for more than it is",
        "details": "As it happens, " * 60,
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
        "affected": [{"package": {"ecosystem": "npm", "name": name}, "ranges": [{"type": "SEMVER", "events": events}]}],
        "database_specific": {"severity": "HIGH", "cwe_ids": ["CWE-20", "CWE-400"]},
    }


def _malware(number: int) -> dict[str, Any]:
    package = {"ecosystem": "npm", "name": f"malware-{number}"}
    return {
        "id": f"MAL-2026-{number}",
        "modified": "2026-10-01T12:00:00Z",
        "summary": f"Malicious code in malware-{number} (npm)",
        "details": "It reads what it should not, " * 20,
        "affected": [{"package": package, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}]}]}],
    }


def _import(dump: Path) -> tuple[float, float]:
    from audit.actors import Actor  # noqa: PLC0415
    from bugversions import advisories  # noqa: PLC0415

    began = time.perf_counter(), time.process_time()
    advisories.bring_in(dump, actor=Actor.system("benchmark"))
    return time.perf_counter() - began[0], time.process_time() - began[1]


def _request(application: Callable[..., Any], runs: int) -> None:
    asked = {f"package-{n}": [f"1.{n % 20}.0"] for n in range(PACKAGES)}
    body = gzip.compress(json.dumps(asked).encode())
    first, answer = _timed(lambda: _post(application, body))
    again = [_timed(lambda: _post(application, body))[0] for _ in range(runs)]
    limits = [_timed(lambda: _json_alone(body, answer))[0] for _ in range(runs)]
    found = msgspec.json.decode(answer)
    print(f"\n{PACKAGES} packages, {sum(map(len, found.values()))} advisories hit {len(found)} of them, ", end="")
    print(f"{len(body)} bytes asked, {len(answer)} answered; medians of {runs}\n")
    print("| what | CPU ms | ÷ JSON alone |\n|---|---:|---:|")
    limit = statistics.median(limits)
    rows = (("bulk audit", statistics.median(again)), ("the first one of a process", first), ("JSON alone", limit))
    for title, seconds in rows:
        print(f"| {title} | {seconds * 1000:.1f} | {seconds / limit:.1f} |")


def _timed(work: Callable[[], bytes]) -> tuple[float, bytes]:
    began = time.process_time()
    result = work()
    return time.process_time() - began, result


def _post(application: Callable[..., Any], body: bytes) -> bytes:
    environ = {
        "REQUEST_METHOD": "POST", "SCRIPT_NAME": "", "PATH_INFO": PATH, "SERVER_NAME": "localhost", "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1", "HTTP_HOST": "localhost", "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body), "wsgi.errors": sys.stderr, "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": "gzip", "CONTENT_TYPE": "application/json", "REMOTE_ADDR": "127.0.0.1",
    }  # fmt: skip
    statuses: list[str] = []
    pieces: Iterator[bytes] = application(environ, lambda status, _headers: statuses.append(status))
    answer = b"".join(pieces)
    assert statuses == ["200 OK"], (statuses, answer[:500])
    return answer


def _json_alone(body: bytes, answer: bytes) -> bytes:
    return msgspec.json.encode(msgspec.json.decode(gzip.decompress(body))) + msgspec.json.encode(
        msgspec.json.decode(answer)
    )


if __name__ == "__main__":
    main()
