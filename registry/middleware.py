"""Middleware that only the pages get: sessions, messages, static files.

Registry routes do without: each of these would vary responses by cookie or touch their bytes.
Forms are guarded by `csrf_protect` on their views, as the admin's are.
"""

from collections.abc import Callable

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from whitenoise.middleware import WhiteNoiseMiddleware

Answer = Callable[[HttpRequest], HttpResponseBase]

_PAGES = ("/-/admin/", "/-/web/", "/-/static/")


class OnPages:
    """Passes requests for anything but pages straight on."""

    def __init__(self, get_response: Answer) -> None:
        super().__init__(get_response)  # type: ignore[call-arg]
        self._straight = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        if not request.path_info.startswith(_PAGES):
            return self._straight(request)
        answer: HttpResponseBase = super().__call__(request)  # type: ignore[misc]
        return answer


class Security(OnPages, SecurityMiddleware):
    """Security headers."""


class StaticFiles(OnPages, WhiteNoiseMiddleware):  # type: ignore[misc]
    """Static files of the admin and the pages."""


class Sessions(OnPages, SessionMiddleware):
    """Sessions."""


class Authentication(OnPages, AuthenticationMiddleware):
    """People who are signed in to the pages."""


class Messages(OnPages, MessageMiddleware):
    """One-time messages."""


class Framing(OnPages, XFrameOptionsMiddleware):
    """No page of ours in a foreign frame."""


class Length:
    """Says how long each whole answer is; one without would be sent in chunks, which npm does not keep in memory.

    A 304 has none: it would be that of the document which is not sent.
    """

    def __init__(self, get_response: Answer) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer the request."""
        response = self._get_response(request)
        if isinstance(response, HttpResponse) and response.status_code != 304:
            response.headers.setdefault("Content-Length", str(len(response.content)))
            if request.method == "HEAD":
                response.content = b""
        return response
