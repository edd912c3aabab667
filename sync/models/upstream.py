from django.db import models


class Upstream(models.Model):
    """A registry that packages are fetched from, with what the breaker remembers of its health."""

    class Kind(models.TextChoices):
        NPM = "npm"

    name = models.CharField(max_length=100, unique=True)
    url = models.URLField(max_length=500)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.NPM)
    is_enabled = models.BooleanField(default=True)
    # The breaker (sync.breaker): failures in a row, until when nothing is asked, and what went wrong last.
    failures = models.PositiveIntegerField(default=0)
    resting_until = models.DateTimeField(null=True, blank=True)
    last_error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name


class ScopeRule(models.Model):
    """Which names belong to whom. The most specific pattern wins."""

    class Mode(models.TextChoices):
        PRIVATE = "private"
        PROXY = "proxy"
        BLOCKED = "blocked"

    pattern = models.CharField(max_length=255, unique=True)
    mode = models.CharField(max_length=8, choices=Mode)
    upstream = models.ForeignKey(Upstream, null=True, blank=True, on_delete=models.PROTECT)

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="only_proxy_rules_have_an_upstream",
                condition=models.Q(mode="proxy") | models.Q(upstream=None),
            )
        ]

    def __str__(self) -> str:
        return f"{self.pattern}: {self.mode}"
