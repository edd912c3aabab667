"""People who prove elsewhere who they are: to a directory, or to an OpenID provider.

The key of an identity is who vouches for it and what they call it, never a name or an e-mail address alone: those
change hands, and many providers let people choose them. It stands where a password would, as something that Django
takes for none. So a person proves who they are in one way only; an operator who gives them a password ends the other.
"""

import hashlib
import logging
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from audit import context, journal
from audit.actors import Actor
from registry import people
from registry.errors import Conflict, Forbidden
from registry.events import IDENTITY_LINKED, OPERATOR_CHANGED, PROFILE_CHANGED
from registry.models import User

logger = logging.getLogger(__name__)

_CLOSED = "your account here is switched off: ask an operator"


class Claims(NamedTuple):
    """What is vouched for; `is_admin` is None when nothing is said of it."""

    source: str
    subject: str
    name: str = ""
    email: str = ""
    is_admin: bool | None = None


def person_of(claims: Claims) -> User:
    """The person whose identity this is, as the claims describe them now. Who is new becomes a person here.

    `LARDER_SIGNUP` has no say: whoever names a directory or a provider lets its people in. Raises `Forbidden`.
    """
    actor = Actor.system(claims.source).as_of(context.current())
    known = _known(claims)
    if known is None:
        return _welcome(claims, actor)
    if not known.is_active:
        raise Forbidden(_CLOSED)
    return _update(known, claims, actor)


def link(user: User, claims: Claims, *, actor: Actor) -> None:
    """Let a person who is here already prove who they are in this way, and in no other, from now on."""
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        known = _known(claims)
        if known is not None and known != user:
            raise Conflict(f"{claims.subject} of {claims.source} is {known.username} here already")
        user.password = _key(claims)
        user.save(update_fields=["password"])
        journal.record(IDENTITY_LINKED, f"user:{user.username}", actor=actor, source=claims.source)


def _known(claims: Claims) -> User | None:
    return User.objects.filter(password=_key(claims)).order_by("pk").first()


def _key(claims: Claims) -> str:
    return "!" + hashlib.sha256(f"{claims.source}\0{claims.subject}".encode(errors="replace")).hexdigest()


def _welcome(claims: Claims, actor: Actor) -> User:
    is_admin = bool(claims.is_admin)
    user = User(
        username=claims.name.partition("@")[0].lower(),
        email=_address(claims.email),
        password=_key(claims),
        is_staff=is_admin,
        is_superuser=is_admin,
    )
    try:
        user.clean_fields()
    except ValidationError as error:
        wrong = "; ".join(error.messages)
        raise Forbidden(f"you are called {claims.name[:100]!r} there, and cannot be here: {wrong}") from error
    try:
        people.admit(user, actor=actor)
    except Conflict as error:
        known = _known(claims)  # the same person perhaps, in another terminal, who was faster
        if known is None:
            logger.warning(
                "%s of %s cannot be %s here, who is somebody else", claims.subject, claims.source, user.username
            )
            taken = f"{user.username} is somebody here already who signs in another way: ask an operator"
            raise Forbidden(taken) from error
        return known
    return user


def _update(user: User, claims: Claims, actor: Actor) -> User:
    with transaction.atomic():
        user = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        email = _address(claims.email) or user.email
        if email != user.email:
            user.email = email
            journal.record(PROFILE_CHANGED, f"user:{user.username}", actor=actor, fields="email")
        if claims.is_admin not in (None, user.is_superuser):
            user.is_staff = user.is_superuser = bool(claims.is_admin)
            journal.record(OPERATOR_CHANGED, f"user:{user.username}", actor=actor, is_admin=user.is_superuser)
        user.save(update_fields=["email", "is_staff", "is_superuser"])
    return user


def _address(email: str) -> str:
    """The address as we keep it; none when it is not one, which is no reason to keep a person out."""
    try:
        validate_email(email)
    except ValidationError:
        return ""
    return email.lower() if len(email) <= 254 else ""
