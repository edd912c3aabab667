from datetime import datetime, timedelta

from django.conf import settings
from django.db import models
from django.utils import timezone


class Doubt(models.Model):
    """What an upstream does not have any more and we still serve: until a later look confirms it, or a human decides.

    An upstream that is ill for a moment may answer 404 for everything, or list nothing. So what it says is remembered
    first, and believed when it still says so `LARDER_CONFIRM_SECONDS` later.
    """

    class State(models.TextChoices):
        WAITING = "waiting"  # for the look that confirms it
        ASKING = "asking"  # so much at once that only a human may decide

    upstream = models.ForeignKey("sync.Upstream", on_delete=models.CASCADE)
    name = models.CharField(max_length=255)
    # Versions that it does not list: their numbers, and when each was first missed, in seconds of Unix time.
    numbers = models.JSONField(default=dict)
    # Since when it has nothing at all of the package; null: it has something.
    gone_since = models.DateTimeField(null=True, blank=True)
    # Versions that stay because a human said so, whatever becomes of them there; `is_kept`: the whole package.
    kept = models.JSONField(default=list)
    is_kept = models.BooleanField(default=False)
    # What a human believes is gone: for that the next look need not wait. It says nothing of what goes later.
    believed = models.JSONField(default=list, null=True, blank=True)
    is_believed = models.BooleanField(default=False, db_default=False)
    state = models.CharField(max_length=8, choices=State, default=State.WAITING)
    answer = models.TextField(blank=True)
    reason = models.TextField(blank=True)
    # When a task is made that looks again; it is moved on when that has been done.
    due_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(name="doubt_once", fields=["upstream", "name"])]
        indexes = [models.Index(fields=["state", "due_at"], name="doubt_due")]

    def __str__(self) -> str:
        return f"{self.name} on {self.upstream}"

    def confirmed(self, now: datetime) -> frozenset[str]:
        """The numbers that a human believes are gone, and those that have been missing for long enough, and may be."""
        limit = (now - patience()).timestamp()
        may_wait = self.state == self.State.WAITING
        old = {number for number, since in self.numbers.items() if may_wait and since <= limit}
        return frozenset(old | self.of_a_human)

    @property
    def of_a_human(self) -> frozenset[str]:
        """The numbers that a human believes are gone."""
        return frozenset(set(self.believed or ()) & self.numbers.keys())

    def is_gone(self, now: datetime) -> bool:
        """Whether the package has been gone for long enough to be believed, and may be; or a human believes it."""
        if self.gone_since is None or self.is_believed:
            return self.gone_since is not None
        return self.state == self.State.WAITING and self.gone_since <= now - patience()


def patience() -> timedelta:
    """How long something must be gone before that is believed."""
    return timedelta(seconds=settings.CONFIRM_SECONDS)
