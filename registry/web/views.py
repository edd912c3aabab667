"""Pages for people."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from registry.models import Blob, Package


def root(request: HttpRequest) -> HttpResponse:
    """`GET /`: a browser is sent to the pages; a client is told that this is a registry."""
    if request.method not in ("GET", "HEAD"):
        return JsonResponse({"error": "the root can only be read"}, status=405, headers={"Allow": "GET, HEAD"})
    if "text/html" in request.headers.get("Accept", ""):
        return HttpResponseRedirect("/-/web/")
    return JsonResponse({"registry": "larder", "packages": Package.objects.count()})


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What this is, and how to point a client at it."""
    facts = {
        "base": settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}",
        "scopes": sorted(settings.PRIVATE_SCOPES),
        "published": Package.objects.filter(origin=None).count(),
        "mirrored": Package.objects.exclude(origin=None).count(),
        "tarballs": Blob.objects.stored().count(),
    }
    return render(request, "registry/home.html", facts)
