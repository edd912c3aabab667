from typing import Self

from django.db import models


class BlobQuerySet(models.QuerySet["Blob"]):
    def stored(self) -> Self:
        """Blobs whose bytes are in the store."""
        return self.filter(state=Blob.State.STORED)

    def keep(self, *, sha512: str, sha1: str, size: int) -> "Blob":
        """The row of bytes that are in the store now, made when there is none."""
        row = Blob(sha512=sha512, sha1=sha1, size=size)
        self.bulk_create([row], update_conflicts=True, unique_fields=["sha512"], update_fields=["state", "stored_at"])
        return self.get(sha512=sha512)

    def orphans(self) -> Self:
        """Blobs that no row of any app names: what a crash between storing bytes and committing rows leaves."""
        relations = Blob._meta.related_objects  # noqa: SLF001 (Django's name for what it documents)
        return self.filter(**{relation.name: None for relation in relations})


class Blob(models.Model):
    """Bytes in the blob store, named by what they are, so that equal tarballs are stored once."""

    class State(models.TextChoices):
        STORED = "stored"
        BAD = "bad"  # the store has lost it, or a part of it; a mirrored one is fetched again

    sha512 = models.CharField(max_length=128, unique=True)
    sha1 = models.CharField(max_length=40, db_index=True)
    size = models.BigIntegerField()
    state = models.CharField(max_length=8, choices=State, default=State.STORED)
    stored_at = models.DateTimeField(auto_now_add=True)

    objects = BlobQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(name="blob_size_positive", condition=models.Q(size__gte=0))]

    def __str__(self) -> str:
        return f"{self.sha512[:16]}… ({self.size} bytes)"
