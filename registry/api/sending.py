"""Sending files: whole or a range, from the store or while they are still on their way here."""

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

from registry import blobs, keys, negotiation
from registry.cache import Ready
from registry.upstream import Delivery

_CHUNK = 256 << 10
_RANGE = re.compile(r"bytes=([0-9]{1,18})-([0-9]{0,18})|bytes=-([0-9]{1,18})")


def unless_current(request: Request, entry: Ready) -> HttpResponseBase | None:
    """304, when the reader has it already."""
    conditions = request.META.get("HTTP_IF_NONE_MATCH"), request.META.get("HTTP_IF_MODIFIED_SINCE")
    if not negotiation.is_current(entry.etag, entry.modified, *conditions):
        return None
    response = with_headers(HttpResponse(status=304), entry)
    del response["Content-Length"]
    return response


def with_headers(response: HttpResponseBase, entry: Ready) -> HttpResponseBase:
    """The response, with what the entry says of itself."""
    for header, value in entry.headers:
        response[header] = value
    return response


def pass_on(delivery: Delivery) -> StreamingHttpResponse:
    """Bytes that are still being verified. Nobody may cache them as whole before their last one has come."""
    headers = {"Content-Length": str(delivery.size), **dict(delivery.headers)}
    return StreamingHttpResponse(delivery.chunks, content_type="application/octet-stream", headers=headers)


def send(request: Request, entry: Ready) -> HttpResponseBase:
    """A blob, or the one range of it that is asked for: by us, by nginx, or by the object store."""
    if entry.path is None and settings.S3_REDIRECT:
        response: HttpResponseBase = HttpResponseRedirect(blobs.url(entry.sha512))
        response["Cache-Control"] = "no-store"
        return response
    if entry.path is not None and settings.ACCEL_PREFIX:
        response = with_headers(HttpResponse(), entry)
        response["X-Accel-Redirect"] = f"{settings.ACCEL_PREFIX}/{keys.blob(entry.sha512)}"
        del response["Content-Length"]
        return response
    wanted = _range(request, entry)
    if wanted is not None:
        return _part(entry, *wanted)
    response = with_headers(FileResponse(blobs.read(entry.sha512)), entry)
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
        sentence = f"the file has {size} bytes; the range is outside of them"
        headers = {"Content-Range": f"bytes */{size}", "Cache-Control": "private, no-store"}
        return JsonResponse({"error": sentence}, status=416, headers=headers)
    file = blobs.read(entry.sha512)
    file.seek(first)
    response = with_headers(StreamingHttpResponse(_read(file, last - first + 1), status=206), entry)
    response["Content-Length"] = str(last - first + 1)
    response["Content-Range"] = f"bytes {first}-{last}/{size}"
    return response


def _read(file: IO[bytes], size: int) -> Iterator[bytes]:
    with file:
        while size > 0 and (chunk := file.read(min(_CHUNK, size))):
            size -= len(chunk)
            yield chunk
