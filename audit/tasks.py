"""The drain by the clock and by the nudge. Both tasks may run anywhere and as often as they like."""

from celery import shared_task

from audit import drain


@shared_task(name="audit.drain_all", acks_late=True, ignore_result=True, soft_time_limit=300, time_limit=330)
def drain_all() -> None:
    drain.drain_all()


def ask_for_a_drain() -> None:
    """The nudge after a commit: a message to a worker. Not retried: somebody's publish waits for us."""
    drain_all.apply_async(retry=False, ignore_result=True, expires=10)


@shared_task(name="audit.retry_parked", acks_late=True, ignore_result=True, soft_time_limit=300, time_limit=330)
def retry_parked() -> None:
    drain.retry_parked()
