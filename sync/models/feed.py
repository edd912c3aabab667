from django.db import models


class FeedCursor(models.Model):
    """How far an upstream's changes feed has been followed."""

    upstream = models.OneToOneField("sync.Upstream", on_delete=models.CASCADE)
    since = models.CharField(max_length=100, blank=True)
    # The newest change that the upstream had when it was last asked, and why asking failed.
    newest = models.CharField(max_length=100, blank=True, default="", db_default="")
    error = models.TextField(blank=True, default="", db_default="")
    # How often in a row that failed, and until when it is left alone for it.
    failures = models.PositiveIntegerField(default=0, db_default=0)
    resting_until = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    def __str__(self) -> str:
        return f"{self.upstream} at {self.since}"
