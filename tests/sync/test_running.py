"""What a task does when it runs: it brings in all that it can, and says what it could not."""

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from registry.models import Blob, Version
from sync import queue, routing, running, tasks
from sync.models import SyncTask, Upstream

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

    def _run(name: str, **wishes: bool) -> tuple[SyncTask, running.Result | None]:
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
def test_an_upstream_that_fails_puts_it_off_for_longer_each_time_until_it_works(upstream, run, fault):
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
    assert (task.state, result.line) == (State.REFUSED, "default has no package left-pad")
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
