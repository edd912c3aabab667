"""People: how they come to be, and how they prove who they are."""

import hmac
import secrets
import threading
import time

from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.hashers import make_password
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from audit import journal
from audit.actors import Actor
from registry import attempts, second_factor
from registry.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from registry.events import USER_CREATED
from registry.models import User

_NOT_RIGHT = "the user name or the password is not right; if you have none, ask an operator for an account"

# Each attempt counts until it was judged: people who are right at the same moment must not look like one who guesses.
_judging = threading.BoundedSemaphore(2)

# Passwords that were right of late, as HMACs under a key of this process, and until when they are taken for right.
_recognised: dict[bytes, float] = {}
_recognition_key = secrets.token_bytes(32)
_RECOGNISED_SECONDS, _RECOGNISED_MOST = 60, 1000


def create_user(name: str, password: str, *, actor: Actor, email: str = "", is_admin: bool = False) -> User:
    """Create a person. Raises `Invalid` for a bad name or a weak password and `Conflict` for a taken name."""
    user = prepare(name, password, email=email, is_admin=is_admin)
    admit(user, actor=actor)
    return user


def prepare(name: str, password: str, *, email: str = "", is_admin: bool = False) -> User:
    """A person who is not saved yet: hashing the password takes long, and is no work for a transaction."""
    user = User(username=name, email=email, is_staff=is_admin, is_superuser=is_admin)
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        raise Invalid("; ".join(error.messages)) from error
    user.password = hashed(password, user)
    return user


def hashed(password: str, user: User) -> str:
    """What is stored of a new password for this person. Raises `Invalid` for a weak one."""
    if not _is_plain(password):
        raise Invalid("a password cannot have half characters or NUL in it")
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise Invalid("; ".join(error.messages)) from error
    return make_password(password)


def admit(user: User, *, actor: Actor) -> None:
    """Save a person who was prepared."""
    try:
        with transaction.atomic():
            user.save(force_insert=True)
            journal.record(USER_CREATED, f"user:{user.username}", actor=actor, is_admin=user.is_superuser)
    except IntegrityError as error:
        raise Conflict(f"there is a user {user.username} already") from error


def named(*names: str) -> list[User]:
    """The people of these names, in the order of the names. Raises `NotFound` when one of them is nobody's."""
    plain = [name for name in names if _is_plain(name)]
    people = list(User.objects.filter(username__in=plain, is_active=True).order_by("username"))
    unknown = set(names) - {person.username for person in people}
    if unknown:
        raise NotFound(f"there is no user {min(unknown)[:100]} here: check the spelling")
    return people


def sign_in(name: str, password: str, *, actor: Actor, otp: str = "") -> User:
    """The person with this name, password and, if they have a second factor, one-time password.

    Raises `Unauthenticated`, in the same words whatever was wrong, `OtpRequired` when all but the last was right, and
    `TooManyAttempts` when too many were not.
    """
    user = _proven(name, password, actor=actor)
    second_factor.require_at_sign_in(user, otp, actor=actor)
    return user


def sign_in_or_up(name: str, password: str, *, actor: Actor, otp: str = "", email: str = "") -> User:
    """What `npm login` means: sign in, or, where sign-up is open and the name is new, become a person."""
    if settings.SIGNUP != "open" or User.objects.filter(username=name).exists():
        return sign_in(name, password, actor=actor, otp=otp)
    if not name or not password:
        raise Forbidden("give a user name and a password")
    try:
        return create_user(name, password, actor=actor, email=email)
    except Conflict:  # somebody was faster, the same person perhaps; a 409 would send old clients on a detour
        return sign_in(name, password, actor=actor, otp=otp)


def recognise(name: str, password: str, *, actor: Actor) -> User:
    """The person with this name and password, where it comes with every request. The second factor is not asked for.

    Argon2 is slow on purpose, so the process takes a password that was right for right for another minute.
    """
    attempts.require("password", name, origin=actor.origin)
    known = User.objects.filter(username=name, is_active=True).first() if _is_plain(name + password) else None
    if known is not None and _recognised.get(_fingerprint(known, password), 0) > time.monotonic():
        return known
    user = _proven(name, password, actor=actor)
    if len(_recognised) >= _RECOGNISED_MOST:
        _recognised.clear()
    _recognised[_fingerprint(user, password)] = time.monotonic() + _RECOGNISED_SECONDS
    return user


def confirm_password(password: str, *, actor: Actor) -> None:
    """Raise `Forbidden` unless it is the password of the person who acts: who finds a session open does not know it.

    Not `Unauthenticated`: clients would say that the token is no good.
    """
    try:
        _proven(actor.name, password, actor=actor)
    except Unauthenticated as error:
        raise Forbidden("the password is not right: type the one that you sign in with") from error


def _proven(name: str, password: str, *, actor: Actor) -> User:
    with _judging, attempts.counted("password", name, origin=actor.origin):
        user = authenticate(username=name, password=password) if _is_plain(name + password) else None
        if not isinstance(user, User):
            raise Unauthenticated(_NOT_RIGHT)
    return user


def _fingerprint(user: User, password: str) -> bytes:
    """Another one when the person has another password."""
    return hmac.digest(_recognition_key, f"{user.username}\0{user.password}\0{password}".encode(), "sha256")


def _is_plain(text: str) -> bool:
    """Whether databases and hashes can take it: JSON text can hold NUL and halves of surrogate pairs."""
    return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in text)
