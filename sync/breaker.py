"""Remembers that an upstream is ill, in its row, where an operator can see and reset it.

It opens after several failures in a row, for longer each time up to a minute, or for as long as the upstream asks
for, an hour at most (`sync.http`); one success closes it. While it is open
nothing is asked, so that readers get what is here at once.
"""

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from registry import generation
from sync.http import Refused, UpstreamError
from sync.models import Asked

TOLERATED = 5
LONGEST_REST = 60.0


def resting(upstream: Asked) -> float:
    """Seconds for which nothing should be asked of the upstream; 0 when it may be asked now."""
    if upstream.resting_until is None:
        return 0.0
    return max(0.0, (upstream.resting_until - timezone.now()).total_seconds())


def is_resting_now(upstream: Asked) -> bool:
    """Whether it rests, by its row and not by what was read of it before."""
    return _rows(upstream).filter(pk=upstream.pk, resting_until__gt=timezone.now()).exists()


def succeeded(upstream: Asked) -> None:
    """The upstream has answered. Writes only when there was something to forget."""
    if upstream.failures or upstream.resting_until:
        _rows(upstream).filter(pk=upstream.pk).update(failures=0, resting_until=None, last_error="")
        generation.advance()  # what processes keep of upstreams (sync.routing) is read again


def failed(upstream: Asked, error: UpstreamError) -> None:
    """The upstream has failed. What it says itself about when to come back (429, 503) counts at once.

    A document that we will not take is no illness. And what was under way when the breaker opened fails of the same
    illness: it does not make the rest longer.
    """
    if isinstance(error, Refused):
        return
    awake = Q(resting_until=None) | Q(resting_until__lte=timezone.now())
    counted = (
        _rows(upstream)
        .filter(awake, pk=upstream.pk)
        .update(failures=F("failures") + 1, last_error=error.sentence[:1000])
    )
    failures = _rows(upstream).values_list("failures", flat=True).get(pk=upstream.pk) if counted else 0
    ours = min(2.0 ** min(failures - TOLERATED, 6), LONGEST_REST) if failures >= TOLERATED else 0.0
    rest = error.retry_after or ours
    if rest > 0:
        until = timezone.now() + timedelta(seconds=rest)
        shorter = Q(resting_until=None) | Q(resting_until__lt=until)
        _rows(upstream).filter(shorter, pk=upstream.pk).update(resting_until=until)
    generation.advance()


def _rows(upstream: Asked) -> models.Manager[Asked]:
    """All of its kind."""
    return type(upstream)._default_manager  # noqa: SLF001 (Django's name for it)
