"""Becoming a person: open to all, by invitation, or not at all. Nothing here concerns those who are persons already."""

import hashlib
import secrets
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import people
from registry.errors import Forbidden, Invalid
from registry.events import INVITATION_MADE, INVITATION_USED
from registry.models import Invitation, User

MAX_DAYS = 365

CLOSED = "nobody can sign up here: ask an operator for an account"
_BY_INVITATION = "this invitation is not known, was used, or is too old: ask an operator for another one"


def is_open() -> bool:
    """Whether a new person can come to be at all without an operator."""
    return settings.SIGNUP in ("open", "invite")


def invite(*, actor: Actor, note: str = "", days: int = 7) -> tuple[Invitation, str]:
    """Make an invitation for one person; its code cannot be had again."""
    if settings.SIGNUP != "invite":
        raise Invalid(f"sign-up is {settings.SIGNUP} here: invitations need LARDER_SIGNUP=invite")
    if not 1 <= days <= MAX_DAYS:
        raise Invalid(f"an invitation is good for 1 to {MAX_DAYS} days")
    code = secrets.token_urlsafe(24)
    with transaction.atomic():
        invitation = Invitation.objects.create(
            code_hash=_hash(code),
            note=note[:255],
            created_by_id=actor.user_id,
            expires_at=timezone.now() + timedelta(days=days),
        )
        journal.record(INVITATION_MADE, f"invitation:{invitation.pk}", actor=actor, note=invitation.note, days=days)
    return invitation, code


def sign_up(name: str, password: str, *, actor: Actor, email: str = "", code: str = "") -> User:
    """Create a person, as far as `LARDER_SIGNUP` lets anybody become one; an invitation is used up by it."""
    if settings.SIGNUP == "open":
        return people.create_user(name, password, actor=actor, email=email)
    if settings.SIGNUP != "invite":
        raise Forbidden(CLOSED)
    user = people.prepare(name, password, email=email)
    with transaction.atomic():
        invitation = _take(code)
        people.admit(user, actor=actor)
        Invitation.objects.filter(pk=invitation.pk).update(used_by=user)
        journal.record(INVITATION_USED, f"invitation:{invitation.pk}", actor=actor, user=name)
    return user


def _take(code: str) -> Invitation:
    """Use the invitation up. Of many who try at once one succeeds, and only if the rest of the transaction does."""
    now = timezone.now()
    good = Invitation.objects.filter(code_hash=_hash(code), used_at=None, expires_at__gt=now)
    if not good.update(used_at=now):
        raise Forbidden(_BY_INVITATION)
    return Invitation.objects.get(code_hash=_hash(code))


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode(errors="replace")).hexdigest()
