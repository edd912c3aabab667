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
    email = models.EmailField(blank=True, max_length=254)


class Scope(models.Model):
    """A scope that is ours, such as `@acme`."""

    name = models.CharField(max_length=214, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.name


class Team(models.Model):
    """People of one scope who get rights together."""

    scope = models.ForeignKey(Scope, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    members = models.ManyToManyField(User, blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(name="team_once", fields=["scope", "name"])]

    def __str__(self) -> str:
        return f"{self.scope}:{self.name}"


class Maintainer(models.Model):
    """A person who may publish a package."""

    package = models.ForeignKey("registry.Package", on_delete=models.CASCADE)
    user = models.ForeignKey(User, on_delete=models.CASCADE)

    class Meta:
        constraints = [models.UniqueConstraint(name="maintainer_once", fields=["package", "user"])]

    def __str__(self) -> str:
        return f"{self.user} of {self.package}"
