"""People: how they come to be, and how they prove who they are."""

import threading

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from audit import journal
from audit.actors import Actor
from registry.errors import Conflict, Forbidden, Invalid, Unauthenticated
from registry.events import USER_CREATED
from registry.models import User

_NOT_RIGHT = "the user name or the password is not right; if you have none, ask an operator for an account"

# Argon2 takes 100 MB for each password that it tries; many at once would take gigabytes.
_hashing = threading.BoundedSemaphore(2)


def create_user(name: str, password: str, *, actor: Actor, email: str = "", is_admin: bool = False) -> User:
    """Create a person. Raises `Invalid` for a bad name or a weak password and `Conflict` for a taken name."""
    user = User(username=name, email=email, is_staff=is_admin, is_superuser=is_admin)
    try:
        user.clean_fields(exclude=["password"])
        _validate_password(password, user)
    except ValidationError as error:
        raise Invalid("; ".join(error.messages)) from error
    with _hashing:
        user.set_password(password)
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            journal.record(USER_CREATED, f"user:{name}", actor=actor, is_admin=is_admin)
    except IntegrityError as error:
        raise Conflict(f"there is a user {name} already") from error
    return user


def sign_in(name: str, password: str) -> User:
    """The person with this name and password. Raises `Unauthenticated`, in the same words whatever was wrong."""
    with _hashing:
        user = authenticate(username=name, password=password) if _is_plain(name + password) else None
    if not isinstance(user, User):
        raise Unauthenticated(_NOT_RIGHT)
    return user


def sign_in_or_up(name: str, password: str, *, actor: Actor, email: str = "") -> User:
    """What `npm login` means: sign in, or, where sign-up is open and the name is new, become a person."""
    if User.objects.filter(username=name).exists():
        return sign_in(name, password)
    if settings.SIGNUP != "open":
        raise Unauthenticated(_NOT_RIGHT)
    if not name or not password:
        raise Forbidden("give a user name and a password")
    return create_user(name, password, actor=actor, email=email)


def _validate_password(password: str, user: User) -> None:
    if not _is_plain(password):
        raise ValidationError("a password cannot have half characters or NUL in it")
    validate_password(password, user)


def _is_plain(text: str) -> bool:
    """Whether databases and hashes can take it: JSON text can hold NUL and halves of surrogate pairs."""
    return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text)
