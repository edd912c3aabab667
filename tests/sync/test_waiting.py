"""An upstream that hangs takes no more readers with it than are allowed to wait."""

import pytest

from sync import breaker, queue
from sync.models import SyncTask, Upstream

pytestmark = pytest.mark.django_db(transaction=True)


def test_one_reader_too_many_is_told_to_come_back(upstream, anyone, settings, crowd):
    settings.MAX_WAITING = 2
    upstream.publish("slow", "1.0.0")
    for name in ("a", "b"):
        upstream.publish(name, "1.0.0")
    with upstream.gate("/[ab]") as gate:
        waiting = [*crowd(1, lambda: anyone.view("a").status), *crowd(1, lambda: anyone.view("b").status)]
        gate.wait_arrived(2)
        answer = anyone.view("slow")
        assert (answer.status, answer.headers["retry-after"]) == (503, "2")
        gate.open()
        assert [one.result(20) for one in waiting] == [200, 200]
    assert anyone.view("slow").status == 200


@pytest.mark.parametrize("fault", [("status", {"code": 403}), ("not_json", {})], ids=str)
def test_a_package_that_cannot_be_taken_says_nothing_of_the_others(upstream, anyone, settings, fault):
    settings.MISSING_SECONDS = 30
    kind, options = fault
    upstream.publish("bad", "1.0.0")
    upstream.publish("good", "1.0.0")
    upstream.fault("/bad", kind, **options)
    for _ in range(breaker.TOLERATED + 1):
        answer = anyone.view("bad")
        assert answer.status == 503
        assert "bad" in answer.json()["error"]
    assert upstream.count("/bad") == 1, "it is not asked for again and again"
    assert not breaker.resting(Upstream.objects.get())
    assert anyone.view("good").status == 200


def test_a_wish_that_comes_while_a_task_is_finished_is_not_lost(upstream):
    task = queue.claim(queue.ask("left-pad", why="a test").pk)
    queue.ask("left-pad", why="once more")
    queue.finish(task)
    task.refresh_from_db()
    assert (task.state, task.again, task.attempts) == (SyncTask.State.WAITING, False, 0)
    queue.finish(queue.claim(task.pk))
    task.refresh_from_db()
    assert (task.state, task.again) == (SyncTask.State.DONE, False)
