"""Celery's side of sync: thin, ids only, and it looks at the rows when it runs."""

import threading

from celery import shared_task
from django.conf import settings

from sync import doubts, following, migrating, order, queue, running
from sync.models import Migration, Upstream

_SECONDS = 30.0
# A process has more threads than these: a large download keeps nobody's publish from being heard of.
_places = threading.BoundedSemaphore(settings.SYNC_AT_ONCE)


@shared_task(name="sync.run_due", acks_late=True, ignore_result=True)
def run_due() -> None:
    """Run what is due, beside others who do. What is left is found by the next one."""
    if not _places.acquire(blocking=False):
        return
    try:
        running.work(_SECONDS)
    finally:
        _places.release()


def ask_for_a_run() -> None:
    """The nudge after somebody asked: a message to a worker. Not retried: somebody waits for us."""
    run_due.apply_async(retry=False, ignore_result=True, expires=10)


@shared_task(name="sync.refill", acks_late=True, ignore_result=True)
def refill() -> None:
    """Bring back what Redis has lost of the order."""
    order.refill()


@shared_task(name="sync.confirm_removals", acks_late=True, ignore_result=True)
def confirm_removals() -> None:
    """Have a second look taken at what was gone from its upstream."""
    doubts.look_again()


@shared_task(name="sync.sweep", acks_late=True, ignore_result=True)
def sweep() -> None:
    """Forget tasks that ended long ago."""
    queue.sweep()


@shared_task(name="sync.look_at_old_registries", ignore_result=True)
def look_at_old_registries() -> None:
    """Have those looked at again that are being left, each by itself."""
    for migration in migrating.due():
        look_at_old_registry.apply_async((migration.pk,), ignore_result=True, expires=settings.MIGRATE_SECONDS)


@shared_task(name="sync.look_at_old_registry", ignore_result=True)
def look_at_old_registry(migration_id: int) -> None:
    """Look at one."""
    for migration in Migration.objects.under_way().filter(pk=migration_id):
        migrating.look(migration)


@shared_task(name="sync.follow_feeds", ignore_result=True)
def follow_feeds() -> None:
    """Have the feeds looked at whose turn it is, each by itself: one that is slow holds no other up."""
    for upstream in following.due():
        follow_feed.apply_async((upstream.pk,), ignore_result=True, expires=settings.FEED_SECONDS)


@shared_task(name="sync.follow_feed", ignore_result=True)
def follow_feed(upstream_id: int) -> None:
    """Look at one feed."""
    for upstream in Upstream.objects.filter(pk=upstream_id):
        following.follow(upstream)
