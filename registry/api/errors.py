"""Errors as clients read them: the only map from our errors to HTTP.

The sentence goes into the JSON `error`, which npm and yarn 1 show, and, where something is withheld, into the reason
phrase too, which is all that pnpm and yarn berry show.
"""

import errno
import logging
from typing import Any

from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.db import OperationalError
from django.http import HttpRequest, JsonResponse, UnreadablePostError
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from rest_framework.exceptions import APIException
from rest_framework.response import Response

from registry.api import weblogin
from registry.errors import (
    Blocked,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OtpRequired,
    RegistryError,
    TooLarge,
    TooManyAttempts,
    Unauthenticated,
    Unavailable,
    WrongNetwork,
)

logger = logging.getLogger(__name__)

_NOT_OUR_HOST = (
    "this registry does not answer for the host in the request: "
    "its operator sets LARDER_PUBLIC_URL or LARDER_ALLOWED_HOSTS"
)

_LONGEST_SENTENCE = 1000

_STATUSES: dict[type[RegistryError], int] = {
    NotFound: 404,
    Unauthenticated: 401,
    Forbidden: 403,
    Conflict: 409,
    Invalid: 400,
    TooLarge: 413,
    Blocked: 451,
    TooManyAttempts: 429,
    Unavailable: 503,
}
# The words that npm looks for: it asks for a one-time password then, or says EAUTHIP.
_CHALLENGES: dict[type[RegistryError], str] = {OtpRequired: "OTP", WrongNetwork: "ipaddress"}


def answer(error: Exception, context: dict[str, Any]) -> Response | None:
    """Django REST framework's exception handler."""
    if isinstance(error, RegistryError):
        response = _registry_error(error)
        if isinstance(error, OtpRequired):
            response.data |= weblogin.offer(context["request"])
        return response
    if isinstance(error, APIException):
        return _response(error.status_code, str(error.detail))
    if isinstance(error, UnreadablePostError | ParseException):
        return _response(400, "the body of the request did not come whole: send it again")
    if isinstance(error, SuspiciousOperation):
        return _response(400, _NOT_OUR_HOST if isinstance(error, DisallowedHost) else "the request is malformed")
    illness = _illness(error)
    if illness is not None:
        logger.error("%s: %s", illness.sentence, error)
        return _registry_error(illness)
    return None


def _illness(error: Exception) -> Unavailable | None:
    """What is wrong with the machine, when that is what the error says."""
    if isinstance(error, OperationalError):
        return Unavailable("the registry's database is busy or away: try again")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Unavailable("the registry's disk is full: its operator must make room", retry_after=300)
    return None


def not_found(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """What a path gets that is neither a package nor one of our endpoints."""
    return JsonResponse({"error": f"{request.path} is not something this registry has"}, status=404)


def bad_request(request: HttpRequest, exception: Exception | None = None) -> JsonResponse:
    """What a request gets that Django refuses, such as one for a host that is not ours."""
    sentence = _NOT_OUR_HOST if isinstance(exception, DisallowedHost) else "the request is malformed"
    return JsonResponse({"error": sentence}, status=400)


def server_error(request: HttpRequest) -> JsonResponse:
    """What nobody should see; the log has the reason under the request id."""
    return JsonResponse({"error": "the registry failed; the operator's log says why"}, status=500)


def _registry_error(error: RegistryError) -> Response:
    status = next(status for kind, status in _STATUSES.items() if isinstance(error, kind))
    response = _response(status, error.sentence)
    if isinstance(error, Unavailable | TooManyAttempts):
        response["Retry-After"] = str(error.retry_after)
    if isinstance(error, Unauthenticated):
        challenges = (word for kind, word in _CHALLENGES.items() if isinstance(error, kind))
        response["WWW-Authenticate"] = next(challenges, "Bearer")
    if isinstance(error, Blocked):
        response.reason_phrase = _phrase(error.sentence)
    return response


def _response(status: int, sentence: str) -> Response:
    # It may quote what was sent: megabytes, or half a character, which UTF-8 cannot hold.
    text = sentence[:_LONGEST_SENTENCE].encode(errors="replace").decode()
    return Response({"error": text}, status=status, headers={"Cache-Control": "no-store"})


def _phrase(sentence: str) -> str:
    """The sentence as a status line can carry it."""
    return "".join(letter if " " <= letter <= "~" else "?" for letter in sentence)[:200]
