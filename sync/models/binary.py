from django.db import models

from sync.models.asked import Asked


class BinaryCategory(Asked):
    """A tree of files that are no npm packages, such as the releases of Node, and where it is mirrored from."""

    class Layout(models.TextChoices):
        NODE = "node"  # Node: index.json, index.tab, and a folder with SHASUMS256.txt for each release

    layout = models.CharField(max_length=16, choices=Layout, default=Layout.NODE)
    description = models.CharField(max_length=200, blank=True, default="")


class BinaryFile(models.Model):
    """A file of a category, as far as it was asked for: here, or known to be missing."""

    category = models.ForeignKey(BinaryCategory, on_delete=models.CASCADE, related_name="files")
    # Below the category, without a slash at its beginning.
    path = models.CharField(max_length=300)
    # Null: the upstream does not have it, or the store has lost it.
    blob = models.ForeignKey("registry.Blob", null=True, blank=True, on_delete=models.SET_NULL)
    # When the upstream last said so. Of what changes (an index, a list of checksums) it is asked again after a while.
    checked_at = models.DateTimeField()
    etag = models.CharField(max_length=300, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    # Why what the upstream has now is not taken in the place of what is here.
    refusal = models.TextField(blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="binary_file_once", fields=["category", "path"])]

    def __str__(self) -> str:
        return f"{self.path} of {self.category}"
