"""Signing in and out, and being told who one is: `npm login`, `logout`, `whoami`, `ping`."""

from django.conf import settings
from django.urls import reverse
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry import access, people, tokens
from registry.api.auth import actor_for, actor_of, viewer_of
from registry.api.content import base_url
from registry.errors import Invalid, NotFound, OtpRequired, Unauthenticated
from registry.models import Token, User


class PingView(APIView):
    """`/-/ping`."""

    authentication_classes = ()

    def get(self, request: Request) -> Response:
        """GET: that we are here."""
        return Response({})


class WhoamiView(APIView):
    """`/-/whoami`."""

    def get(self, request: Request) -> Response:
        """GET: the name of who asks."""
        if not isinstance(request.user, User):
            raise Unauthenticated("you are not signed in: run npm login")
        return Response({"username": request.user.username}, headers={"Cache-Control": "private, no-store"})


class UserView(APIView):
    """`/-/user/org.couchdb.user:<name>`: CouchDB's way to sign in, which every client still speaks."""

    def get_authenticators(self) -> list[BaseAuthentication]:
        """None for who signs in: they may carry a token that is no good any more, which is why they sign in."""
        return [] if self.request.method == "PUT" else super().get_authenticators()

    def perform_authentication(self, request: Request) -> None:
        """Not before somebody asks who it is."""

    def get(self, request: Request, username: str, rev: str | None = None) -> Response:
        """GET: that there is such a person; to other people, how to write to them."""
        viewer = viewer_of(request)
        access.require_reader(viewer)
        user = User.objects.filter(username=username, is_active=True).first()
        if user is None:
            raise NotFound(f"there is no user {username}")
        answer = {"_id": f"org.couchdb.user:{username}", "name": user.username}
        if viewer.user_id is not None:
            answer["email"] = user.email
        return Response(answer, headers={"Cache-Control": "private, no-store"})

    def put(self, request: Request, username: str, rev: str | None = None) -> Response:
        """PUT: a token for the right password. Never 409, which sends old clients on a detour."""
        body = request.data if isinstance(request.data, dict) else {}
        name, password = body.get("name", username), body.get("password")
        if name != username or not isinstance(password, str):
            raise Invalid("send name and password, the name being the one in the URL")
        email = body.get("email")
        user = self._person(username, password, email if isinstance(email, str) else "")
        secret = tokens.issue(user, actor=actor_for(user), kind=Token.Kind.SESSION)
        answer = {"ok": True, "id": f"org.couchdb.user:{username}", "rev": f"1-{user.pk}", "token": secret}
        return Response(answer, status=201, headers={"Cache-Control": "private, no-store"})

    def _person(self, name: str, password: str, email: str) -> User:
        """Who signs in or up; people who may have an invitation are told where to use it."""
        try:
            otp = self.request.META.get("HTTP_NPM_OTP", "")
            return people.sign_in_or_up(name, password, actor=actor_of(self.request), otp=otp, email=email)
        except Unauthenticated as refusal:
            if settings.SIGNUP != "invite" or isinstance(refusal, OtpRequired):
                raise
            page = base_url(self.request) + reverse("sign-up")
            raise Unauthenticated(f"{refusal.sentence}; with an invitation, sign up at {page}") from refusal


class TokenView(APIView):
    """`/-/user/token/<token>`."""

    authentication_classes = ()

    def delete(self, request: Request, secret: str) -> Response:
        """DELETE: `npm logout`. Who has the secret may end it."""
        token = tokens.find(secret)
        if token is not None:
            tokens.revoke(token, actor=actor_for(token.user))
        return Response({"ok": True})
