"""`manage.py sync`: packages come in, and the exit status says whether all did."""

import io
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from audit.actors import Actor
from registry.models import Blob, Package
from sync import batches, queue, rules, running
from sync.management.commands import sync as command
from sync.models import ScopeRule, SyncTask, Upstream
from tests.fake_upstream import FakeUpstream
from tests.server import CHECKOUT, Server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _published(upstream, monkeypatch):
    monkeypatch.setattr(command, "time", SimpleNamespace(monotonic=lambda: 0.0))
    monkeypatch.setattr(batches, "time", SimpleNamespace(sleep=_let_time_pass))
    upstream.publish("left-pad", "1.0.0", dependencies={"repeat": "^1.0.0"})
    upstream.publish("repeat", "1.0.0", optionalDependencies={"letters": "*"})
    upstream.publish("letters", "1.0.0")
    upstream.publish("@scope/name", "1.0.0")


def _let_time_pass(_seconds: float) -> None:
    SyncTask.objects.filter(state=SyncTask.State.WAITING).update(due_at=timezone.now())
    Upstream.objects.update(resting_until=None)


def table(lines: list[str]) -> dict[str, int]:
    """The numbers under the lines of packages."""
    counts = [line.rsplit(maxsplit=1) for line in lines if line.startswith("  ") and ":" not in line]
    return {word.strip(): int(count) for word, count in counts}


def printed_by(*arguments: str) -> tuple[list[str], CommandError]:
    """What it printed, and how it failed."""
    printed = io.StringIO()
    with pytest.raises(CommandError) as failed:
        call_command("sync", *arguments, stdout=printed)
    return printed.getvalue().splitlines(), failed.value


def sync(*arguments: str) -> list[str]:
    """What it printed. Raises CommandError, which `manage.py` prints, and exits with status 1."""
    printed = io.StringIO()
    call_command("sync", *arguments, stdout=printed)
    return printed.getvalue().splitlines()


def names() -> set[str]:
    return set(Package.objects.values_list("name", flat=True))


def test_several_packages_come_in_with_their_tarballs():
    assert sync("left-pad", "@scope/name") == [
        "left-pad: 1 versions: 1 to add, 0 to change, 0 to remove; 1 tarballs fetched",
        "@scope/name: 1 versions: 1 to add, 0 to change, 0 to remove; 1 tarballs fetched",
        "  in                     2",
        "  unchanged              0",
        "  refused                0",
        "  failed                 0",
        "  skipped versions       0",
        "all 2 in, in 0.0 s",
    ]
    assert (names(), Blob.objects.count()) == ({"left-pad", "@scope/name"}, 2)


def test_a_package_that_is_named_twice_comes_once():
    assert sync("left-pad", "left-pad", "@scope/name", "@scope%2fname")[-1] == "all 2 in, in 0.0 s"


def test_without_tarballs(upstream):
    assert sync("--no-tarballs", "left-pad")[0] == "left-pad: 1 versions: 1 to add, 0 to change, 0 to remove"
    assert upstream.count("*.tgz") == 0


def test_with_dependencies_and_theirs():
    assert sync("--dependencies", "left-pad")[-1] == "all 3 in, in 0.0 s"
    assert (names(), Blob.objects.count()) == ({"left-pad", "repeat", "letters"}, 3)


def test_once_more_says_that_nothing_has_changed():
    sync("left-pad")
    lines = sync("left-pad")
    assert lines[0] == "left-pad: unchanged; 0 tarballs fetched"
    assert (table(lines)["in"], table(lines)["unchanged"]) == (0, 1)


def test_what_it_brought_in_is_served_without_an_upstream(upstream, anyone, later):
    sync("left-pad")
    upstream.stop()
    later()
    assert anyone.view("left-pad").status == 200
    assert anyone.download("left-pad", "1.0.0").raw == upstream.tarball("left-pad", "1.0.0")


def test_a_package_that_nobody_has_fails_and_the_others_come_in():
    with pytest.raises(CommandError, match="1 of 2 did not come in: no-such-thing"):
        sync("no-such-thing", "left-pad")
    assert names() == {"left-pad"}


def test_a_dependency_that_nobody_has_fails(upstream):
    upstream.unpublish("letters")
    with pytest.raises(CommandError, match="1 of 3 did not come in: letters"):
        sync("--dependencies", "left-pad")


def test_a_dependency_that_somebody_else_asked_for_and_that_is_not_in_yet_is_not_forgotten():
    task = queue.ask("repeat", why="a reader", with_tarballs=True, with_dependencies=True)
    queue.put_off(queue.claim(task.pk), "not now")
    assert sync("--dependencies", "left-pad")[-1] == "all 3 in, in 0.0 s"


def test_a_private_scope_is_refused_without_a_request(upstream):
    with pytest.raises(CommandError, match="@acme/secret"):
        sync("@acme/secret")
    assert upstream.count() == 0
    assert SyncTask.objects.get().error == "not fetched: @acme is a private scope of this registry"


