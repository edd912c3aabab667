"""`npm token` of every npm: classic tokens up to npm 10, granular ones from 11 on."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.clients import toolbox
from tests.clients.dialects import NPM
from tests.clients.releases import CLIENTS
from tests.server import Server

pytestmark = pytest.mark.clients

PASSWORD = "correct horse battery"
NPMS = [name for name, release in CLIENTS.items() if release.dialect is NPM]
GRANULAR = ("--name=ci", "--packages=left-pad", "--packages-and-scopes-permission=read-write", "--expires=7")


@pytest.fixture(scope="module")
def larder() -> Iterator[Server]:
    with Server(workers=1) as server:
        yield server


@pytest.fixture(params=NPMS)
def project(
    request: pytest.FixtureRequest, real_client: Callable[[str], toolbox.Client], larder: Server, tmp_path: Path
) -> toolbox.Project:
    """Somebody who is logged in."""
    project = real_client(request.param).project(tmp_path, larder.url, {})
    project.login(f"person-of-{request.param}", PASSWORD)
    return project


def create(project: toolbox.Project, *options: str) -> str:
    """The token that `npm token create` shows."""
    makes_granular = project.client.name in ("npm-11", "npm-12")
    words = (*options, *GRANULAR) if makes_granular else options
    done = project.run("token", "create", *words, answers={"assword:": PASSWORD})
    found = re.search(r"larder_[0-9A-Za-z]{38}", done.stdout)
    assert found, done
    return found[0]


def listed(project: toolbox.Project) -> list[dict[str, object]]:
    done = project.run("token", "list", "--json")
    assert done.returncode == 0, done
    tokens: list[dict[str, object]] = json.loads(done.stdout)
    return tokens


def test_tokens_are_made_listed_and_revoked(project: toolbox.Project, larder: Server, tmp_path: Path) -> None:
    secret = create(project)
    [made, session] = listed(project)
    assert (made["token"], session["name"]) == (secret[:12], "session")
    shown = project.run("token", "list")
    assert shown.returncode == 0, shown
    machine = project.client.project(tmp_path / "machine", larder.url, {}, token=secret)
    assert machine.run("whoami").stdout.strip() == f"person-of-{project.client.name}"

    revoked = project.run("token", "revoke", str(made["key"])[:8])
    assert revoked.returncode == 0, revoked
    assert machine.run("whoami").returncode != 0
    again = create(project)
    assert project.run("token", "revoke", again).returncode == 0
    assert [token["name"] for token in listed(project)] == ["session"]


def test_the_wrong_network_has_a_code_of_its_own(project: toolbox.Project, larder: Server, tmp_path: Path) -> None:
    secret = create(project, "--cidr=192.0.2.0/24")
    machine = project.client.project(tmp_path / "machine", larder.url, {}, token=secret)
    refused = machine.run("whoami")
    assert refused.returncode != 0
    assert "EAUTHIP" in refused.stderr
