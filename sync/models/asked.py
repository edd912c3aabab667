from django.db import models


class Asked(models.Model):
    """Somewhere that things are fetched from, with what the breaker (`sync.breaker`) remembers of its health."""

    name = models.CharField(max_length=100, unique=True)
    url = models.URLField(max_length=500)
    is_enabled = models.BooleanField(default=True)
    # Failures in a row, until when nothing is asked, and what went wrong last.
    failures = models.PositiveIntegerField(default=0)
    resting_until = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return self.name
