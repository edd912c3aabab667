from django.db import models


class DistTag(models.Model):
    """A name for a version: `latest`, `next`. It can never point at a version that does not exist."""

    package = models.ForeignKey("registry.Package", on_delete=models.CASCADE)
    tag = models.CharField(max_length=214)
    version = models.ForeignKey("registry.Version", on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(name="tag_once", fields=["package", "tag"])]

    def __str__(self) -> str:
        return f"{self.tag} → {self.version_id}"
