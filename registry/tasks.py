"""Celery's side of the registry: thin."""

from celery import shared_task

from registry import janitor


@shared_task(name="registry.sweep")
def sweep() -> None:
    """Take away orphans."""
    janitor.sweep()
