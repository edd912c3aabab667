"""Rows of what is known about versions of packages all over the world, as `npm audit` tells it."""

from django.db import models


class Advisory(models.Model):
    """What one advisory says about one package. Imported: nobody edits these, the next import would undo it."""

    source = models.CharField(max_length=64)  # its id: GHSA-…, MAL-…
    package = models.CharField(max_length=255, db_index=True)
    vulnerable_versions = models.TextField()
    patched_versions = models.TextField()
    severity = models.CharField(max_length=10)
    title = models.CharField(max_length=300)
    url = models.CharField(max_length=500)
    aliases = models.TextField(blank=True)  # ids, with spaces between them
    cwe = models.TextField(blank=True)  # likewise
    cvss_score = models.FloatField(default=0)
    cvss_vector = models.CharField(max_length=300, blank=True)
    modified = models.CharField(max_length=300, blank=True)  # as the dump has it
    digest = models.BinaryField(max_length=16)  # of all that the dump said, to find what changed

    class Meta:
        verbose_name_plural = "advisories"
        constraints = [models.UniqueConstraint(name="advisory_once", fields=["source", "package"])]

    def __str__(self) -> str:
        return f"{self.source}: {self.package}@{self.vulnerable_versions[:100]}"


class AdvisoryFeed(models.Model):
    """Where advisories are fetched from on a schedule, and what was said there when they last were."""

    url = models.CharField(max_length=500, unique=True)
    checked_at = models.DateTimeField()
    etag = models.CharField(max_length=300, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    refusal = models.TextField(blank=True)  # why it was not taken; empty: it was

    def __str__(self) -> str:
        return self.url
