"""Gives each request an id and finds out where it comes from.

Read it at the edges (`context.current()`), put it into the actor (`actor.as_of(...)`), pass the actor down.
"""

import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from ipaddress import ip_address
from typing import Any
from uuid import uuid4

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from audit.actors import RequestFacts

_SANE_ID = re.compile(r"[A-Za-z0-9._:=+/@-]{1,64}")
# What proxies put into X-Forwarded-For: an address, some with a port.
_ADDRESS = re.compile(r"\[(?P<bracketed>[^\]]+)\](?::\d+)?|(?P<v4>[\d.]+):\d+|(?P<bare>.+)")

_NO_REQUEST = RequestFacts()
_current: ContextVar[RequestFacts] = ContextVar("audit_request", default=_NO_REQUEST)


def current() -> RequestFacts:
    """The request being answered; empty in a task or on a shell."""
    return _current.get()


class RequestContextMiddleware:
    """Names the request, for the time it takes to answer it, and tells the client the name."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        facts = RequestFacts(request_id=_request_id(request), origin=origin(request.META))
        before = _current.set(facts)
        try:
            response = self.get_response(request)
        finally:
            _current.reset(before)
        response["X-Request-Id"] = facts.request_id
        return response


def _request_id(request: HttpRequest) -> str:
    given: str = request.META.get("HTTP_X_REQUEST_ID", "")
    return given if _SANE_ID.fullmatch(given) else uuid4().hex


def origin(environ: Mapping[str, Any]) -> str:
    """The address of the client of a request, as the outermost proxy that we trust saw it.

    Everything left of that in X-Forwarded-For was written by the client and proves nothing, so the header
    counts only when `AUDIT["TRUSTED_PROXIES"]` says how many proxies stand before us (0 when not set).
    """
    peer = environ.get("REMOTE_ADDR", "")
    proxies: int = getattr(settings, "AUDIT", {}).get("TRUSTED_PROXIES", 0)
    forwarded: str = environ.get("HTTP_X_FORWARDED_FOR", "")
    if proxies < 1 or not forwarded:
        return _address(peer)
    hops = forwarded.split(",")
    return _address(hops[-min(proxies, len(hops))]) or _address(peer)


def _address(text: str) -> str:
    """The address without its port; empty when it is none, as with a Unix socket."""
    match = _ADDRESS.fullmatch(text.strip())
    if match is None:
        return ""
    try:
        return str(ip_address(match["bracketed"] or match["v4"] or match["bare"]))
    except ValueError:
        return ""
