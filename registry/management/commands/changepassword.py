"""`manage.py changepassword <user>`."""

from typing import Any

from django.contrib.auth.management.commands import changepassword

from audit.actors import Actor
from registry import profile
from registry.models import User


class Command(changepassword.Command):
    """Django's, which also ends what was begun with the old password."""

    def handle(self, *args: Any, **options: Any) -> Any:
        """Set it, and log the person out everywhere."""
        said = super().handle(*args, **options)
        user = User.objects.get(username=options["username"])
        profile.end_sessions(user, actor=Actor.system("manage.py changepassword"))
        return said
