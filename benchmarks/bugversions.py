"""An import of the real list of bad versions over a mirror of 100,000 packages, beside plain bulk inserts of its rows.

    python benchmarks/bugversions.py [--packages 100000] [--runs 3]

The mirror is rows, seeded in bulk: packages of one version, and 200 packages of the list with some of the versions
that it is about. Its database is SQLite in a temporary folder, or one of its own on the PostgreSQL of DATABASE_URL.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

LISTED, VERSIONS = 200, 5


@dataclass(frozen=True)
class Cost:
    """Seconds, queries, and how many packages have another revision afterwards."""

    seconds: float
    queries: int
    touched: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="larder-bench-") as folder, database(folder) as url:
        os.environ.update(
            DATABASE_URL=url, DJANGO_SETTINGS_MODULE="config.settings", LARDER_VAR=folder, LARDER_LOG_LEVEL="ERROR",
            LARDER_SECRET_KEY="x" * 50, LARDER_UPSTREAM_URL="none",
        )  # fmt: skip
        import django  # noqa: PLC0415 (the settings read what was set just now)

        django.setup()
        report(options.packages, options.runs)


@contextmanager
def database(folder: str) -> Iterator[str]:
    """The URL of an empty database, which goes when the block ends."""
    server = os.environ.get("DATABASE_URL", "")
    if not server.startswith("postgres"):
        yield f"sqlite:///{folder}/larder.sqlite3"
        return
    import psycopg2  # noqa: PLC0415 (only where there is a PostgreSQL)

    name = f"larder_bench_{uuid4().hex[:12]}"
    connection = psycopg2.connect(server)
    connection.autocommit = True
    try:
        connection.cursor().execute(f'CREATE DATABASE "{name}"')
        yield urlsplit(server)._replace(path=f"/{name}").geturl()
    finally:
        connection.cursor().execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.close()


def report(packages: int, runs: int) -> None:
    from django.core.management import call_command  # noqa: PLC0415 (after django.setup)
    from django.db import connection  # noqa: PLC0415

    from tests.bugversions import real  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    config = real.package()["config"]
    changed = deepcopy(config)
    name = min(changed["bug-versions"])
    next(iter(changed["bug-versions"][name].values()))["reason"] += ", which is said in other words now"
    seed(packages, changed["bug-versions"])
    costs: dict[str, list[Cost]] = {}
    for _ in range(runs):
        forget()
        steps = {"plain": insert, "first": importer(config), "again": importer(config), "one": importer(changed)}
        for what, step in steps.items():
            costs.setdefault(what, []).append(measured(step))
    print(f"{connection.vendor}, {packages:,} packages, {LISTED} of them in the list; {runs} runs, medians\n")
    print("| what | seconds | queries | packages touched | ÷ plain insert |")
    print("|---|---:|---:|---:|---:|")
    plain = median(costs["plain"])
    row("import of 923 rules", median(costs["first"]), plain)
    row("the same once more, nothing to do", median(costs["again"]), plain)
    row("the same with one reason changed", median(costs["one"]), plain)
    row("plain bulk insert of 923 rows", plain, plain)


def row(what: str, cost: Cost, plain: Cost) -> None:
    ratio = cost.seconds / plain.seconds
    print(f"| {what} | {cost.seconds:.2f} | {cost.queries} | {cost.touched} | {ratio:.1f} |")


def median(costs: list[Cost]) -> Cost:
    middle = statistics.median([cost.seconds for cost in costs])
    return Cost(middle, max(cost.queries for cost in costs), max(cost.touched for cost in costs))


# --- What is measured -------------------------------------------------------------------------------------------------


def measured(step: Callable[[], Any]) -> Cost:
    from django.db import connection  # noqa: PLC0415

    from registry.models import Package  # noqa: PLC0415

    asked = []

    def count(execute: Any, sql: str, *rest: Any) -> Any:
        asked.append(sql)
        return execute(sql, *rest)

    before = set(Package.objects.values_list("pk", "revision"))
    with connection.execute_wrapper(count):
        began = time.monotonic()
        step()
        seconds = time.monotonic() - began
    after = set(Package.objects.values_list("pk", "revision"))
    return Cost(seconds, len(asked), len(after - before))


def importer(config: dict[str, Any]) -> Callable[[], Any]:
    from audit.actors import Actor  # noqa: PLC0415
    from bugversions import importing  # noqa: PLC0415

    return lambda: importing.bring_in(config, number="1.121.0", actor=Actor.system("benchmark"))


def insert() -> None:
    """As many rows as the list has rules, of another source, in one transaction and with nothing asked about them."""
    from django.db import transaction  # noqa: PLC0415

    from bugversions.models import BugVersion  # noqa: PLC0415
    from tests.bugversions import real  # noqa: PLC0415

    rules = [
        BugVersion(
            package=name, versions=number, action="replace", reason=said["reason"], replacement=said["version"],
            source="plain",
        )
        for name, numbers in real.advice().items()
        for number, said in numbers.items()
    ]  # fmt: skip
    with transaction.atomic():
        BugVersion.objects.bulk_create(rules, batch_size=500)


def forget() -> None:
    from bugversions.models import BugVersion  # noqa: PLC0415

    BugVersion.objects.all().delete()


# --- What is there ----------------------------------------------------------------------------------------------------


def seed(packages: int, listed: dict[str, dict[str, Any]]) -> None:
    from django.db import transaction  # noqa: PLC0415

    from registry.models import Package, Version  # noqa: PLC0415
    from registry.names import PackageName  # noqa: PLC0415

    numbers = {name: list(listed[name])[:VERSIONS] for name in sorted(listed)[:LISTED]}
    numbers |= {f"seeded-{place}": ["1.0.0"] for place in range(packages - len(numbers))}
    with transaction.atomic():
        made = Package.objects.bulk_create(
            [
                Package(name=name, scope=PackageName.parse(name).scope or "", origin="upstream", revision=1)
                for name in numbers
            ],
            batch_size=1000,
        )
        Version.objects.bulk_create(
            [
                Version(package=package, number=number, order_key=number, **texts(package.name, number))
                for package in made
                for number in numbers[package.name]
            ],
            batch_size=1000,
        )


def texts(name: str, number: str) -> dict[str, str]:
    manifest = json.dumps({"name": name, "version": number})
    return {"manifest": manifest, "abbreviated": manifest}


if __name__ == "__main__":
    main()
