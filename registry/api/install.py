"""What `npm install` asks for: packuments, manifests, dist-tags, tarballs."""

import re
from collections.abc import Iterator
from typing import IO

from django.conf import settings
from django.http import (
    FileResponse,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
    StreamingHttpResponse,
)
from rest_framework.request import Request
from rest_framework.views import APIView

from registry import blobs, catalog, downloads, keys, negotiation
from registry.api.auth import viewer_of
from registry.api.content import base_url, json_text
from registry.cache import Ready
from registry.names import PackageName
from registry.upstream import Delivery

_CHUNK = 256 << 10
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})|bytes=-([0-9]{1,18})")


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
        )
        if "write" in request.GET:  # what the client is about to change must not come out of a cache
            return _fresh(entry)
        return _unless_current(request, entry) or _with_headers(HttpResponse(entry.body), entry)


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
            response: HttpResponseBase = _pass_on(found)
        else:
            response = _unless_current(request, found) or _send(request, found)
        # Whoever sends a range goes on with a download that was counted when it began.
        if request.method == "GET" and response.status_code in (200, 302) and "HTTP_RANGE" not in request.META:
            downloads.count(str(package), filename)
        return response


def _fresh(entry: Ready) -> HttpResponseBase:
    response = _with_headers(HttpResponse(entry.body), entry)
    if not entry.is_private:
        response["Cache-Control"] = "no-store"
    return response


def _unless_current(request: Request, entry: Ready) -> HttpResponseBase | None:
    conditions = request.META.get("HTTP_IF_NONE_MATCH"), request.META.get("HTTP_IF_MODIFIED_SINCE")
    if not negotiation.is_current(entry.etag, entry.modified, *conditions):
        return None
    response = _with_headers(HttpResponse(status=304), entry)
    del response["Content-Length"]
    return response


def _with_headers(response: HttpResponseBase, entry: Ready) -> HttpResponseBase:
    for header, value in entry.headers:
        response[header] = value
    return response


def _pass_on(delivery: Delivery) -> StreamingHttpResponse:
    """Bytes that are still being verified. Nobody may cache them as whole before their last one has come."""
    response = StreamingHttpResponse(delivery.chunks, content_type="application/octet-stream")
    response["Content-Length"] = str(delivery.size)
    response["Cache-Control"] = (
        "public, immutable, max-age=31536000" if settings.ANONYMOUS_READ else "private, no-store"
    )
    return response


def _send(request: Request, entry: Ready) -> HttpResponseBase:
    if entry.path is None and settings.S3_REDIRECT:
        response: HttpResponseBase = HttpResponseRedirect(blobs.url(entry.sha512))
        response["Cache-Control"] = "no-store"
        return response
    if entry.path is not None and settings.ACCEL_PREFIX:
        response = _with_headers(HttpResponse(), entry)
        response["X-Accel-Redirect"] = f"{settings.ACCEL_PREFIX}/{keys.blob(entry.sha512)}"
        del response["Content-Length"]
        return response
    wanted = _range(request, entry)
    if wanted is not None:
        return _part(entry, *wanted)
    response = _with_headers(FileResponse(blobs.read(entry.sha512)), entry)
    del response["Content-Disposition"]  # Django would have it saved under the name that the file has in the store
    return response


def _range(request: Request, entry: Ready) -> tuple[int, int] | None:
    """First and last byte of the one range that is asked for; None: send it all (RFC 9110, 14.2 allows that)."""
    found = _RANGE.fullmatch(request.META.get("HTTP_RANGE", "").strip())
    is_same_file = request.META.get("HTTP_IF_RANGE", entry.etag) == entry.etag
    if not found or not is_same_file or request.method != "GET":
        return None
    size = int(dict(entry.headers)["Content-Length"])
    first, last, suffix = found.groups()
    if suffix:
        return (max(0, size - int(suffix)), size - 1)
    return (int(first), min(int(last or size), size - 1))


def _part(entry: Ready, first: int, last: int) -> HttpResponseBase:
    size = dict(entry.headers)["Content-Length"]
    if first > last:
        sentence = f"the tarball has {size} bytes; the range is outside of them"
        headers = {"Content-Range": f"bytes */{size}", "Cache-Control": "private, no-store"}
        return JsonResponse({"error": sentence}, status=416, headers=headers)
    file = blobs.read(entry.sha512)
    file.seek(first)
    response = _with_headers(StreamingHttpResponse(_read(file, last - first + 1), status=206), entry)
    response["Content-Length"] = str(last - first + 1)
    response["Content-Range"] = f"bytes {first}-{last}/{size}"
    return response


def _read(file: IO[bytes], size: int) -> Iterator[bytes]:
    with file:
        while size > 0 and (chunk := file.read(min(_CHUNK, size))):
            size -= len(chunk)
            yield chunk
