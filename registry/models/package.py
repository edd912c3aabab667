from typing import NamedTuple

from django.db import models
from django.utils.functional import cached_property

from registry.names import PackageName


class Stamp(NamedTuple):
    """The little that a read must know of a package before anything else: one indexed query."""

    id: int
    revision: int
    origin: str | None
    blocked_reason: str | None
    is_restricted: bool = False


class SecondFactorRule(models.TextChoices):
    """Who must show a second factor to publish a package (`npm access set mfa=…`)."""

    NONE = "none"
    AUTOMATION = "automation"  # all but automation tokens and those that bypass it
    PUBLISH = "publish"  # all


class PackageQuerySet(models.QuerySet["Package"]):
    def stamp(self, name: str) -> Stamp | None:
        """What a reader of `name` must check; None when there is no such package, or it was unpublished."""
        row = (
            self.filter(name=name, unpublished_at=None)
            .values_list("id", "revision", "origin", "blocked_reason", "is_restricted")
            .first()
        )
        return Stamp(*row) if row else None


class Package(models.Model):
    """A name that somebody published under: here, or on an upstream."""

    name = models.CharField(max_length=255, unique=True)
    scope = models.CharField(max_length=255, blank=True, db_index=True)
    # The name of the upstream that it comes from; null: published here, and no upstream is ever asked for it.
    origin = models.CharField(max_length=100, null=True, blank=True)
    # Raised by every change that readers can see; in microseconds of the clock, so that it never comes back after a
    # database was made anew (it is the core of ETags). See registry.lifecycle.touch.
    revision = models.BigIntegerField(default=0)
    # The packument's top level as JSON text in the order it was given; `versions` and `dist-tags` hold null here.
    head = models.TextField(default="{}")
    blocked_reason = models.TextField(null=True, blank=True)
    # Readable only by those who have a right to it (`npm access set status=private`).
    is_restricted = models.BooleanField(default=False, db_default=False)
    second_factor = models.CharField(
        max_length=16, choices=SecondFactorRule, default=SecondFactorRule.NONE, db_default=SecondFactorRule.NONE
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    unpublished_at = models.DateTimeField(null=True, blank=True)

    objects = PackageQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    @property
    def stamp(self) -> Stamp:
        """What a reader must check, from a row that is loaded already."""
        return Stamp(self.pk, self.revision, self.origin, self.blocked_reason, self.is_restricted)

    @cached_property
    def parsed_name(self) -> PackageName:
        """The name as a value."""
        return PackageName.parse(self.name)
