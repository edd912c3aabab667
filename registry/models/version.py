from typing import Self

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce


class VersionQuerySet(models.QuerySet["Version"]):
    def published(self) -> Self:
        """Versions that are not tombstones, in the order in which they were published."""
        return self.filter(unpublished_at=None).order_by("id")


class Version(models.Model):
    """One published version. Its manifest is kept as the text that packuments are joined from.

    In both texts `dist.tarball` stands as a path behind the byte 0x01, which JSON text cannot contain: the public URL
    is put in its place when a document is built (`registry.packuments`).
    """

    package = models.ForeignKey("registry.Package", on_delete=models.CASCADE)
    number = models.CharField(max_length=256)
    # Compares as text in the order that npm gives versions (registry.semver.Version.order_key).
    order_key = models.CharField(max_length=720)
    manifest = models.TextField()
    abbreviated = models.TextField()
    # Kept for what is published here only. The packument shows that of the latest version.
    readme = models.TextField(default="", db_default="", blank=True)
    # Where an upstream says its tarball is, and a digest of the manifest that it sent: what a sync compares.
    source_url = models.TextField(blank=True)
    source_digest = models.CharField(max_length=32, blank=True)
    # Null until the tarball is in our store.
    blob = models.ForeignKey("registry.Blob", null=True, blank=True, on_delete=models.PROTECT)
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL)
    first_seen_at = models.DateTimeField(auto_now_add=True)
    # A tombstone: the number is taken for ever, and nothing of it is served.
    unpublished_at = models.DateTimeField(null=True, blank=True)

    objects = VersionQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(name="version_once", fields=["package", "number"])]
        # When it was born: by that versions are held for their age.
        indexes = [models.Index(Coalesce("published_at", "first_seen_at"), name="version_born")]

    def __str__(self) -> str:
        return f"{self.package.name}@{self.number}"


class Attestation(models.Model):
    """What a publisher's signer says of a version, such as where it was built: a Sigstore bundle, as it came."""

    version = models.ForeignKey(Version, on_delete=models.CASCADE)
    predicate_type = models.CharField(max_length=255)
    bundle = models.TextField()

    class Meta:
        constraints = [models.UniqueConstraint(name="attestation_once", fields=["version", "predicate_type"])]

    def __str__(self) -> str:
        return f"{self.predicate_type} of {self.version}"
