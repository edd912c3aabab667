"""Signing in, and showing a second factor, in a browser, for a client that waits in a terminal.

The terminal has a secret to poll with, the browser another; rows hold hashes of both. What the page tells of the
terminal is a part of the browser's secret: whoever changes it has a secret that is not known.
"""

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import tokens
from registry.errors import NotFound
from registry.events import BROWSER_ALLOWED
from registry.models import Token, User, WebSession

OTP_LIFETIME = timedelta(minutes=5)

_OVER = "this is over: it was used, or it took too long; run the command again"


class Secrets(NamedTuple):
    """What a terminal polls with, and what its person's browser opens."""

    poll: str
    browser: str


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where a client waits: the name that its machine gives itself, and the address that it asked from."""

    hostname: str
    address: str


def begin(terminal: Terminal, *, user_id: int | None = None) -> Secrets:
    """Open a session for a client: for a second factor of the person, or, without one, for a login of anybody."""
    made = Secrets(_random(), f"{_random()}~{_pack(terminal)}")
    WebSession.objects.create(
        purpose=WebSession.Purpose.LOGIN if user_id is None else WebSession.Purpose.OTP,
        poll_hash=_hash(made.poll),
        browser_hash=_hash(made.browser),
        user_id=user_id,
        expires_at=timezone.now() + lifetime(),
    )
    return made


def asked(browser_secret: str) -> tuple[WebSession, Terminal]:
    """The session that a browser opens, and the terminal that waits for it. Raises `NotFound` when it is over."""
    waiting = WebSession.objects.open().filter(done_at=None).select_related("user")
    session = waiting.filter(browser_hash=_hash(browser_secret)).first()
    if session is None:
        raise NotFound(_OVER)
    return session, _unpack(browser_secret.partition("~")[2])


def allow(session: WebSession, user: User, terminal: Terminal, *, actor: Actor) -> None:
    """Give the terminal what it waits for: `user` has proved who they are. Raises `NotFound` when it is over."""
    with transaction.atomic():
        waiting = WebSession.objects.open().filter(pk=session.pk, done_at=None)
        if not waiting.update(user=user, done_at=timezone.now()):
            raise NotFound(_OVER)
        facts = {"purpose": session.purpose, "hostname": terminal.hostname, "address": terminal.address}
        journal.record(BROWSER_ALLOWED, f"user:{user.username}", actor=actor, **facts)


def polled(poll_secret: str) -> WebSession:
    """The session that a terminal polls; it is done when `done_at` is set. Raises `NotFound` when it is over."""
    session = WebSession.objects.open().filter(poll_hash=_hash(poll_secret), otp_hash="").select_related("user").first()
    if session is None:
        raise NotFound(_OVER)
    return session


def collect(session: WebSession, user: User, *, actor: Actor) -> str:
    """The token, or the one-time password, of a session that is done. Who asks second gets `NotFound`."""
    if session.purpose == WebSession.Purpose.OTP:
        return _one_time_password(session)
    with transaction.atomic():
        taken, _ = WebSession.objects.filter(pk=session.pk).delete()
        if not taken:
            raise NotFound(_OVER)
        return tokens.issue(user, actor=actor, kind=Token.Kind.SESSION)


def sweep() -> int:
    """Remove the sessions whose time is over; returns how many."""
    swept, _ = WebSession.objects.filter(expires_at__lte=timezone.now()).delete()
    return swept


def lifetime() -> timedelta:
    """How long a terminal may wait."""
    return timedelta(minutes=settings.LOGIN_MINUTES)


def _one_time_password(session: WebSession) -> str:
    """A password that `second_factor` takes from this person for a while, as `npm-otp`."""
    password = _random()
    taken = WebSession.objects.filter(pk=session.pk, otp_hash="").update(
        otp_hash=_hash(password), expires_at=timezone.now() + OTP_LIFETIME
    )
    if not taken:
        raise NotFound(_OVER)
    return password


def _random() -> str:
    return secrets.token_urlsafe(24)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _pack(terminal: Terminal) -> str:
    text = json.dumps([terminal.hostname, terminal.address], separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _unpack(packed: str) -> Terminal:
    """Of a secret that is known, so it reads as it was written."""
    return Terminal(*json.loads(base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))))
