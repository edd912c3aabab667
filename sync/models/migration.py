from typing import Self

from django.db import models

from registry import patterns
from registry.names import PackageName
from sync.models.upstream import ScopeRule, Upstream


class MigrationQuerySet(models.QuerySet["Migration"]):
    def under_way(self) -> Self:
        """Those that have neither been cut over nor stopped."""
        return self.filter(cut_over_at=None, stopped_at=None).select_related("upstream").order_by("pattern")

    def restricts(self, name: PackageName, upstream: Upstream) -> bool:
        """Whether what comes from there under this name is only for those who have a right to it."""
        rows = self.filter(upstream=upstream, is_restricted=True)  # also of those that are over: the rule may be back
        return any(patterns.fits(pattern, name) for pattern in rows.values_list("pattern", flat=True))

    def hold(self, name: PackageName, upstream: Upstream) -> bool:
        """Keep the name from being cut over before the transaction ends. False: it has been.

        What a narrower rule is about is no part of a migration.
        """
        ruled = set(ScopeRule.objects.values_list("pattern", flat=True))
        first = next((pattern for pattern in patterns.fitting(name) if pattern in ruled), "")
        about = list(self.filter(upstream=upstream, pattern=first).values_list("pk", flat=True))
        held = list(self.filter(pk__in=about).order_by("pk").select_for_update(no_key=True)) if about else []
        return all(row.cut_over_at is None for row in held)


class Migration(models.Model):
    """Names that are brought over from an old registry, until the cut-over makes them ours."""

    # As its rule has it: a scope, a name, or the beginning of names.
    pattern = models.CharField(max_length=255, unique=True)
    upstream = models.ForeignKey("sync.Upstream", on_delete=models.PROTECT)
    # Names that the operator listed, for a registry that lists none.
    listed = models.JSONField(default=list, blank=True)
    # Whether what comes is for those who have a right to it, or for everybody who reads here.
    is_restricted = models.BooleanField(default=False)
    # Where the old registry told of its names at the last look, and when that was.
    found = models.CharField(max_length=255, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(auto_now_add=True)
    # Stopped: what came stays, and what still comes from there is restricted as before.
    stopped_at = models.DateTimeField(null=True, blank=True)
    # Null: it goes on. Else what became ours then, so that it can be taken back as long as nothing was published here.
    cut_over_at = models.DateTimeField(null=True, blank=True)
    names = models.JSONField(default=list, blank=True)
    # Pairs of a package and who came to own it by the cut-over; and who was in the scope's organisation after it.
    owners = models.JSONField(default=list, blank=True, null=True)
    people = models.JSONField(default=list, blank=True, null=True)
    # Whether the scope became an organisation here by the cut-over.
    made_scope = models.BooleanField(default=False)

    objects = MigrationQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.pattern} from {self.upstream}"
