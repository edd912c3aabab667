from typing import Self

from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.utils import timezone

from bugversions.advisory import Advisory, AdvisoryFeed
from registry.models import Package

__all__ = [
    "LOCAL", "Advisory", "AdvisoryFeed", "BugVersion", "BugVersionQuerySet", "Clock", "Freeze", "Hold", "Repacked",
    "RuleImport", "UnsafeNode",
]  # fmt: skip

LOCAL = "local"


class BugVersionQuerySet(models.QuerySet["BugVersion"]):
    def in_force(self) -> Self:
        """Rules that count now: of what is published here, only ours."""
        now = timezone.now()
        begun = Q(valid_from=None) | Q(valid_from__lte=now)
        about_ours = ~Q(source=LOCAL) & Exists(Package.objects.filter(name=OuterRef("package"), origin=None))
        return self.filter(begun, Q(valid_until=None) | Q(valid_until__gt=now), is_active=True).exclude(about_ours)


class BugVersion(models.Model):
    """What to do about versions of a package that are known to be bad."""

    class Action(models.TextChoices):
        REPLACE = "replace"  # installs get another version's manifest under the bad number
        OVERRIDE = "override"  # its scripts or dependencies are others
        HIDE = "hide"  # nothing resolves to it; its tarball stays for lockfiles
        FORBID = "forbid"  # not even its tarball is given

    package = models.CharField(max_length=255, db_index=True)
    # A version, or a range as npm reads it; a range is about prereleases too.
    versions = models.CharField(max_length=256)
    action = models.CharField(max_length=10, choices=Action)
    replacement = models.CharField(max_length=256, blank=True)
    # `scripts` and `dependencies`: what replaces them, by name; an empty text takes one away.
    overrides = models.JSONField(default=dict, blank=True)
    # For override: also in a tarball of its own, for clients that run what the tarball's package.json says.
    repack = models.BooleanField(default=False, db_default=False)
    reason = models.TextField()
    # Who says so: an operator here (`local`), or a list that is imported. Local rules win.
    source = models.CharField(max_length=100, default=LOCAL)
    is_active = models.BooleanField(default=True)
    valid_from = models.DateTimeField(null=True, blank=True)
    valid_until = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = BugVersionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(name="bug_version_once", fields=["package", "versions", "action", "source"])
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.package}@{self.versions}"


class Repacked(models.Model):
    """A tarball in which package.json says what a rule has overridden. The original stays where it is.

    It outlives the rule: lockfiles that were written meanwhile name it.
    """

    package = models.CharField(max_length=255, db_default="")
    number = models.CharField(max_length=256)
    blob = models.ForeignKey("registry.Blob", on_delete=models.PROTECT)
    # What it was made of: the sha512 of the original, and the overrides.
    original = models.CharField(max_length=128)
    overrides = models.JSONField(default=dict)

    class Meta:
        indexes = [models.Index(name="repacked_of", fields=["package", "number"])]

    def __str__(self) -> str:
        return f"{self.package}@{self.number}, repacked"


class Hold(models.Model):
    """A cool-down: versions of upstreams that are younger than this are not served yet. The clock releases them."""

    # Names that it is about: `*`, a scope (`@acme/*`), a name, or the beginning of names.
    pattern = models.CharField(max_length=255, default="*")
    # Only what came from this upstream; empty: from any.
    upstream = models.CharField(max_length=100, blank=True, default="")
    seconds = models.PositiveIntegerField()
    # Patterns of names that are not held.
    allowed = models.JSONField(default=list, blank=True)
    reason = models.TextField()
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="hold_once", fields=["pattern", "upstream"])]

    def __str__(self) -> str:
        return f"hold {self.pattern} for {self.seconds} s"


class Freeze(models.Model):
    """An incident: nothing that was published upstream after a moment is served, until it is lifted."""

    since = models.DateTimeField()
    reason = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    lifted_at = models.DateTimeField(null=True, blank=True)
    is_one = models.BooleanField(default=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(name="one_freeze_at_a_time", fields=["is_one"], condition=Q(lifted_at=None))
        ]

    def __str__(self) -> str:
        return f"frozen since {self.since:%Y-%m-%d %H:%M}"


class Clock(models.Model):
    """One row: until when others were told of what the clock changes by itself. Who edits rules holds it meanwhile."""

    told_until = models.DateTimeField()

    def __str__(self) -> str:
        return f"told until {self.told_until:%Y-%m-%d %H:%M:%S}"


class RuleImport(models.Model):
    """A list of bad versions that came in, with what it changed, or why it was refused."""

    number = models.CharField(max_length=256)
    at = models.DateTimeField(auto_now_add=True)
    # `added`, `changed`, `removed`: rules as text; `packages`: those that readers see differently by it.
    diff = models.JSONField(default=dict, blank=True)
    refusal = models.TextField(blank=True, default="")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"{self.number}{': refused' if self.refusal else ''}"


class UnsafeNode(models.Model):
    """A range of Node's versions that is not safe, and the version to use in its place."""

    versions = models.CharField(max_length=256)
    replacement = models.CharField(max_length=256)
    reason = models.TextField()
    source = models.CharField(max_length=100)
    # Places in the list: the first range that a version is in counts.
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["source", "position"]

    def __str__(self) -> str:
        return f"node {self.versions}: use {self.replacement}"
