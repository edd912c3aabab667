"""Pages for people."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from audit import context
from audit.actors import Actor
from registry import access, changes
from registry.errors import Unauthenticated
from registry.models import Package, User


def root(request: HttpRequest) -> HttpResponse:
    """`GET /`: a browser is sent to the pages; a client is told that this is a registry."""
    if request.method not in ("GET", "HEAD"):
        return JsonResponse({"error": "the root can only be read"}, status=405, headers={"Allow": "GET, HEAD"})
    if "text/html" in request.headers.get("Accept", ""):
        return HttpResponseRedirect("/-/web/")
    facts: dict[str, Any] = {"registry": "larder"}
    if settings.ANONYMOUS_READ:  # where followers look for the newest change
        facts["update_seq"] = changes.newest()
    return JsonResponse(facts)


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """How to point a client at this registry and, for those who may read it, what is here."""
    viewer, status = _viewer(request), 200
    facts: dict[str, Any] = {"base": settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"}
    try:
        access.require_reader(viewer)
        facts |= _holdings(viewer)
    except Unauthenticated as refusal:
        facts["refusal"], status = refusal.sentence, 401
    response = render(request, "registry/home.html", facts, status=status)
    response["Cache-Control"] = "private, no-store"
    if status == 401:
        response["WWW-Authenticate"] = "Bearer"
    return response


def _viewer(request: HttpRequest) -> Actor:
    """Who reads, by the session of the pages."""
    user = request.user
    known = Actor.user(user.username, user_id=user.pk) if isinstance(user, User) else Actor.anonymous()
    return known.as_of(context.current())


def _holdings(viewer: Actor) -> dict[str, Any]:
    """What is here, as far as `viewer` may know: the number of packages tells that there is one more, too."""
    packages = Package.objects.filter(access.readable(viewer), unpublished_at=None)
    return {
        "scopes": sorted(settings.PRIVATE_SCOPES),
        "published": packages.filter(origin=None).count(),
        "mirrored": packages.exclude(origin=None).count(),
    }
