"""The drain by the clock and by the nudge. Both tasks may run anywhere and as often as they like."""

from celery import shared_task

from audit import drain


@shared_task(name="audit.drain_all", acks_late=True, ignore_result=True, soft_time_limit=300, time_limit=330)
def drain_all() -> None:
    drain.drain_all()


@shared_task(name="audit.retry_parked", acks_late=True, ignore_result=True, soft_time_limit=300, time_limit=330)
def retry_parked() -> None:
    drain.retry_parked()
