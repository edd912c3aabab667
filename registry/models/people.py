from django.contrib.auth.models import AbstractUser
from django.core.validators import RegexValidator
from django.db import models

username_validator = RegexValidator(
    r"^[a-z0-9][a-z0-9._-]{0,99}\Z",
    'a user name has lower-case letters, digits, ".", "_" and "-", starts with a letter or digit, 100 at most',
)


class User(AbstractUser):
    """A person or a machine that signs in. `is_staff` opens the admin; `is_superuser` may do everything."""

    username = models.CharField(max_length=100, unique=True, validators=[username_validator])
    # Longer than Django's: hashes come from other registries too, with their salts (registry.immigration).
    password = models.CharField(max_length=255)
    email = models.EmailField(blank=True, max_length=254)
    # What `npm profile set` knows besides: fullname, homepage, freenode, twitter, github.
    profile = models.JSONField(default=dict, null=True, blank=True)


class Scope(models.Model):
    """A scope that is ours, such as `@acme`; npm calls its people an organisation.

    New packages in it are for its members. A scope of LARDER_PRIVATE_SCOPES that has no row is everybody's.
    """

    name = models.CharField(max_length=214, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Member(models.Model):
    """A person of a scope. Developers may publish new packages in it; admins and owners own all that are in it."""

    class Role(models.TextChoices):
        DEVELOPER = "developer"
        ADMIN = "admin"
        OWNER = "owner"

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)
    role = models.CharField(max_length=16, choices=Role, default=Role.DEVELOPER)

    class Meta:
        constraints = [models.UniqueConstraint(name="member_once", fields=["scope", "user"])]

    def __str__(self) -> str:
        return f"{self.user}, {self.role} of {self.scope}"


class Team(models.Model):
    """People of one scope who get rights together."""

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    description = models.TextField(default="", db_default="", blank=True)
    members = models.ManyToManyField(User, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="team_once", fields=["scope", "name"])]

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


class Grant(models.Model):
    """What a team may do with a package."""

    class Permission(models.TextChoices):
        READ = "read-only"
        WRITE = "read-write"

    team = models.ForeignKey(Team, on_delete=models.CASCADE)
    package = models.ForeignKey("registry.Package", on_delete=models.CASCADE)
    permission = models.CharField(max_length=16, choices=Permission)

    class Meta:
        constraints = [models.UniqueConstraint(name="grant_once", fields=["team", "package"])]

    def __str__(self) -> str:
        return f"{self.permission} on {self.package} for {self.team}"


class Maintainer(models.Model):
    """A person who owns a package: may publish it, and say who else may."""

    package = models.ForeignKey("registry.Package", on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(name="maintainer_once", fields=["package", "user"])]

    def __str__(self) -> str:
        return f"{self.user} of {self.package}"


class Star(models.Model):
    """A package that a person likes: `npm star`."""

    package = models.ForeignKey("registry.Package", on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(name="star_once", fields=["package", "user"])]

    def __str__(self) -> str:
        return f"{self.user} likes {self.package}"
