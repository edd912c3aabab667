"""`npm audit` and its kin: answered here, never forwarded.

`/-/npm/v1/security/advisories/bulk` is what npm 7 and later, pnpm from 11, yarn berry, bun and deno ask;
`/-/npm/v1/security/audits` and `…/audits/quick` are what npm 6, pnpm 8 to 10 and yarn 1 do.
"""

import zlib

from django.conf import settings
from django.http import HttpResponse
from rest_framework.request import Request

from bugversions import auditing, reports, trees
from registry import jsontext
from registry.api.auth import viewer_of
from registry.api.content import base_url, body_stream, json_text
from registry.api.install import OpenView
from registry.errors import Invalid, TooLarge

_STEP = 64 << 10


class BulkView(OpenView):
    """`/-/npm/v1/security/advisories/bulk`."""

    def post(self, request: Request) -> HttpResponse:
        """POST: what is known against the versions in the body, `{name: [version, …]}`."""
        asked = _asked(_body(request))
        known = auditing.find(asked, viewer=viewer_of(request), base=base_url(request))
        return _answer(auditing.bulk(known))


class TreeView(OpenView):
    """`/-/npm/v1/security/audits` and `/-/npm/v1/security/audits/quick`, whose answers are the same here."""

    def post(self, request: Request) -> HttpResponse:
        """POST: the report on the tree in the body."""
        nodes = trees.read(_body(request), max_nodes=settings.MAX_AUDIT_NODES, max_depth=settings.MAX_AUDIT_DEPTH)
        viewer = viewer_of(request)
        known = auditing.find(trees.asked(nodes), viewer=viewer, base=base_url(request))
        return _answer(reports.write(nodes, known, auditing.versions_here(known.hits, viewer=viewer)))


def _answer(value: object) -> HttpResponse:
    response = json_text(jsontext.encode(value), content_type="application/json; charset=utf-8")
    response["Cache-Control"] = "private, no-store"
    return response


def _asked(body: object) -> dict[str, list[str]]:
    if not isinstance(body, dict):
        raise Invalid("an audit is a JSON object of names, each with a list of versions")
    return {
        name: [version for version in versions if isinstance(version, str)]
        for name, versions in body.items()
        if isinstance(versions, list)
    }


def _body(request: Request) -> object:
    """The JSON of the body, which npm, bun and yarn 1 compress. Neither form may be larger than the limit."""
    coding = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower()
    if coding not in ("", "identity", "gzip", "x-gzip"):
        raise Invalid(f"the body of an audit may be sent as it is or with gzip, and not with {coding[:50]}")
    stream, limit = body_stream(request), settings.MAX_AUDIT_BYTES
    inflate = zlib.decompressobj(16 + zlib.MAX_WBITS) if coding.endswith("gzip") else None
    text, received = bytearray(), 0
    while chunk := stream.read(_STEP):
        received += len(chunk)
        try:
            text += inflate.decompress(chunk, limit + 1 - len(text)) if inflate else chunk
        except zlib.error as error:
            raise Invalid(f"the body is not gzip: {error}") from error
        if max(received, len(text)) > limit:
            raise TooLarge(f"the body of an audit may have {limit >> 20} MiB at most: LARDER_MAX_AUDIT_MB says so")
    if inflate and not inflate.eof:
        raise Invalid("the body is not whole: its gzip ends too early")
    try:
        return jsontext.decode(bytes(text))
    except ValueError as error:
        raise Invalid(f"the body is not JSON: {error}") from error
