"""How people prove who they are: second factors, logins in a browser, invitations, and attempts that failed."""

from typing import Self

from django.conf import settings
from django.db import models
from django.utils import timezone


class SecondFactor(models.Model):
    """A person's authenticator app. While it is pending it protects nothing: its first code has not been seen yet."""

    class Mode(models.TextChoices):
        AUTH_ONLY = "auth-only"
        AUTH_AND_WRITES = "auth-and-writes"

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="second_factor")
    # The TOTP secret, encrypted (registry.secrecy).
    secret = models.TextField()
    mode = models.CharField(max_length=16, choices=Mode)
    is_pending = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return f"{self.mode} of {self.user}"


class RecoveryCode(models.Model):
    """Stands once for the second factor of a person who has lost the app. Only its hash is stored."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    code_hash = models.CharField(max_length=64)
    used_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="recovery_code_once", fields=["user", "code_hash"])]

    def __str__(self) -> str:
        return f"a recovery code of {self.user}"


class WebSessionQuerySet(models.QuerySet["WebSession"]):
    def open(self) -> Self:
        """Those whose time is not over."""
        return self.filter(expires_at__gt=timezone.now())


class WebSession(models.Model):
    """A client in a terminal that waits until its person has signed in, or shown a second factor, in a browser.

    The client polls with a secret of which only the hash is stored; the browser has another one.
    """

    class Purpose(models.TextChoices):
        LOGIN = "login"
        OTP = "otp"

    purpose = models.CharField(max_length=8, choices=Purpose)
    poll_hash = models.CharField(max_length=64, unique=True)
    browser_hash = models.CharField(max_length=64, unique=True)
    # Who it is for (OTP: from the start; login: who signed in), and when they did it.
    user = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.CASCADE)
    done_at = models.DateTimeField(null=True, blank=True)
    # The hash of the one-time password that the client was given for it.
    otp_hash = models.CharField(max_length=64, blank=True, db_index=True)
    expires_at = models.DateTimeField()

    objects = WebSessionQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.purpose} of {self.user or 'somebody'}"


class Invitation(models.Model):
    """Lets one person become a user while sign-up is by invitation. Only its hash is stored; it is shown once."""

    code_hash = models.CharField(max_length=64, unique=True)
    note = models.CharField(max_length=255, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="invitations"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_by = models.OneToOneField(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.SET_NULL, related_name="invitation"
    )
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return self.note or f"invitation {self.pk}"


class Attempt(models.Model):
    """Wrong passwords and one-time passwords of late, by what they were tried on."""

    # Such as `password:alice` and `address:192.0.2.7`, hashed: nobody's address is kept in the clear.
    key = models.CharField(max_length=64, unique=True)
    failures = models.IntegerField(default=0)
    since = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.failures} since {self.since}"
