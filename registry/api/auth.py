"""Who asks: Bearer tokens and Basic credentials become an `Actor`."""

import base64
import binascii
from dataclasses import replace
from typing import Any, cast

from django.conf import settings
from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request

from audit import context
from audit.actors import Actor
from registry import access, people, second_factor, tokens
from registry.errors import OtpRequired, TooManyAttempts, Unauthenticated
from registry.models import Token, User

# Where a request keeps the answer, beside what WSGI keeps there.
_HAS_SHOWN_OTP = "larder.has_shown_otp"


class RegistryAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`, or Basic with a password or a token in the password's place."""

    def authenticate(self, request: Request) -> tuple[User, Token | None] | None:
        """The person and the token. Credentials that are no good are an error, not anonymity."""
        scheme, _, credentials = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        credentials = credentials.strip()
        if scheme.lower() == "bearer" and credentials:
            return _by_token(credentials)
        if scheme.lower() == "basic" and credentials:
            return _by_password(request, credentials)
        return None

    def authenticate_header(self, request: Request) -> str:
        """What a 401 says."""
        return "Bearer"


def actor_of(request: Request) -> Actor:
    """Who acts in this request, by which token, from where, under which request id."""
    user: Any = request.user
    if not isinstance(user, User):
        return Actor.anonymous().as_of(context.current())
    token_id = request.auth.pk if isinstance(request.auth, Token) else None
    changes = request.method not in SAFE_METHODS
    return replace(actor_for(user), token_id=token_id, has_shown_otp=changes and _shows_otp(request, user))


def viewer_of(request: Request) -> Actor:
    """Who reads, found out when it is asked for: what everybody may see is not worth a query, let alone a password.

    Credentials that are no good keep nobody from what everybody may see: they make an anonymous reader. Where there
    is nothing for everybody, they are told what is wrong with them.
    """

    def find() -> Actor:
        try:
            return actor_of(request)
        except (Unauthenticated, TooManyAttempts):
            if not settings.ANONYMOUS_READ:
                raise
            return Actor.anonymous().as_of(context.current())

    return cast(Actor, SimpleLazyObject(find))


def actor_for(user: User) -> Actor:
    """The person as who acts in this request."""
    return Actor.user(user.username, user_id=user.pk).as_of(context.current())


def writer_of(request: Request) -> Actor:
    """Who changes something in this request: somebody signed in, with a token that may do more than read."""
    actor = actor_of(request)
    access.require_writer(actor)
    return actor


def _by_token(secret: str) -> tuple[User, Token]:
    token = tokens.use(secret, origin=context.current().origin)
    return token.user, token


def _by_password(request: Request, credentials: str) -> tuple[User, Token | None]:
    try:
        name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("the Basic credentials are not readable: run npm login") from None
    if tokens.is_wellformed(password):
        return _by_token(password)
    user = people.recognise(name, password, actor=Actor.anonymous().as_of(context.current()))
    if second_factor.is_on(user) and not _shows_otp(request, user):
        raise OtpRequired("your password needs a one-time password beside it: add --otp=<code>, or use a token")
    return user, None


def _shows_otp(request: Request, user: User) -> bool:
    """Whether the request carries a one-time password that is right. Asked once: a recovery code is good once."""
    if _HAS_SHOWN_OTP not in request.META:
        otp = request.META.get("HTTP_NPM_OTP", "")
        request.META[_HAS_SHOWN_OTP] = second_factor.verify(user, otp, actor=actor_for(user))
    return bool(request.META[_HAS_SHOWN_OTP])
