"""What a task does when it runs: it brings in all that it can, and says what it could not."""

import json
import os
import random
import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from audit.actors import Actor
from audit.models import Event
from registry.models import Blob, Package, Version
from registry.names import PackageName
from sync import fetching, queue, routing, running, tasks
from sync.models import Freshness, SyncTask, Upstream

pytestmark = pytest.mark.django_db(transaction=True)

State = SyncTask.State


@pytest.fixture(autouse=True)
def _published(upstream):
    upstream.publish("left-pad", "1.0.0", dependencies={"repeat": "^1.0.0"})
    upstream.publish("left-pad", "1.1.0", dependencies={"repeat": "^1.0.0"})
    upstream.publish("repeat", "1.0.0")


@pytest.fixture
def run():
    """`run("left-pad", with_tarballs=True)`: ask for it, run it once, and give the task and its result."""

    def _run(name: str, **wishes: Any) -> tuple[SyncTask, running.Result | None]:
        task = queue.ask(name, why="a test", **wishes)
        queue.hurry(task)
        Upstream.objects.update(resting_until=None)
        routing.forget()
        result = running.run(task.pk)
        task.refresh_from_db()
        return task, result

    return _run


def test_it_brings_a_package_in(run):
    task, result = run("left-pad")
    assert (task.state, result.line) == (State.DONE, "2 versions: 2 to add, 0 to change, 0 to remove")
    assert result.line in task.log
    assert Version.objects.count() == 2


def test_one_that_is_cancelled_stops_at_its_next_step(upstream):
    for number in range(40):
        upstream.publish("many", f"1.0.{number}")
    task = queue.ask("many", why="a test", with_tarballs=True)

    with upstream.gate("/many/-/many-1.0.2*.tgz") as gate:  # its threads come no further than to the twenties

        def cancel(done: int, _total: int, _line: str) -> None:
            if done == 1:
                queue.cancel(task, "it was a mistake", actor=Actor.system("a test"))
                gate.open()

        result = running.run(task.pk, progress=cancel)
    assert not result.is_done
    assert upstream.count("/many/-/*") < 40, "not all that it was about"
    task.refresh_from_db()
    assert task.state == State.CANCELLED


def test_what_is_no_version_is_left_out_and_told_of(upstream, run):
    good = {number: upstream.publish("left-pad", number) for number in ("1.0.0", "1.1.0")}
    odd = {"latest-and-greatest": good["1.0.0"], "9.0.0": "nonsense", "8.0.0\0": good["1.0.0"]}
    upstream.put_raw("left-pad", json.dumps({"name": "left-pad", "versions": {**odd, **good}}).encode())
    task, result = run("left-pad")
    assert (task.state, task.skipped) == (State.DONE, 3)
    assert "done, with 3 skipped, first: left-pad@latest-and-greatest of default is left out: " in result.line
    assert Version.objects.count() == 2


def test_once_more_finds_nothing_to_do(run):
    run("left-pad")
    task, result = run("left-pad", with_tarballs=True)
    assert (task.state, result.line) == (State.DONE, "unchanged; 2 tarballs fetched")
    assert run("left-pad", with_tarballs=True)[1].line == "unchanged; 0 tarballs fetched"


def test_tarballs_come_only_when_they_are_wished_for(upstream, run):
    run("left-pad")
    assert upstream.count("*.tgz") == 0
    run("left-pad", with_tarballs=True)
    assert (upstream.count("*.tgz"), Blob.objects.count()) == (2, 2)


def test_progress_is_told(upstream):
    told = []
    task = queue.ask("left-pad", why="a test", with_tarballs=True)
    running.run(task.pk, progress=lambda *told_now: told.append(told_now))
    assert [(done, total) for done, total, _ in told] == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    "fault", [("status", {"code": 503}), ("reset", {}), ("not_json", {}), ("truncate", {})], ids=str
)
def test_an_upstream_that_fails_puts_it_off_for_longer_each_time_until_it_works(upstream, run, fault, monkeypatch):
    monkeypatch.setattr(random, "uniform", lambda _low, high: high)
    kind, options = fault
    upstream.fault("/left-pad", kind, **options)
    delays = []
    for attempt in range(1, 5):
        task, result = run("left-pad")
        assert (task.state, task.attempts, result.is_done) == (State.WAITING, attempt, False)
        assert "failed, will be tried again" in task.log
        delays.append(task.due_at - timezone.now())
    assert delays[3] > delays[1] * 1.5

    upstream.heal()
    task, result = run("left-pad")
    assert (task.state, task.error) == (State.DONE, "")


