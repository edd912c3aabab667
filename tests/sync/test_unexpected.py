"""A task that fails in a way that nobody thought of is neither lost nor stuck."""

import pytest

from sync import fetching, queue, running
from sync.models import SyncTask

pytestmark = pytest.mark.django_db(transaction=True)


def test_it_is_put_off_with_its_error_and_tried_again(upstream, monkeypatch):
    upstream.publish("left-pad", "1.0.0")
    task = queue.ask("left-pad", why="a test")

    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody thought of this")

    with monkeypatch.context() as patched:
        patched.setattr(fetching, "fetch", breaks)
        assert not running.run(task.pk).is_done
    task.refresh_from_db()
    assert (task.state, task.error) == (SyncTask.State.WAITING, "ZeroDivisionError: nobody thought of this")

    queue.hurry(task)
    assert running.run(task.pk).is_done
