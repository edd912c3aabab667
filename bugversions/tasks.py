"""Celery's side of bad versions: thin, ids only, and it looks at the rows when it runs."""

from celery import shared_task

from bugversions import advisories


@shared_task(name="bugversions.fetch_advisories", acks_late=True, ignore_result=True)
def fetch_advisories() -> None:
    """Fetch advisories, when a place is configured and it is time."""
    advisories.fetch()
