"""Celery's side of bad versions: thin, ids only, and it looks at the rows when it runs."""

from celery import shared_task

from bugversions import advisories, clocks


@shared_task(name="bugversions.fetch_advisories", acks_late=True, ignore_result=True)
def fetch_advisories() -> None:
    """Fetch advisories, when a place is configured and it is time."""
    advisories.fetch()


@shared_task(name="bugversions.tell", acks_late=True, ignore_result=True)
def tell() -> None:
    """Tell search and followers of what the clock has changed."""
    clocks.tell()
