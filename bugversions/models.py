from django.db import models


class BugVersion(models.Model):
    """What to do about versions of a package that are known to be bad."""

    class Action(models.TextChoices):
        REPLACE = "replace"
        OVERRIDE = "override"
        HIDE = "hide"
        FORBID = "forbid"
        HOLD = "hold"

    package = models.CharField(max_length=255, db_index=True)
    versions = models.CharField(max_length=256)
    action = models.CharField(max_length=10, choices=Action)
    replacement = models.CharField(max_length=256, blank=True)
    overrides = models.JSONField(default=dict, blank=True)
    reason = models.TextField()
    source = models.CharField(max_length=100, default="local")
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="bug_version_once", fields=["package", "versions", "action", "source"])
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.package}@{self.versions}"
