"""Login, and one-time passwords, by way of a browser: a client gets two URLs, shows one and polls the other."""

from typing import Any

from django.urls import reverse
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit import context
from registry import second_factor, weblogin
from registry.api.auth import actor_for
from registry.api.content import base_url
from registry.errors import NotFound
from registry.models import User
from registry.weblogin import Secrets, Terminal

_PRIVATE = {"Cache-Control": "private, no-store"}
_WAITING = {**_PRIVATE, "Retry-After": "1"}  # without it npm asks again at once, and again
_HOSTNAME_LENGTH = 64


class LoginView(APIView):
    """`/-/v1/login`. Whoever signs in may carry a token that is no good any more."""

    authentication_classes = ()

    def post(self, request: Request) -> Response:
        """POST: where the browser goes, and where the client polls.

        Only for clients that say that they can. npm 6 and 8 ask here too when their person is to type a password, and
        would wait for a browser that nobody sees; they, and all others, go on to ask for the password.
        """
        if not _has_browser(request):
            raise NotFound("login in a browser is for clients that send npm-auth-type: web; use the password")
        made = weblogin.begin(Terminal(_hostname(request.data), context.current().origin))
        return Response({"loginUrl": _page(request, made), "doneUrl": _done(request, made)}, headers=_PRIVATE)


class DoneView(APIView):
    """`/-/v1/login/done/<secret>`: what a client polls."""

    authentication_classes = ()
    http_method_names = ("get",)  # a HEAD would take the token, and nobody would have it

    def get(self, request: Request, secret: str) -> Response:
        """GET: 202 while the person is busy, then the token, once."""
        session = weblogin.polled(secret)
        if session.user is None or session.done_at is None:
            return Response({"message": "waiting for the browser"}, status=202, headers=_WAITING)
        token = weblogin.collect(session, session.user, actor=actor_for(session.user))
        return Response({"token": token}, headers=_PRIVATE)


def offer(request: Request) -> dict[str, str]:
    """Where the person of this request can show their second factor in a browser; empty when that would not help."""
    user = getattr(request, "_user", None)  # as far as it is known: asking would judge the credentials once more
    if not _has_browser(request) or not isinstance(user, User) or not second_factor.is_on(user):
        return {}
    made = weblogin.begin(Terminal("", context.current().origin), user_id=user.pk)
    return {"authUrl": _page(request, made), "doneUrl": _done(request, made)}


def _has_browser(request: Request) -> bool:
    return bool(request.META.get("HTTP_NPM_AUTH_TYPE") == "web")


def _hostname(body: Any) -> str:
    """What npm up to 9 says that its machine is called."""
    name = body.get("hostname") if isinstance(body, dict) else None
    return "".join(filter(str.isprintable, name))[:_HOSTNAME_LENGTH] if isinstance(name, str) else ""


def _page(request: Request, made: Secrets) -> str:
    return base_url(request) + reverse("web-login", args=[made.browser])


def _done(request: Request, made: Secrets) -> str:
    return base_url(request) + reverse("web-login-done", args=[made.poll])
