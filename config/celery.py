"""The Celery application: queues by urgency, and the beat schedule in one table."""

import os
import warnings

from celery import Celery
from kombu.transport import TRANSPORT_ALIASES

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Tasks are JSON with ids in them: nothing in a message is run, so running as root is no more than running as root.
warnings.filterwarnings("ignore", message="You're running the worker with superuser privileges")

TRANSPORT_ALIASES["files"] = "config.broker:Transport"

app = Celery("larder")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

app.conf.beat_schedule = {
    "drain the journal": {"task": "audit.drain_all", "schedule": 2.0, "options": {"expires": 2}},
    "retry parked deliveries": {"task": "audit.retry_parked", "schedule": 30.0, "options": {"expires": 30}},
    "run due sync tasks": {"task": "sync.run_due", "schedule": 2.0, "options": {"expires": 2}},
    "follow feeds": {"task": "sync.follow_feeds", "schedule": 5.0, "options": {"expires": 5}},
    "confirm removals": {"task": "sync.confirm_removals", "schedule": 60.0, "options": {"expires": 60}},
    "look at old registries": {"task": "sync.look_at_old_registries", "schedule": 30.0, "options": {"expires": 30}},
    "bring due sync tasks into Redis": {"task": "sync.refill", "schedule": 10.0, "options": {"expires": 10}},
    "fetch advisories": {"task": "bugversions.fetch_advisories", "schedule": 300.0, "options": {"expires": 300}},
    "tell what the clock changes": {"task": "bugversions.tell", "schedule": 30.0, "options": {"expires": 30}},
    "rank packages by downloads": {"task": "registry.rank", "schedule": 3600.0, "options": {"expires": 3600}},
    "sweep old sync tasks": {"task": "sync.sweep", "schedule": 3600.0, "options": {"expires": 3600}},
    "sweep orphan blobs and old spool files": {"task": "registry.sweep", "schedule": 24 * 3600.0},
}
