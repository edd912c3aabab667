"""Limits on guessing: how often somebody may try passwords and one-time passwords, on one person and from one address.

An attempt is counted before it is judged, and the count is given back when it was right: a hundred guesses at once are
a hundred. Above the limit nothing is judged, the right password neither: otherwise the answer would still tell a
guesser which one it is. So a stranger can keep a person from signing in for a while, but not their tokens from working.
"""

import ipaddress
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.db.models import Case, F, Q, Value, When
from django.utils import timezone
from django.utils.crypto import salted_hmac

from registry.errors import Forbidden, Invalid, TooManyAttempts, Unauthenticated
from registry.models import Attempt

WINDOW = timedelta(minutes=15)
VERDICTS = (Unauthenticated, Forbidden, Invalid)


class _Limit(NamedTuple):
    """What attempts are counted on, and how many may fail in a window."""

    key: str
    most: int


@contextmanager
def counted(what: str, name: str, *, origin: str) -> Iterator[None]:
    """Judge one attempt inside: raise one of `VERDICTS` there when it is wrong.

    `what` is tried on the person `name`, from the address `origin`. Raises `TooManyAttempts` instead of judging. It
    cannot be used inside a transaction, which could undo the count.
    """
    limits = _limits(what, name, origin)
    _take(limits)
    try:
        yield
    except VERDICTS:
        raise
    except BaseException:  # nobody knows whether it was right: the directory did not answer
        _give_back(limits)
        raise
    person, *address = limits
    _give_back(address)
    Attempt.objects.filter(key=person.key).delete()


def require(what: str, name: str, *, origin: str) -> None:
    """Raise `TooManyAttempts` when `counted` would, without counting."""
    limits = {limit.key: limit.most for limit in _limits(what, name, origin)}
    now = timezone.now()
    for attempt in Attempt.objects.filter(key__in=limits, since__gt=now - WINDOW):
        if attempt.failures >= limits[attempt.key]:
            raise _too_many(attempt.since, now)


def sweep() -> int:
    """Remove the counts whose time is over; returns how many."""
    swept, _ = Attempt.objects.filter(since__lte=timezone.now() - WINDOW).delete()
    return swept


def tally(key: str, window: timedelta) -> Attempt:
    """Count one more on `key`, in a transaction; from one again, when the first of those counted is a window ago."""
    now = timezone.now()
    is_over = Q(since__lte=now - window)
    # Makes the row or takes its lock, in one statement: nobody sweeps it away from under us.
    row = Attempt(key=key, since=now)
    Attempt.objects.bulk_create([row], update_conflicts=True, unique_fields=["key"], update_fields=["key"])
    Attempt.objects.filter(key=key).update(
        failures=Case(When(is_over, then=Value(1)), default=F("failures") + 1),
        since=Case(When(is_over, then=Value(now)), default=F("since")),
    )
    return Attempt.objects.get(key=key)


def _take(limits: Sequence[_Limit]) -> None:
    """Count an attempt on each key, or, above a limit, on none: those that are not judged do not count."""
    with transaction.atomic(durable=True):
        for key, most in limits:
            attempt = tally(key, WINDOW)
            if attempt.failures > most:
                raise _too_many(attempt.since, timezone.now())


def _give_back(limits: Sequence[_Limit]) -> None:
    for limit in limits:  # one lock after the other, in nobody's way
        Attempt.objects.filter(key=limit.key, failures__gt=0).update(failures=F("failures") - 1)


def _too_many(since: datetime, now: datetime) -> TooManyAttempts:
    seconds = max(1, round((since + WINDOW - now).total_seconds()))
    minutes = -(-seconds // 60)
    sentence = f"too many wrong passwords or codes were tried: wait {minutes} minute(s), and try again"
    return TooManyAttempts(sentence, retry_after=seconds)


def _limits(what: str, name: str, origin: str) -> list[_Limit]:
    """The person's, and the address's where it is known: on a shell and behind a Unix socket it is not."""
    name = name.strip().lower()  # a directory knows who is meant by Alice
    limits = [_Limit(key_of(f"{what}:{name}"), settings.MAX_ATTEMPTS)]
    if origin:
        limits.append(_Limit(key_of(f"address:{network(origin)}"), settings.MAX_ATTEMPTS_PER_ADDRESS))
    return limits


def network(origin: str) -> str:
    """What an address is counted as: itself; of IPv6 the /64, all of which one household has."""
    address = ipaddress.ip_address(origin)
    if isinstance(address, ipaddress.IPv4Address):
        return origin
    if address.ipv4_mapped:  # what a socket for both kinds says of an IPv4 client
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), 64), strict=False))


def key_of(text: str) -> str:
    """The key under which something is counted."""
    return salted_hmac("registry.attempts", text.encode("utf-8", "replace"), algorithm="sha256").hexdigest()