def test_an_upstream_that_rests_is_not_asked(upstream):
    routing.default_upstream()
    Upstream.objects.update(resting_until=timezone.now() + timedelta(seconds=300), last_error="it is ill")
    task = queue.ask("left-pad", why="a test")
    assert running.run(task.pk).line == "default is resting: it is ill"
    task.refresh_from_db()
    assert task.due_at > timezone.now() + timedelta(seconds=200)
    assert upstream.count() == 0


def test_a_package_that_nobody_has_is_refused(run):
    task, _result = run("no-such-thing")
    assert (task.state, task.error) == (State.REFUSED, "default has no package no-such-thing")


def test_a_package_that_the_upstream_has_no_more_is_not_called_in_sync(upstream, run):
    run("left-pad")
    upstream.unpublish("left-pad")
    task, result = run("left-pad")
    said = "default answered 404 for left-pad; it is served until that is confirmed"
    assert (task.state, result.line) == (State.DONE, said)
    assert Version.objects.filter(unpublished_at=None).count() == 2


def test_a_name_that_is_none_is_refused(run):
    assert run("not a name")[0].state == State.REFUSED


@pytest.mark.parametrize("size", [100, 1 << 20], ids=["small", "large"])
@pytest.mark.parametrize("fault", [("wrong_bytes", {}), ("truncate", {}), ("status", {"code": 404})], ids=str)
def test_one_tarball_that_does_not_come_keeps_the_others_from_nothing(upstream, run, size, fault):
    kind, options = fault
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        upstream.publish("noisy", version, files={"noise": os.urandom(size)})
    upstream.fault("*/noisy-1.1.0.tgz", kind, **options)
    task, result = run("noisy", with_tarballs=True)
    assert (task.state, "1.1.0" in task.error) == (State.WAITING, True)
    assert set(Version.objects.exclude(blob=None).values_list("number", flat=True)) == {"1.0.0", "1.2.0"}

    upstream.heal()
    task, result = run("noisy", with_tarballs=True)
    assert (task.state, result.line) == (State.DONE, "unchanged; 1 tarballs fetched")


# --- Some versions, and versions that are left out ---------------------------------------------------------------


def with_blobs() -> set[str]:
    return set(Version.objects.exclude(blob=None).values_list("number", flat=True))


def test_of_some_versions_the_tarballs_come_and_of_all_the_metadata(run):
    task, result = run("left-pad", versions=["1.0.0"], with_tarballs=True)
    assert (task.state, with_blobs(), Version.objects.count()) == (State.DONE, {"1.0.0"}, 2)
    assert result.line.endswith("; 1 tarballs fetched")


def test_a_version_that_is_not_there_is_said_to_be_skipped(run):
    task, result = run("left-pad", versions=["1.0.0", "9.0.0"], with_tarballs=True)
    assert (task.state, task.skipped, with_blobs()) == (State.DONE, 1, {"1.0.0"})
    assert result.line.endswith("done, with 1 skipped, first: there is no version 9.0.0 of left-pad")


def test_versions_that_are_too_large_are_skipped_and_counted(upstream, run, settings):
    settings.MAX_TARBALL_BYTES = 10_000
    for version in ("2.0.0", "2.1.0"):
        upstream.publish("left-pad", version, files={"noise": os.urandom(20_000)})
    task, result = run("left-pad", with_tarballs=True)
    assert (task.state, task.skipped, with_blobs()) == (State.DONE, 2, {"1.0.0", "1.1.0"})
    assert "done, with 2 skipped, first: the tarball of left-pad@2.0.0 is larger than LARDER_MAX_TARBALL_MB" in task.log
    assert (result.is_done, "skipped: the tarball of left-pad@2.1.0" in task.log) == (True, True)

    settings.MAX_TARBALL_BYTES = 1 << 20
    task, _ = run("left-pad", with_tarballs=True)
    assert (task.skipped, with_blobs()) == (0, {"1.0.0", "1.1.0", "2.0.0", "2.1.0"})


def test_a_tarball_where_we_do_not_go_is_skipped(upstream, run):
    upstream.publish("left-pad", "2.0.0", dist={"tarball": "http://169.254.169.254/left-pad-2.0.0.tgz"})
    task, _ = run("left-pad", with_tarballs=True)
    assert (task.state, task.skipped, with_blobs()) == (State.DONE, 1, {"1.0.0", "1.1.0"})


