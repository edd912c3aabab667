"""Who asks: Bearer tokens and Basic credentials become an `Actor`."""

import base64
import binascii
from dataclasses import replace
from typing import Any, cast

from django.utils.functional import SimpleLazyObject
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from audit import context
from audit.actors import Actor
from registry import access, people, tokens
from registry.errors import Unauthenticated
from registry.models import Token, User


class RegistryAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`, or Basic with a password or a token in the password's place."""

    def authenticate(self, request: Request) -> tuple[User, Token | None] | None:
        """The person and the token. Credentials that are no good are an error, not anonymity."""
        scheme, _, credentials = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        credentials = credentials.strip()
        if scheme.lower() == "bearer" and credentials:
            return _by_token(credentials)
        if scheme.lower() == "basic" and credentials:
            return _by_password(credentials)
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
    return replace(actor_for(user), token_id=token_id, otp=request.META.get("HTTP_NPM_OTP", ""))


def viewer_of(request: Request) -> Actor:
    """Who reads, found out when it is asked for: what everybody may see is not worth a query, let alone a password.

    Credentials that are no good keep nobody from what everybody may see: they make an anonymous reader.
    """

    def find() -> Actor:
        try:
            return actor_of(request)
        except Unauthenticated:
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
    token = tokens.find(secret)
    if token is None:
        raise Unauthenticated("the token is not valid here, or no longer: run npm login")
    return token.user, token


def _by_password(credentials: str) -> tuple[User, Token | None]:
    try:
        name, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise Unauthenticated("the Basic credentials are not readable: run npm login") from None
    if tokens.is_wellformed(password):
        return _by_token(password)
    return people.sign_in(name, password), None
