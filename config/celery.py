"""The Celery application: queues by urgency, and the beat schedule in one table."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

app = Celery("larder")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

app.conf.beat_schedule = {
    "drain the journal": {"task": "audit.drain_all", "schedule": 2.0, "options": {"expires": 2}},
    "retry parked deliveries": {"task": "audit.retry_parked", "schedule": 30.0, "options": {"expires": 30}},
    "run due sync tasks": {"task": "sync.run_due", "schedule": 2.0, "options": {"expires": 2}},
    "sweep orphan blobs and old spool files": {"task": "registry.sweep", "schedule": 3600.0},
}


def wake() -> None:
    """Ask a worker to drain the journal now. It may be lost: the beat above finds what it would have."""
    app.send_task("audit.drain_all", expires=2)
