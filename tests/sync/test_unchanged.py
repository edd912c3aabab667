"""A package that has not changed costs one conditional request and one small transaction."""

import time

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from registry.models import Package
from registry.names import PackageName
from sync import fetching, queue, routing, running

pytestmark = pytest.mark.django_db(transaction=True)

READS = ("SELECT", "PRAGMA", "SAVEPOINT", "RELEASE", "BEGIN")


@pytest.fixture(autouse=True)
def _here(upstream):
    for number in range(30):
        upstream.publish("left-pad", f"1.{number}.0")
    running.run(queue.ask("left-pad", why="a test").pk)


def writes(captured: CaptureQueriesContext) -> list[str]:
    return [one["sql"] for one in captured.captured_queries if not one["sql"].startswith(READS)]


def test_the_look_itself(upstream):
    before, asked = Package.objects.get().revision, upstream.count()
    source = routing.default_upstream()
    with CaptureQueriesContext(connection) as captured:
        fetching.fetch(PackageName.parse("left-pad"), source, newer_than=time.time())
    assert upstream.count() == asked + 1
    assert upstream.last("/left-pad").headers["if-none-match"]
    [written] = writes(captured)
    assert written.startswith('UPDATE "sync_freshness" SET "checked_at"')
    assert Package.objects.get().revision == before


def test_a_task_that_looks(upstream, effects):
    task = queue.ask("left-pad", why="a test")
    asked = upstream.count()
    with CaptureQueriesContext(connection) as captured:
        result = running.run(task.pk)
    assert result.line == "unchanged"
    assert upstream.count() == asked + 1
    tables = {sql.split('"')[1] for sql in writes(captured)}
    assert tables == {"sync_freshness", "sync_synctask"}, "the task's own row beside it, and nothing of the package"
    assert len(captured.captured_queries) < 30
    assert effects() == ["sync of left-pad: done"]
