"""`npm search`."""

from contextlib import suppress

from django.http import HttpResponse
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from registry import access, jsontext, search
from registry.api.auth import viewer_of
from registry.api.content import base_url, json_text
from registry.api.install import OpenView


class SearchView(OpenView):
    """`/-/v1/search`. The weights that npm sends with every search change nothing."""

    def get(self, request: Request) -> HttpResponse:
        """GET: one page of what fits `text`."""
        found = search.find(
            request.GET.get("text", ""),
            size=_number(request, "size", 20),
            start=_number(request, "from", 0),
            base=base_url(request),
            viewer=viewer_of(request),
        )
        answer = {"objects": found.objects, "total": found.total, "time": timezone.now().isoformat()}
        response = json_text(jsontext.encode(answer), content_type="application/json; charset=utf-8")
        response["Cache-Control"] = "private, no-store"
        return response


class AllView(OpenView):
    """`/-/all` and `/-/all/since`, where npm 5 and earlier looked for every package of the registry."""

    def get(self, request: Request) -> Response:
        """GET: that this is gone, and what there is instead."""
        access.require_reader(viewer_of(request))
        sentence = "a list of all packages is no longer given: search with npm 6 or later, or with GET /-/v1/search"
        return Response({"error": sentence}, status=410)


def _number(request: Request, key: str, default: int) -> int:
    with suppress(ValueError):
        return int(request.GET.get(key, default))
    return default
