from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone


class SyncTaskQuerySet(models.QuerySet["SyncTask"]):
    def live(self) -> Self:
        """Tasks that still have something to do."""
        return self.filter(state__in=SyncTask.LIVE)

    def due(self) -> Self:
        """Tasks that a worker may claim now, in no order (`sync.order`); a running one whose lease ended is one too."""
        now = timezone.now()
        waiting = Q(state=SyncTask.State.WAITING, due_at__lte=now)
        abandoned = Q(state=SyncTask.State.RUNNING, leased_until__lt=now)
        return self.filter(waiting | abandoned)


class SyncTask(models.Model):
    """The wish to bring one package in, kept until it is fulfilled. The row is the truth; queues only give an order."""

    class State(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        DONE = "done"
        REFUSED = "refused"
        CANCELLED = "cancelled"

    class Priority(models.IntegerChoices):
        PERSON = 0
        MISS = 10
        DEPENDENCY = 20
        FEED = 30
        BACKFILL = 40

    LIVE = (State.WAITING, State.RUNNING)

    name = models.CharField(max_length=255)
    state = models.CharField(max_length=16, choices=State, default=State.WAITING)
    priority = models.PositiveSmallIntegerField(choices=Priority, default=Priority.PERSON)
    why = models.CharField(max_length=200, blank=True)
    with_tarballs = models.BooleanField(default=False)
    with_dependencies = models.BooleanField(default=False)
    # Only these versions; null: all.
    versions = models.JSONField(null=True, blank=True)
    # Where from, when somebody said so (`--from`); else the rules decide.
    upstream = models.ForeignKey("sync.Upstream", null=True, blank=True, on_delete=models.CASCADE)
    # Versions that were left out, such as ones above a limit: the task is done, and says so.
    skipped = models.PositiveIntegerField(default=0, db_default=0)
    # Set when it has failed so often that a human should look; it goes on being tried.
    needs_human = models.BooleanField(default=False, db_default=False)
    # Why an operator cancelled it, or tried it again.
    reason = models.TextField(blank=True, default="", db_default="")
    # Asked for again while it ran: one more round after this one.
    again = models.BooleanField(default=False)
    attempts = models.PositiveIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    leased_until = models.DateTimeField(null=True, blank=True)
    leased_by = models.CharField(max_length=64, blank=True)
    error = models.TextField(blank=True)
    log = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = SyncTaskQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="one_live_task_per_package",
                fields=["name"],
                condition=Q(state__in=["waiting", "running"]),
            )
        ]
        indexes = [
            models.Index(fields=["state", "due_at"], name="sync_task_due"),
            models.Index(fields=["name"], name="sync_task_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name}: {self.state}"
