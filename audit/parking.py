"""Deliveries that failed wait here, so that one bad event does not hold up all that come after it."""

import random
from datetime import timedelta
from traceback import format_exception

from django.utils import timezone

from audit.facts import storable_text
from audit.models import Event, Parked

FIRST_TRY_AFTER = timedelta(seconds=15)
LONGEST_WAIT = timedelta(hours=1)
ERROR_LENGTH = 8000


def back_off(attempts: int) -> timedelta:
    """How long to wait after so many attempts: doubling up to an hour, scattered so that what failed
    together does not come back together."""
    longest = min(LONGEST_WAIT, FIRST_TRY_AFTER * (1 << min(attempts - 1, 20)))
    return longest * random.uniform(0.5, 1)  # noqa: S311  scatter, not a secret


def set_aside(subscriber: str, event: Event, error: str) -> bool:
    """Parks a delivery; says no when it is parked already, and then leaves it as it is."""
    _, is_new = Parked.objects.get_or_create(
        subscriber=subscriber,
        event=event,
        defaults={"error": error, "next_try": timezone.now() + back_off(1)},
    )
    return is_new


def note_failure(subscriber: str, event: Event, error: Exception) -> None:
    """Parks a delivery with its error, or gives the parked one its newest error."""
    # Told from the end: that is where a traceback says what went wrong. An error's text may hold anything.
    text = storable_text("".join(format_exception(error)))[-ERROR_LENGTH:]
    if not set_aside(subscriber, event, text):
        Parked.objects.filter(subscriber=subscriber, event=event).update(error=text)


def settle(subscriber: str, event: Event) -> None:
    """Forgets a delivery that has gone through."""
    Parked.objects.filter(subscriber=subscriber, event=event).delete()


def claim(parked: Parked) -> bool:
    """Counts an attempt and sets the one after it; says no when somebody else was faster.

    All of it beforehand: a delivery that kills its process has then waited its turn like any other.
    """
    as_read = Parked.objects.filter(pk=parked.pk, attempts=parked.attempts, next_try=parked.next_try)
    attempts = parked.attempts + 1
    return bool(as_read.update(attempts=attempts, next_try=timezone.now() + back_off(attempts)))