@pytest.mark.parametrize("name", ["not a name", "", "../etc", "@scope"])
def test_what_is_no_name_is_refused_before_anything_is_asked(upstream, name):
    with pytest.raises(CommandError, match="is not a package name"):
        sync("left-pad", name)
    assert (upstream.count(), SyncTask.objects.count()) == (0, 0)


def test_an_upstream_that_is_down_fails_and_what_was_wished_for_is_not_forgotten(upstream):
    upstream.stop()
    with pytest.raises(CommandError, match="1 of 1 did not come in: left-pad"):
        sync("left-pad")
    assert SyncTask.objects.get().state == SyncTask.State.WAITING


def test_a_short_illness_is_waited_out(upstream):
    upstream.fault("/left-pad", "status", times=2, code=503)
    assert sync("left-pad")[-1] == "all 1 in, in 0.0 s"


def test_a_tarball_that_does_not_come_fails(upstream):
    upstream.fault("*.tgz", "wrong_bytes")
    with pytest.raises(CommandError, match="left-pad"):
        sync("left-pad")
    assert not Blob.objects.exists()


def test_without_an_upstream_nothing_comes(settings):
    settings.UPSTREAM_URL = "none"
    with pytest.raises(CommandError, match="left-pad"):
        sync("left-pad")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_a_bar_with_totals_and_a_rate_takes_the_place_of_the_lines(monkeypatch):
    screen, printed = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    call_command("sync", "left-pad", "--dependencies", stdout=printed)
    last = screen.getvalue().rstrip().rsplit("\r", 1)[-1]
    assert "3/3" in last
    assert "packages/s" in last or "s/ packages" in last
    assert printed.getvalue().startswith("  in                     3\n")


# --- Which ones ---------------------------------------------------------------------------------------------------


def test_one_version_with_its_tarball_only(upstream):
    upstream.publish("left-pad", "2.0.0")
    sync("left-pad@1.0.0", "repeat")
    assert (upstream.count("/left-pad/-/*1.0.0.tgz"), upstream.count("/left-pad/-/*2.0.0.tgz")) == (1, 0)
    assert SyncTask.objects.get(name="repeat").versions is None


def test_a_version_for_those_that_are_named_without_one():
    sync("left-pad", "repeat@1.0.0", "--version", "1.0.0")
    assert set(SyncTask.objects.values_list("name", flat=True)) == {"left-pad", "repeat"}
    assert [task.versions for task in SyncTask.objects.all()] == [["1.0.0"], ["1.0.0"]]


def test_a_version_that_is_not_there_is_skipped_and_that_is_no_success():
    lines, error = printed_by("left-pad@1.0.0", "left-pad@9.9.9")
    assert (str(error), error.returncode) == ("done, with 1 skipped", 1)
    assert (table(lines)["in"], table(lines)["skipped versions"]) == (1, 1)
    assert lines[-1].startswith("  skipped   left-pad: ")
    assert lines[-1].endswith("first: there is no version 9.9.9 of left-pad")


def test_a_tarball_above_the_limit_is_skipped(settings, upstream):
    settings.MAX_TARBALL_BYTES = 10
    lines, error = printed_by("left-pad")
    assert str(error) == "done, with 1 skipped"
    assert "LARDER_MAX_TARBALL_MB" in lines[-1]


def test_files_and_names_together(tmp_path):
    lock, listed = tmp_path / "yarn.lock", tmp_path / "list"
    lock.write_text('# yarn lockfile v1\n\n"@scope/name@^1.0.0":\n  version "1.0.0"\n')
    listed.write_text("repeat@1.0.0\nrepeat\n", encoding="utf-8-sig")
    assert sync("left-pad", "--file", str(lock), "--file", str(listed))[-1] == "all 3 in, in 0.0 s"
    versions = dict(SyncTask.objects.values_list("name", "versions"))
    assert versions == {"left-pad": None, "@scope/name": ["1.0.0"], "repeat": None}


def test_all_that_came_from_upstreams_and_nothing_that_was_published_here(alice):
    alice.publish("ours", "1.0.0")
    sync("left-pad", "letters")
    lines = sync("--all-existing")
    assert (lines[-1], table(lines)["unchanged"]) == ("all 2 in, in 0.0 s", 2)
    newest = SyncTask.objects.order_by("-pk")[:2]
    assert {(task.name, task.priority) for task in newest} == {("left-pad", 40), ("letters", 40)}


def test_all_existing_of_none_is_all():
    assert sync("--all-existing")[-1] == "all 0 in, in 0.0 s"


# --- From where ---------------------------------------------------------------------------------------------------


@pytest.fixture
def other(upstream):
    with FakeUpstream() as other:
        other.publish("only-there", "1.0.0")
        other.publish("left-pad", "6.6.6")
        Upstream.objects.create(name="other", url=other.url)
        yield other


