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
    """A secret that stands for its user. Only its hash is stored; it is shown once, when it is made.

    `packages`, `scopes` and `orgs` are null when the token is not limited to any; an empty list allows nothing. They
    hold names, so that a token can be for a package that does not exist yet.
    """

    class Kind(models.TextChoices):
        SESSION = "session"  # what `npm login` gets: does what its person may
        PUBLISH = "publish"
        READ_ONLY = "read-only"
        AUTOMATION = "automation"  # publishes without a second factor, and changes no account
        GRANULAR = "granular"

    class Permission(models.TextChoices):
        NO_ACCESS = "no-access"
        READ_ONLY = "read-only"
        READ_WRITE = "read-write"

    # What lists show and `npm token revoke` takes; it opens nothing.
    key = models.CharField(max_length=36, unique=True, null=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    key_hash = models.CharField(max_length=64, unique=True)
    prefix = models.CharField(max_length=16)
    kind = models.CharField(max_length=16, choices=Kind, default=Kind.PUBLISH)
    name = models.CharField(max_length=255, blank=True, default="", db_default="")
    description = models.TextField(blank=True, default="", db_default="")
    # Whether it carries its person's rights as an operator.
    is_admin = models.BooleanField(default=False, db_default=False)
    packages = models.JSONField(null=True, blank=True)
    scopes = models.JSONField(null=True, blank=True)
    orgs = models.JSONField(null=True, blank=True)
    permission = models.CharField(
        max_length=16, choices=Permission, default=Permission.READ_WRITE, db_default=Permission.READ_WRITE
    )
    orgs_permission = models.CharField(
        max_length=16, choices=Permission, default=Permission.READ_WRITE, db_default=Permission.READ_WRITE
    )
    # Networks that it may be used from, such as `10.0.0.0/8`; null: any.
    cidrs = models.JSONField(null=True, blank=True)
    bypasses_2fa = models.BooleanField(default=False, db_default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # To the hour: a write for each request would be too many.
    last_used_at = models.DateTimeField(null=True, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    objects = TokenQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.prefix}… of {self.user}"
