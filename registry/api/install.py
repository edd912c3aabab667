"""What `npm install` asks for: packuments, manifests, dist-tags, tarballs."""

from django.http import HttpResponse, HttpResponseBase
from rest_framework.request import Request
from rest_framework.views import APIView

from registry import catalog, counting, negotiation
from registry.api.auth import viewer_of
from registry.api.content import base_url, json_text
from registry.api.sending import pass_on, send, unless_current, with_headers
from registry.cache import Ready
from registry.names import PackageName
from registry.upstream import Delivery


class OpenView(APIView):
    """Something that anybody may read: a token that is no good keeps nobody from it."""

    def perform_authentication(self, request: Request) -> None:
        """Not before somebody asks who it is."""


class PackageView(OpenView):
    """`/:pkg`: the packument."""

    def get(self, request: Request, name: str) -> HttpResponseBase:
        """GET and HEAD: the packument, full or abbreviated as `Accept` says."""
        entry = catalog.document(
            PackageName.parse(name),
            negotiation.flavour(request.META.get("HTTP_ACCEPT", "")),
            encoding=negotiation.encoding(request.META.get("HTTP_ACCEPT_ENCODING", "")),
            base=base_url(request),
            viewer=viewer_of(request),
            is_raw=request.GET.get("cache") == "0",  # cnpmcore's word for it: other mirrors say it
        )
        if "write" in request.GET:  # what the client is about to change must not come out of a cache
            return _fresh(entry)
        return unless_current(request, entry) or with_headers(HttpResponse(entry.body), entry)


class ManifestView(OpenView):
    """`/:pkg/:spec`: one version's manifest, by version, dist-tag or range."""

    def get(self, request: Request, name: str, spec: str) -> HttpResponse:
        """GET and HEAD."""
        flavour = negotiation.flavour(request.META.get("HTTP_ACCEPT", ""))
        text, caching = catalog.manifest(
            PackageName.parse(name), spec, flavour, base=base_url(request), viewer=viewer_of(request)
        )
        response = json_text(text, content_type=flavour.content_type)
        for header, value in caching:
            response[header] = value
        response["Vary"] = "Accept, Accept-Encoding"
        return response


class TarballView(OpenView):
    """`/:pkg/-/:file.tgz`, and the shapes that lockfiles of other registries hold."""

    def get(self, request: Request, name: str, filename: str) -> HttpResponseBase:
        """GET and HEAD."""
        package = PackageName.parse(name)
        found = catalog.tarball(package, filename, viewer=viewer_of(request))
        if isinstance(found, Delivery):
            response: HttpResponseBase = pass_on(found)
        else:
            response = unless_current(request, found) or send(request, found)
        counting.count_sent(str(package), filename, request.META, response.status_code)
        return response


def _fresh(entry: Ready) -> HttpResponseBase:
    response = with_headers(HttpResponse(entry.body), entry)
    if not entry.is_private:
        response["Cache-Control"] = "no-store"
    return response
