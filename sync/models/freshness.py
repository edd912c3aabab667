from django.db import models


class Freshness(models.Model):
    """What an upstream last said of a name, and when: with it the next request can be a conditional one."""

    upstream = models.ForeignKey("sync.Upstream", on_delete=models.CASCADE)
    name = models.CharField(max_length=255)
    checked_at = models.DateTimeField()
    is_missing = models.BooleanField(default=False)
    # Why what the upstream has cannot be taken, such as that it is no packument: that is not asked for all the time.
    refusal = models.TextField(blank=True)
    etag = models.CharField(max_length=300, blank=True)
    last_modified = models.CharField(max_length=100, blank=True)
    # blake2b of the body: an upstream without validators sends the whole document again, and it is the same.
    digest = models.CharField(max_length=32, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="freshness_once", fields=["name", "upstream"])]

    def __str__(self) -> str:
        return f"{self.name} on {self.upstream}"
