"""Every command of every client against a real server; the table in docs/protocol.md is what comes out here."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients import matrix
from tests.clients.phrases import ROWS
from tests.clients.releases import IS_WHOLE
from tests.clients.toolbox import Client
from tests.clients.walks import FRIEND, PASSWORD, Walk
from tests.server import Server

pytestmark = pytest.mark.clients

SOME = ("npm-6", "npm-12", "pnpm-12", "yarn-1", "yarn-4", "bun")
CLIENTS = matrix.COLUMNS if IS_WHOLE else SOME

# How a check fails, also one that takes an answer apart which has another shape.
FAILING = (AssertionError, LookupError, TypeError, ValueError)

PEOPLE = f"""
from audit.actors import Actor; from registry import orgs, people; from registry.models import Member
actor = Actor.system("tests")
people.create_user({FRIEND!r}, {PASSWORD!r}, actor=actor)
for name in {CLIENTS!r}:
    people.create_user(name, {PASSWORD!r}, actor=actor)
    orgs.create(f"at-{{name}}", actor=actor)
    orgs.set_member(f"at-{{name}}", name, Member.Role.OWNER, actor=actor)
"""


@pytest.fixture(scope="module")
def larder() -> Iterator[Server]:
    """A registry where everybody who walks has an organisation."""
    with Server(workers=1) as server:
        server.manage("shell", "-v0", "-c", PEOPLE)
        yield server


@pytest.mark.parametrize("name", CLIENTS)
def test_every_command(name: str, real_client: Callable[[str], Client], larder: Server, tmp_path: Path) -> None:
    walk = Walk(real_client(name), larder, tmp_path)
    column, failures = {}, {}
    matrix.forget(name)
    for row in ROWS:
        try:
            column[row.title] = walk.take(row)
        except FAILING as failure:
            failures[row.title] = f"{type(failure).__name__}: {failure}"
    assert not failures, "\n\n".join(f"=== {name}: {title}\n{why}" for title, why in failures.items())
    matrix.keep(name, column)
    documented = matrix.documented(matrix.DOCUMENT.read_text()).get(name, {})
    assert column == documented, "run: python -m tests.clients.matrix --write"


def test_the_table_reads_back_as_it_was_written() -> None:
    columns = {"npm-6": {"ping": "✓", "star": "taken out"}, "bun": {"ping": "no such command", "star": "taken out"}}
    text = f"before\n{matrix.BEGIN}\n{matrix.written(['ping', 'star'], columns)}\n{matrix.END}\nafter"
    assert matrix.documented(text) == columns