def test_from_another_upstream_than_the_rules_say(upstream, other):
    sync("only-there", "--from", "other")
    assert Package.objects.get().origin == "other"
    assert upstream.count() == 0
    assert sync("--all-existing", "--from", "default")[-1] == "all 0 in, in 0.0 s"


def test_from_an_upstream_that_the_guard_forbids_nothing_is_asked_and_no_other_wish_is_spoilt(upstream, other):
    sync("left-pad")
    rules.put("letters", ScopeRule.Mode.BLOCKED, [], actor=Actor.system("test"))
    theirs = queue.ask("left-pad", why="a reader")
    lines, error = printed_by("left-pad", "letters", "@acme/secret", "only-there", "--from", "other")
    assert "3 of 4 did not come in: left-pad, letters, @acme/secret" in str(error)
    assert table(lines)["refused"] == 3
    assert {request.path for request in other.requests} == {"/only-there", "/only-there/-/only-there-1.0.0.tgz"}
    theirs.refresh_from_db()
    assert (theirs.state, theirs.upstream) == (SyncTask.State.WAITING, None)


# --- What cannot be used is told in a sentence --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say which packages"),
        (["left-pad", "--from", "nobody"], "there is no upstream nobody"),
        (["left-pad@latest"], '"latest" is no version of left-pad'),
        (["left-pad", "--version", "^1"], r"is no version of left-pad"),
        (["left-pad@1.0.0", "--version", "1.0.0"], "named without one"),
        (["--file", "no/such/file"], "no/such/file cannot be read: No such file"),
        (["--file", "."], "cannot be read: Is a directory"),
        (["--file", "manage.py"], "manage.py cannot be used: line 2"),
        (["--file", sys.executable], "is no text"),
    ],
)
def test_what_cannot_be_used(upstream, monkeypatch, arguments, sentence):
    monkeypatch.chdir(CHECKOUT)
    _, error = printed_by(*arguments)
    assert (error.returncode, SyncTask.objects.count(), upstream.count()) == (1, 0, 0)
    with pytest.raises(CommandError, match=sentence):
        raise error


# --- What goes wrong ----------------------------------------------------------------------------------------------


def test_a_task_that_fails_is_told_with_its_reason_and_holds_no_other_up(upstream):
    upstream.fault("/left-pad", "status", code=500)
    lines, error = printed_by("left-pad", "repeat")
    assert str(error) == "1 of 2 did not come in: left-pad"
    assert (table(lines)["in"], table(lines)["failed"]) == (1, 1)
    assert lines[-1].startswith("  failed    left-pad: ")
    assert "left-pad answered 500 Internal Server Error; a worker tries again after " in lines[-1]
    assert SyncTask.objects.get(name="left-pad").state == SyncTask.State.WAITING


def test_a_task_that_a_worker_runs_is_waited_for(monkeypatch):
    task = queue.ask("left-pad", why="a reader", with_tarballs=True)
    theirs = queue.claim(task.pk)
    monkeypatch.setattr(batches, "time", SimpleNamespace(sleep=lambda _: running.carry_out(theirs)))
    # It was asked for while it ran: the worker leaves one more round, which is ours.
    assert sync("left-pad")[0] == "left-pad: unchanged; 0 tarballs fetched"


def test_after_ctrl_c_only_what_is_left_is_fetched(upstream, monkeypatch):
    carry_out, interrupted = running.carry_out, []

    def interrupt(task, progress):
        if task.name == "repeat" and not interrupted:
            interrupted.append(task)
            raise KeyboardInterrupt
        return carry_out(task, progress)

    monkeypatch.setattr(running, "carry_out", interrupt)
    _, error = printed_by("left-pad", "repeat", "letters")
    assert (error.returncode, str(error).startswith("stopped after 1 packages")) == (130, True)
    assert set(SyncTask.objects.due().values_list("name", "attempts")) == {("repeat", 0), ("letters", 0)}

    lines = sync("left-pad", "repeat", "letters")
    assert [line.partition(":")[0] for line in lines[:3]] == ["repeat", "letters", "left-pad"]
    assert (table(lines)["in"], table(lines)["unchanged"]) == (2, 1)
    assert upstream.count("*.tgz") == 3


def test_ctrl_c_on_a_shell(upstream):
    with Server(upstream=upstream.url, workers=1) as server:
        tarball = upstream.gate("/left-pad/-/*")
        command = [sys.executable, "manage.py", "sync", "left-pad", "repeat"]
        with tarball, subprocess.Popen(
            command, cwd=CHECKOUT, env=server._environment, stderr=subprocess.PIPE, text=True
        ) as process:  # fmt: skip
            tarball.wait_arrived(timeout=30)
            process.send_signal(signal.SIGINT)
            tarball.open()
            _, told = process.communicate(timeout=30)
        assert (process.returncode, "Traceback" in told) == (130, False)
        assert "stopped after 0 packages" in told
        assert server.manage("sync", "left-pad", "repeat").stdout.splitlines()[-1].startswith("all 2 in")
        assert upstream.count("*.tgz") == 2
