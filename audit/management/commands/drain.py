from math import inf
from typing import Any

from django.core.management.base import BaseCommand

from audit.drain import drain_all, retry_parked
from audit.models import Parked


class Command(BaseCommand):
    help = "Lets the subscribers hear all that has happened, in the foreground, until nothing is left."

    def handle(self, *args: Any, **options: Any) -> None:
        heard = drain_all(seconds=inf)
        retried = retry_parked()
        self.stdout.write(
            f"The cursors moved by {heard} events; {retried} parked deliveries went through, "
            f"{Parked.objects.count()} are left."
        )
