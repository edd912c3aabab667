"""Celery's side of the registry: thin."""

from celery import shared_task

from registry import janitor
from registry.searching import indexing


@shared_task(name="registry.sweep")
def sweep() -> None:
    """Take away orphans."""
    janitor.sweep()


@shared_task(name="registry.rank")
def rank() -> None:
    """Order what search finds by the downloads of the last week."""
    indexing.rank()
