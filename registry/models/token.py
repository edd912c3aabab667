from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class TokenQuerySet(models.QuerySet["Token"]):
    def valid(self) -> Self:
        """Tokens that still open something: not revoked, not expired, of a person who may sign in."""
        unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        return self.filter(unexpired, revoked_at=None, user__is_active=True)


class Token(models.Model):
    """A secret that stands for its user. Only its hash is stored; it is shown once, when it is made."""

    class Kind(models.TextChoices):
        PUBLISH = "publish"
        READ_ONLY = "read-only"
        AUTOMATION = "automation"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    key_hash = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=16)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.PUBLISH)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = TokenQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.prefix}… of {self.user}"
