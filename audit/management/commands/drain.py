from typing import Any

from django.core.management.base import BaseCommand

from audit.drain import drain_all, retry_parked
from audit.models import Parked


class Command(BaseCommand):
    help = "Lets the subscribers hear all that has happened, in the foreground, until nothing is left."

    def handle(self, *_args: Any, **_options: Any) -> None:
        heard = 0
        while passed := drain_all():
            heard += passed
        retried = retry_parked()
        self.stdout.write(
            f"The cursors moved by {heard} events; {retried} parked deliveries went through, "
            f"{Parked.objects.count()} are left."
        )
