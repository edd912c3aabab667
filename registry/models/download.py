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


class Downloader(models.Model):
    """Who downloaded a version, the last time not long ago: whom to tell when it turns out to be bad."""

    package = models.CharField(max_length=255)
    version = models.CharField(max_length=256)
    # `user:alice`, by a token; else `address:192.0.2.7`.
    who = models.CharField(max_length=255)
    first_day = models.DateField()
    last_day = models.DateField()
    count = models.BigIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(name="downloader_once", fields=["package", "version", "who"])]
        indexes = [models.Index(name="downloader_last_day", fields=["last_day"])]

    def __str__(self) -> str:
        return f"{self.who}: {self.package}@{self.version}, {self.count} times"
