"""Celery's side of sync: thin, ids only, and it looks at the rows when it runs."""

from celery import shared_task

from sync import running
from sync.models import SyncTask


@shared_task(name="sync.run_due")
def run_due() -> None:
    """Run what is due now. What is left out is found at the next beat."""
    for task_id in SyncTask.objects.due().values_list("pk", flat=True)[:20]:
        running.run(task_id)