@pytest.mark.parametrize("fault", [("wrong_bytes", {}), ("status", {"code": 404}), ("status", {"code": 403})], ids=str)
def test_a_tarball_that_is_not_given_for_a_day_is_skipped_and_a_human_is_told(upstream, run, fault, settings):
    kind, options = fault
    upstream.fault("*/left-pad-1.1.0.tgz", kind, **options)
    rounds = [run("left-pad", with_tarballs=True)[0] for _ in range(settings.SYNC_FLAG_AFTER)]
    assert {(task.state, task.skipped) for task in rounds} == {(State.WAITING, 0)}
    assert [task.needs_human for task in rounds] == [False] * (settings.SYNC_FLAG_AFTER - 1) + [True]
    SyncTask.objects.update(attempts=running._ROUNDS - 1)
    last, _ = run("left-pad", with_tarballs=True)
    assert (last.state, last.skipped, last.needs_human) == (State.DONE, 1, True)
    assert with_blobs() == {"1.0.0"}


def test_an_upstream_that_is_ill_is_asked_again_for_ever(upstream, run):
    run("left-pad")
    upstream.fault("*.tgz", "status", code=503)
    for _ in range(8):
        assert run("left-pad", with_tarballs=True)[0].state == State.WAITING
    upstream.heal()
    assert run("left-pad", with_tarballs=True)[0].state == State.DONE


def test_the_round_ends_when_the_upstream_has_begun_to_rest(upstream, run):
    for patch in range(40):
        upstream.publish("many", f"1.0.{patch}")
    run("many")
    upstream.fault("*.tgz", "status", code=503, headers={"retry-after": "30"})
    task, _ = run("many", with_tarballs=True)
    assert task.state == State.WAITING
    assert upstream.count("*.tgz") <= 8


def test_tarballs_come_several_at_once_and_not_more_than_a_few(upstream, run):
    for patch in range(12):
        upstream.publish("many", f"1.0.{patch}", files={"noise": os.urandom(100)})
    with upstream.gate("*.tgz") as gate:
        at_the_gate: list[int] = []
        opening = threading.Timer(1.0, lambda: (at_the_gate.append(upstream.count("*.tgz")), gate.open()))
        opening.start()
        task, _ = run("many", with_tarballs=True)
    assert (task.state, at_the_gate) == (State.DONE, [4])


# --- The lease ---------------------------------------------------------------------------------------------------


def test_a_slow_download_is_not_begun_twice(upstream, run, settings):
    """It takes twice as long as a lease."""
    settings.SYNC_LEASE_SECONDS = 1
    settings.UPSTREAM_TIMEOUT_SECONDS = 20
    task = queue.ask("left-pad", why="a test", with_tarballs=True)
    upstream.fault("*/left-pad-1.0.0.tgz", "slow", seconds=2)
    seen = []

    def look() -> None:
        seen.append(running.run(task.pk))
        connections.close_all()

    looks = [threading.Timer(seconds, look) for seconds in (0.5, 1.2, 1.8)]
    for one in looks:
        one.start()
    result = running.run(task.pk)
    for one in looks:
        one.join()
    assert (result.is_done, seen, upstream.count("*/left-pad-1.0.0.tgz")) == (True, [None, None, None], 1)
    task.refresh_from_db()
    assert (task.state, task.attempts) == (State.DONE, 1)


def test_a_worker_whose_task_was_cancelled_stops(upstream, settings):
    settings.SYNC_LEASE_SECONDS = 1
    for patch in range(12):
        upstream.publish("many", f"1.0.{patch}")
    task = queue.ask("many", why="a test", with_tarballs=True)
    upstream.fault("*.tgz", "slow", seconds=1)
    canceller = threading.Timer(0.5, _cancel, [task])
    canceller.start()
    result = running.run(task.pk)
    canceller.join()
    task.refresh_from_db()
    assert (task.state, result.is_done) == (State.CANCELLED, False)
    assert upstream.count("*.tgz") <= 8


def _cancel(task: SyncTask) -> None:
    queue.cancel(task, "enough", actor=Actor.system("a test"))
    connections.close_all()


def test_a_worker_that_was_held_up_for_longer_than_its_lease_takes_no_step_more(upstream):
    task = queue.claim(queue.ask("left-pad", why="a test").pk)
    task.leased_until = timezone.now() - timedelta(seconds=1)
    assert not running.carry_out(task).is_done
    assert (upstream.count(), Version.objects.count(), SyncTask.objects.get().state) == (0, 0, State.RUNNING)


def test_an_old_answer_does_not_replace_a_newer_one(upstream, settings):
    """Of a worker on another host that was held up between the answer and the rows."""
    source = routing.default_upstream()
    newer = timezone.now() + timedelta(seconds=60)
    Freshness.objects.create(upstream=source, name="left-pad", checked_at=newer)
    answer = fetching.fetch(PackageName.parse("left-pad"), source, newer_than=newer.timestamp() + 1)
    assert (answer.outcome, Version.objects.count()) == (None, 0)


