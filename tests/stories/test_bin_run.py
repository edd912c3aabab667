"""`bin/run`, as somebody meets it who has cloned the project: it sets itself up, serves, and ends as a whole."""

import http.client
import os
import shutil
import signal
import socket
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from http.cookiejar import CookieJar
from pathlib import Path
from stat import S_IMODE
from typing import Any
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, ProxyHandler, build_opener

import pytest

from tests.services import free_port
from tests.stories.checkout import NPM, UPSTREAM, Checkout, Run
from tests.stories.conftest import eventually
from tests.stories.publisher import Publisher
from tests.stories.uploads import Upload


@pytest.fixture(scope="module")
def cloned(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    checkout = Checkout(tmp_path_factory.mktemp("cloned"))
    with Run(checkout, PORT=-1) as run:  # notes that the packages are there, and gets no further than the port
        run.wait()
    return checkout


@pytest.fixture
def checkout(cloned: Checkout) -> Checkout:
    """As it was before anybody ran it, but for the packages."""
    cloned.env_file.unlink(missing_ok=True)
    cloned.install("npm", NPM)
    return cloned


class Larder:
    """One installation: its checkout, its port and its folder."""

    def __init__(self, checkout: Checkout, var: Path) -> None:
        self.var = var
        self._checkout = checkout
        self._port = free_port()

    def run(self, **variables: Any) -> Run:
        """`bin/run`, with these variables besides."""
        return Run(self._checkout, **{"PORT": self._port, "LARDER_VAR": self.var, **variables})

    def complaint(self, **variables: Any) -> str:
        """The one line that it says on standard error when it cannot start."""
        with self.run(**variables) as run:
            assert run.wait() not in (0, None)
            assert "Traceback" not in run.said + run.complaint
            [line] = run.complaint.splitlines()
            return line


@pytest.fixture
def larder(checkout: Checkout, tmp_path: Path) -> Larder:
    return Larder(checkout, tmp_path / "var")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody else has."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


# --- From the first start to the second -------------------------------------------------------------------------


def test_the_first_start_sets_up_and_the_second_finds_it_done(checkout: Checkout, larder: Larder):
    with larder.run() as run:
        run.serving()
        assert f"Larder serves at {run.url}/" in run.said
        assert f"npm config set registry {run.url}/" in run.said
        assert run.send("GET", "/-/ping").status == 200
        password = run.password
        assert password
        assert may_enter_the_admin(run, password)
        written = checkout.env_file.read_text()
        run.stop()

    with larder.run() as run:
        run.serving()
        assert run.password is None
        assert "password" not in run.said
        assert may_enter_the_admin(run, password)
        assert checkout.env_file.read_text() == written


def test_a_chosen_password_is_not_shown(larder: Larder):
    with larder.run(LARDER_ADMIN_PASSWORD="a pass of our own") as run:
        run.serving()
        assert "a pass of our own" not in run.said + run.complaint
        assert may_enter_the_admin(run, "a pass of our own")
        assert not may_enter_the_admin(run, "another one")


def test_a_proxy_in_the_environment_and_a_public_url_do_not_confuse_it(larder: Larder, taken: int):
    proxy = f"http://127.0.0.1:{taken}"
    with larder.run(http_proxy=proxy, HTTP_PROXY=proxy, LARDER_PUBLIC_URL="https://npm.acme.example") as run:
        run.serving()
        assert "npm config set registry https://npm.acme.example/" in run.said


def test_two_run_side_by_side(checkout: Checkout, tmp_path: Path):
    left, right = Larder(checkout, tmp_path / "left"), Larder(checkout, tmp_path / "right")
    upload = Upload("@acme/box")
    with left.run(LARDER_SIGNUP="open", LARDER_PRIVATE_SCOPES="@acme") as one, right.run() as other:
        one.serving()
        other.serving()
        assert Publisher.sign_in(one).publish(upload).status == 201

        assert one.send("GET", upload.tarball_path).status == 200
        assert other.send("GET", "/-/user/org.couchdb.user:alice").status == 404
        assert one.password != other.password


def test_the_worker_lets_subscribers_hear_of_a_publish(larder: Larder):
    with larder.run(LARDER_SIGNUP="open", LARDER_PRIVATE_SCOPES="@acme") as run:
        alice = Publisher.sign_in(run.serving())
        for patch in range(8):
            assert alice.publish(Upload("@acme/box", f"1.0.{patch}")).status == 201

        eventually(lambda: not rows(larder, "SELECT id FROM audit_event WHERE serial IS NULL"))
        head = "SELECT max(serial) FROM audit_event"
        eventually(
            lambda: rows(larder, f"SELECT id FROM audit_cursor WHERE name = 'registry.warm' AND serial = ({head})")
        )
        assert not rows(larder, "SELECT id FROM audit_parked")


# --- What it writes down -----------------------------------------------------------------------------------------


def test_env_has_a_key_and_the_upstream_of_the_npm_client_for_its_owner_alone(checkout, larder, taken):
    larder.complaint(PORT=taken)

    key, upstream = checkout.env_file.read_text().splitlines()
    assert key.startswith("LARDER_SECRET_KEY=")
    assert len(key) > 60
    assert upstream == f"LARDER_UPSTREAM_URL={UPSTREAM}"
    assert S_IMODE(checkout.env_file.stat().st_mode) == 0o600


def test_lines_of_env_stay_as_they_are(checkout, larder, taken):
    mine = "# ours\nLARDER_UPSTREAM_URL=none\nHOST=127.0.0.1"
    checkout.env_file.write_text(mine)

    larder.complaint(PORT=taken)
    written = checkout.env_file.read_text()
    larder.complaint(PORT=taken)

    assert checkout.env_file.read_text() == written
    before, _, key = written.removesuffix("\n").rpartition("\n")
    assert before == mine
    assert key.startswith("LARDER_SECRET_KEY=")


def test_what_the_environment_has_is_not_written(checkout, larder, taken):
    larder.complaint(PORT=taken, LARDER_SECRET_KEY="k" * 50, LARDER_UPSTREAM_URL="none")

    assert not checkout.env_file.exists()


def test_settings_come_from_env_too(checkout, larder):
    checkout.env_file.write_text("LARDER_UPSTREAM_URL=nonsense\n")

    assert "nonsense" in larder.complaint()


def test_nothing_is_written_beside_the_var_folder(checkout, larder):
    before = everything_in(checkout.folder) | everything_in(checkout.home)
    with larder.run() as run:
        run.serving()
    after = everything_in(checkout.folder) | everything_in(checkout.home)

    assert after - before == {checkout.env_file}


# --- How it ends -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_web_server_and_worker_together(larder: Larder, number: signal.Signals):
    with larder.run() as run, closing(http.client.HTTPConnection("127.0.0.1", run.port)) as idle:
        run.serving()
        idle.request("GET", "/-/ping")
        idle.getresponse().read()

        assert run.stop(number) == 0
        assert not run.left()
        assert "Traceback" not in run.said + run.complaint


@pytest.mark.parametrize(("which", "name"), [("gunicorn", "web server"), ("celery", "worker")])
def test_when_one_dies_the_other_is_ended(larder: Larder, which: str, name: str):
    with larder.run() as run:
        run.serving()
        os.kill(run.process(which), signal.SIGKILL)

        assert run.wait() == 1
        assert f"The {name} has stopped" in run.said
        assert not run.left()


def test_ctrl_c_while_it_sets_up(checkout: Checkout, larder: Larder):
    asked = checkout.programs / "asked"
    checkout.install("npm", f"#!/bin/sh\ntouch {asked}\nexec sleep 60\n")
    with larder.run() as run:
        eventually(asked.exists)
        assert run.stop(signal.SIGINT) == 130
        assert run.complaint == ""
        assert not run.left()


# --- What it cannot do -------------------------------------------------------------------------------------------


def test_a_port_that_is_taken(larder: Larder, taken: int):
    complaint = larder.complaint(PORT=taken)

    assert f"cannot listen on 127.0.0.1:{taken}" in complaint
    assert "set HOST and PORT" in complaint


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"PORT": 99999}, "set HOST and PORT"),
        ({"HOST": "192.0.2.1"}, "set HOST and PORT"),
        ({"LARDER_VAR": "/dev/null/var"}, "set LARDER_VAR to a folder that is yours"),
        ({"LARDER_UPSTREAM_URL": "registry.acme.example"}, "LARDER_UPSTREAM_URL is 'registry.acme.example'"),
        ({"LARDER_UPSTREAM_URL": "ftp://acme.example"}, "Set it to http(s)://host[/path]"),
        ({"LARDER_ADMIN_PASSWORD": "abc"}, "LARDER_ADMIN_PASSWORD will not do: This password is too short"),
        ({"LARDER_ADMIN_PASSWORD": "password1"}, "LARDER_ADMIN_PASSWORD will not do: This password is too common"),
        ({"DATABASE_URL": "postgres://larder@127.0.0.1:1/larder"}, "The database cannot be used"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_a_setting_that_will_not_do(larder: Larder, variables: dict[str, Any], words: str):
    assert words in larder.complaint(**variables)


def test_a_machine_without_a_python_that_is_new_enough(checkout: Checkout, larder: Larder, tmp_path: Path):
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "dirname", "cat", "cksum", "grep"):
        (programs / name).symlink_to(shutil.which(name))
    for name in ("python", "python3", "python3.11"):
        (programs / name).write_text(
            "#!/bin/sh\nexit 1\n"
        )  # what each says when it is asked whether it is 3.11 to 3.13
        (programs / name).chmod(0o755)
    without_packages = Checkout(tmp_path / "bare", lend_environment=False)

    complaint = Larder(without_packages, tmp_path / "var").complaint(PATH=programs)

    assert complaint.startswith("Larder needs Python 3.11, 3.12 or 3.13")


def may_enter_the_admin(run: Run, password: str) -> bool:
    """Whether the first administrator gets past the form with this password."""
    jar = CookieJar()
    browser = build_opener(HTTPCookieProcessor(jar), ProxyHandler({}))
    browser.open(f"{run.url}/-/admin/login/").close()
    [token] = [cookie.value for cookie in jar if cookie.name == "csrftoken"]
    form = {"username": "admin", "password": password, "csrfmiddlewaretoken": token, "next": "/-/admin/"}
    with browser.open(f"{run.url}/-/admin/login/", urlencode(form).encode()) as page:
        return page.url == f"{run.url}/-/admin/"


def rows(larder: Larder, query: str) -> list[tuple]:
    with closing(sqlite3.connect(larder.var / "larder.sqlite3", timeout=60)) as database:
        return database.execute(query).fetchall()


def everything_in(folder: Path) -> set[Path]:
    """Files and folders, but for what Python compiles."""
    return {path for path in folder.rglob("*") if "__pycache__" not in path.parts}
