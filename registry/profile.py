"""What people say of themselves, and their password: changed by themselves."""

from collections.abc import Mapping
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator, validate_email
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import lifecycle, people, tokens
from registry.errors import Forbidden, Invalid
from registry.events import PASSWORD_CHANGED, PROFILE_CHANGED
from registry.models import Token, User, WebSession

# What is kept of a profile beside the e-mail address, which has a column.
KEPT = ("fullname", "homepage", "freenode", "twitter", "github")
WRITABLE = ("email", *KEPT)

_LONGEST = 254
_is_homepage = URLValidator(schemes=["http", "https"])


class NewPassword(NamedTuple):
    """The password that a person has, and the one that they want."""

    old: str
    new: str


def change(user: User, fields: Mapping[str, str], *, actor: Actor, password: NewPassword | None = None) -> User:
    """Set some fields of the profile, "" to clear one, and the password if there is a new one; all of it or nothing.

    With the password end the other sessions of `npm login`, which somebody may have opened who knew the old one.
    Tokens that were made on purpose go on: machines use them, and their owner sees them in a list.
    """
    _validate(fields)
    stored = _stored(user, password, actor) if password else None
    with transaction.atomic():
        locked = User.objects.select_for_update(no_key=True).get(pk=user.pk)
        _set(locked, fields, actor=actor)
        if stored:
            _set_password(locked, stored, actor=actor)
    return locked


def _validate(fields: Mapping[str, str]) -> None:
    try:
        for name, value in fields.items():
            if len(value) > _LONGEST or not value.isprintable():
                raise Invalid(f"{name} may have {_LONGEST} letters at most, all on one line")
            if value and name == "email":
                validate_email(value)
            if value and name == "homepage":
                _is_homepage(value)
    except ValidationError as error:
        raise Invalid(f"{name} is not right: {'; '.join(error.messages)}") from error


def _stored(user: User, password: NewPassword, actor: Actor) -> str:
    if not user.has_usable_password():
        raise Forbidden("you do not sign in with a password of this registry: change it where you have it")
    people.confirm_password(password.old, actor=actor)
    return people.hashed(password.new, user)


def _set(user: User, fields: Mapping[str, str], *, actor: Actor) -> None:
    profile = user.profile or {}
    known = {"email": user.email, **{name: profile.get(name, "") for name in KEPT}}
    changed = {name: value for name, value in fields.items() if value != known[name]}
    if not changed:
        return
    user.email = changed.get("email", user.email)
    kept = {name: value for name, value in {**known, **changed}.items() if name in KEPT and value}
    user.profile = {**kept, "updated": lifecycle.moment(timezone.now())}
    user.save(update_fields=["email", "profile"])
    journal.record(PROFILE_CHANGED, f"user:{user.username}", actor=actor, fields=", ".join(sorted(changed)))


def _set_password(user: User, stored: str, *, actor: Actor) -> None:
    user.password = stored
    user.save(update_fields=["password"])
    end_sessions(user, actor=actor)


def end_sessions(user: User, *, actor: Actor) -> None:
    """Log the person out everywhere but where `actor` acts, because they have another password now.

    Logins in a browser that are under way end too: who knew the old password may have begun them.
    """
    with transaction.atomic():
        sessions = Token.objects.valid().filter(user=user, kind=Token.Kind.SESSION).exclude(pk=actor.token_id or 0)
        others = list(sessions.select_related("user").order_by("pk"))
        WebSession.objects.filter(user=user).delete()
        journal.record(PASSWORD_CHANGED, f"user:{user.username}", actor=actor, revoked=len(others))
        for token in others:
            tokens.revoke(token, actor=actor)
