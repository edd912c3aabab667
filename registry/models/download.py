from django.db import models


class Download(models.Model):
    """How often a version was downloaded on a day (UTC). By name, so that counts outlive what they counted."""

    package = models.CharField(max_length=255)
    version = models.CharField(max_length=256)
    day = models.DateField()
    count = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(name="download_once", fields=["package", "day", "version"])]
        indexes = [models.Index(name="download_day", fields=["day"])]

    def __str__(self) -> str:
        return f"{self.package}@{self.version} on {self.day}: {self.count}"
