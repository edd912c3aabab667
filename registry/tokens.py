"""Tokens: made, recognised, revoked. The secret is shown once; the database has its SHA-256.

A secret is `larder_`, 32 random base62 characters and a checksum of 6, so that secret scanners and log filters
recognise one, and a mistyped one costs no query. 190 random bits need no slow hash.
"""

import hashlib
import logging
import re
import secrets
import string
import zlib
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError, connection, transaction
from django.db.models import Q
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access, second_factor, terms
from registry.errors import Forbidden, Invalid, NotFound, Unauthenticated, WrongNetwork
from registry.events import TOKEN_CREATED, TOKEN_REVOKED
from registry.models import Token, User
from registry.models.token import TokenQuerySet
from registry.terms import Terms

logger = logging.getLogger(__name__)

_PREFIX = "larder_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECK = 32, 6
# What cnpmcore gives out: its name, random base62 characters and a checksum.
_CNPMCORES = re.compile(r"[A-Za-z0-9.-]{1,40}_[0-9A-Za-z]{20,40}_[0-9A-Za-z]{1,8}")
_USE_IS_NOTED_EVERY = timedelta(hours=1)


class Issued(NamedTuple):
    """A new token and its secret, which cannot be had again."""

    token: Token
    secret: str


def issue(user: User, *, actor: Actor, kind: str = Token.Kind.PUBLISH) -> str:
    """Make a token for `user`, limited by nothing but its kind, and return its secret."""
    return make(user, Terms(kind=kind), actor=actor).secret


def make(user: User, wanted: Terms, *, actor: Actor) -> Issued:
    """Make a token for `user`. Whoever calls this has found out that `actor` may."""
    if wanted.is_admin and not user.is_superuser:
        raise Forbidden(f"{user.username} is no administrator, so no token of theirs can be one's")
    body = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    secret = body + _checksum(body)
    with transaction.atomic():
        token = Token.objects.create(
            user=user, key=new_key(), key_hash=_hash(secret), prefix=secret[:12], **asdict(wanted)
        )
        journal.record(TOKEN_CREATED, f"user:{user.username}", actor=actor, prefix=token.prefix, **_facts(wanted))
    return Issued(token, secret)


def make_own(wanted: Terms, *, actor: Actor) -> Issued:
    """Make a token for the person who acts; it may no more than the token that they act with."""
    access.require_account(actor)
    second_factor.require_for_account(actor)
    asking = Token.objects.filter(pk=actor.token_id).first() if actor.token_id is not None else None
    return make(User.objects.get(pk=actor.user_id or 0), wanted.within(asking) if asking else wanted, actor=actor)


def find(secret: str) -> Token | None:
    """The valid token with this secret, its user loaded."""
    key_hash = _key_hash(secret)
    return Token.objects.valid().select_related("user").filter(key_hash=key_hash).first() if key_hash else None


def owners(secrets: Collection[str]) -> dict[str, str]:
    """The names of the people whose valid tokens these are, by the tokens."""
    by_hash = {_key_hash(secret): secret for secret in secrets}
    by_hash.pop("", None)
    found = Token.objects.valid().filter(key_hash__in=by_hash).values_list("key_hash", "user__username")
    return {by_hash[key_hash]: name for key_hash, name in found}


def use(secret: str, *, origin: str) -> Token:
    """The token with this secret, used from the address `origin`. Raises `Unauthenticated` when it opens nothing."""
    token = find(secret)
    if token is None:
        raise Unauthenticated("the token is not valid here, or no longer: run npm login")
    if not terms.admits(token.cidrs, origin):
        where = origin or "an unknown address"
        raise WrongNetwork(f"this token may not be used from {where}: use one that is made for this network")
    _note_use(token)
    return token


def own(actor: Actor) -> TokenQuerySet:
    """The valid tokens of the person who acts, the newest first."""
    access.require_account(actor)
    return Token.objects.valid().filter(user=actor.user_id or 0).order_by("-id")


def revoke(token: Token, *, actor: Actor) -> None:
    """End the token."""
    with transaction.atomic():
        if Token.objects.filter(pk=token.pk, revoked_at=None).update(revoked_at=timezone.now()):
            journal.record(TOKEN_REVOKED, f"user:{token.user.username}", actor=actor, prefix=token.prefix)


def revoke_own(word: str, *, actor: Actor) -> None:
    """End a token of the person who acts, named by its key, its prefix or its secret.

    It takes no second factor: ending a token gives nobody anything, and is done in a hurry.
    """
    named = Q(key=word) | Q(prefix=word) | Q(key_hash=_hash(word))
    found = list(own(actor).filter(named).select_related("user")[:2])
    if not found:
        raise NotFound("you have no such token: npm token list shows those that you have")
    if len(found) > 1:
        raise Invalid(f"more than one of your tokens begins with {word}: give the id that npm token list shows")
    revoke(found[0], actor=actor)


def is_wellformed(secret: str) -> bool:
    """Whether `secret` has the form and the checksum of a token."""
    body, check = secret[:-_CHECK], secret[-_CHECK:]
    return secret.startswith(_PREFIX) and len(body) == len(_PREFIX) + _RANDOM and check == _checksum(body)


def of_cnpmcore(token_key: str) -> str:
    """What we keep of a token that came from cnpmcore, which keeps its sha512 in hex (`registry.immigration`)."""
    return _hash(token_key)


def new_key() -> str:
    """What a token is called by. No UUID: npm takes those for secrets, and blots them out of what it lists."""
    return secrets.token_hex(16)


def _note_use(token: Token) -> None:
    """Note that the token was used, at most once an hour. That it cannot be noted is nobody's fault who asks."""
    now = timezone.now()
    if token.last_used_at is not None and now - token.last_used_at < _USE_IS_NOTED_EVERY:
        return
    not_since = Q(last_used_at=None) | Q(last_used_at__lte=now - _USE_IS_NOTED_EVERY)
    try:
        with _at_once():
            Token.objects.filter(not_since, pk=token.pk).update(last_used_at=now)
    except DatabaseError as error:
        logger.info("the use of the token %s… could not be noted: %s", token.prefix, error)


@contextmanager
def _at_once() -> Iterator[None]:
    """Fail rather than wait while somebody else writes: SQLite lets one write at a time."""
    if connection.vendor != "sqlite":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 0")
        try:
            yield
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {connection.settings_dict['OPTIONS']['timeout'] * 1000}")


def _facts(wanted: Terms) -> dict[str, Any]:
    """What history keeps of a token's terms."""
    said = {name: value for name, value in asdict(wanted).items() if value is not None}
    said["token_kind"] = said.pop("kind")
    return {**said, **({"expires_at": wanted.expires_at.isoformat()} if wanted.expires_at else {})}


def _key_hash(secret: str) -> str:
    """What is stored of a token, ours or one that came from cnpmcore; nothing for what is none."""
    if is_wellformed(secret):
        return _hash(secret)
    if _CNPMCORES.fullmatch(secret):
        return of_cnpmcore(hashlib.sha512(secret.encode()).hexdigest())
    return ""


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode(errors="replace")).hexdigest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
