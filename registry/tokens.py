"""Tokens: made, recognised, revoked. The secret is shown once; the database has its SHA-256.

A secret is `larder_`, 32 random base62 characters and a checksum of 6, so that secret scanners and log filters
recognise one, and a mistyped one costs no query. 190 random bits need no slow hash.
"""

import hashlib
import secrets
import string
import zlib
from uuid import uuid4

from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry.events import TOKEN_CREATED, TOKEN_REVOKED
from registry.models import Token, User

_PREFIX = "larder_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECK = 32, 6


def issue(user: User, *, actor: Actor, kind: str = Token.Kind.PUBLISH) -> str:
    """Make a token for `user` and return its secret, which cannot be had again."""
    body = _PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    secret = body + _checksum(body)
    with transaction.atomic():
        token = Token.objects.create(user=user, key=str(uuid4()), key_hash=_hash(secret), prefix=secret[:12], kind=kind)
        journal.record(TOKEN_CREATED, f"user:{user.username}", actor=actor, prefix=token.prefix, token_kind=kind)
    return secret


def find(secret: str) -> Token | None:
    """The valid token with this secret, its user loaded."""
    if not is_wellformed(secret):
        return None
    return Token.objects.valid().select_related("user").filter(key_hash=_hash(secret)).first()


def revoke(token: Token, *, actor: Actor) -> None:
    """End the token."""
    with transaction.atomic():
        Token.objects.filter(pk=token.pk).update(revoked_at=timezone.now())
        journal.record(TOKEN_REVOKED, f"user:{token.user.username}", actor=actor, prefix=token.prefix)


def is_wellformed(secret: str) -> bool:
    """Whether `secret` has the form and the checksum of a token."""
    body, check = secret[:-_CHECK], secret[-_CHECK:]
    return secret.startswith(_PREFIX) and len(body) == len(_PREFIX) + _RANDOM and check == _checksum(body)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _checksum(body: str) -> str:
    number, digits = zlib.crc32(body.encode()), ""
    for _ in range(_CHECK):
        number, digit = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[digit] + digits
    return digits