def test_what_came_in_before_a_crash_is_told_once(run):
    """The worker died between the rows of the package and its memory of them."""
    run("left-pad")
    Freshness.objects.all().delete()
    before = Package.objects.values_list("revision", "updated_at").get()
    _, result = run("left-pad")
    assert result.line == "2 versions: 0 to add, 0 to change, 0 to remove"
    assert Event.objects.filter(kind="package.mirrored").count() == 1
    assert Package.objects.values_list("revision", "updated_at").get() == before


@pytest.mark.parametrize("change", ["tag", "description"])
def test_what_changed_of_the_package_alone_is_told(upstream, run, change):
    run("left-pad")
    if change == "tag":
        upstream.set_tag("left-pad", "old", "1.0.0")
    else:
        upstream.describe("left-pad", description="pads to the left")
    run("left-pad")
    assert Event.objects.filter(kind="package.mirrored").count() == 2


# --- Dependencies ------------------------------------------------------------------------------------------------


def test_what_the_latest_version_needs_is_asked_for_too(run):
    run("left-pad", with_dependencies=True)
    needed = SyncTask.objects.get(name="repeat")
    assert (needed.why, needed.state, needed.with_dependencies) == ("needed by left-pad", State.WAITING, True)


def test_a_circle_of_dependencies_ends(upstream, run):
    upstream.publish("egg", "1.0.0", dependencies={"hen": "1", "egg": "1"})
    upstream.publish("hen", "1.0.0", optionalDependencies={"egg": "1"})
    run("egg", with_dependencies=True)
    while (waiting := SyncTask.objects.live().first()) is not None:
        assert running.run(waiting.pk).is_done
    assert list(SyncTask.objects.order_by("pk").values_list("name", flat=True)) == ["egg", "hen"]


def test_only_what_a_registry_can_have_is_asked_for(upstream, run):
    upstream.publish(
        "odd", "1.0.0",
        dependencies={
            "pad": "npm:left-pad@^1.0.0",
            "scoped": "npm:@scope/name@1",
            "forked": "github:somebody/forked",
            "short": "somebody/short",
            "cloned": "git+https://upstream.example/cloned.git",
            "packed": "https://upstream.example/packed.tgz",
            "local": "file:../local",
            "linked": "link:../linked",
            "near": "workspace:^",
            "repeat": "^1.0.0",
            "newest": "latest",
            "any": "",
            "not a name": "1",
            "x" * 300: "1",
        },
    )  # fmt: skip
    run("odd", with_dependencies=True)
    asked = set(SyncTask.objects.exclude(name="odd").values_list("name", flat=True))
    assert asked == {"left-pad", "@scope/name", "repeat", "newest", "any"}


@pytest.mark.parametrize(
    "dependencies", [["repeat"], "repeat", 5, {"repeat": None}, {"repeat": {"version": 1}}], ids=str
)
def test_dependencies_of_odd_types_are_none(upstream, run, dependencies):
    upstream.publish("odd", "1.0.0", dependencies=dependencies)
    assert run("odd", with_dependencies=True)[1].is_done
    assert SyncTask.objects.live().count() == 0


def test_a_worker_runs_what_is_due(upstream):
    for name in ("left-pad", "repeat", "no-such-thing"):
        queue.ask(name, why="a test")
    tasks.run_due()
    states = dict(SyncTask.objects.values_list("name", "state"))
    assert states == {"left-pad": State.DONE, "repeat": State.DONE, "no-such-thing": State.REFUSED}


def test_a_task_that_is_somebody_elses_is_left_alone(upstream):
    task = queue.ask("left-pad", why="a test")
    queue.claim(task.pk)
    assert running.run(task.pk) is None
    assert upstream.count() == 0


def test_a_process_runs_so_many_at_once_and_leaves_its_other_threads_alone(upstream, settings, crowd, eventually):
    """Who finds no place comes back at once: the next message, or the next beat, finds what is left."""
    names = [f"package-{number}" for number in range(settings.SYNC_AT_ONCE + 2)]
    for name in names:
        upstream.publish(name, "1.0.0")
        queue.ask(name, why="a test")
    with upstream.gate("/package-*") as gate:
        busy = crowd(settings.SYNC_AT_ONCE, tasks.run_due)
        gate.wait_arrived(settings.SYNC_AT_ONCE)
        tasks.run_due()
        assert SyncTask.objects.filter(state=State.WAITING).count() == 2
        gate.open()
        for one in busy:
            one.result(30)
    assert set(SyncTask.objects.values_list("state", flat=True)) == {State.DONE}
