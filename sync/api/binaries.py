"""Mirrors of binaries over HTTP, with the lists that clients of cnpmcore read."""

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from rest_framework.request import Request
from rest_framework.response import Response

from registry.api.auth import viewer_of
from registry.api.content import base_url
from registry.api.install import OpenView
from registry.api.sending import pass_on, send, unless_current, with_headers
from registry.errors import Invalid
from registry.upstream import Delivery
from sync.binaries import browsing, categories
from sync.binaries.browsing import Entry, Listing

_MOST = 1000


class CategoriesView(OpenView):
    """`/-/binary/`: what is mirrored."""

    def get(self, request: Request) -> Response:
        """GET."""
        base = base_url(request)
        return Response(
            [
                {
                    "name": f"{name}/",
                    "category": f"{name}/",
                    "description": category.description,
                    "distUrl": category.url,
                    "repoUrl": "",
                    "type": "dir",
                    "url": f"{base}/-/binary/{name}/",
                }
                for category in browsing.mirrored(viewer_of(request))
                for name in (category.name, f"{category.name}{categories.SAFE}")
            ]
        )


class BinaryView(OpenView):
    """`/-/binary/:category/…`: a folder's list, or a file."""

    def get(self, request: Request, category: str, path: str | None = None) -> HttpResponseBase:
        """GET and HEAD."""
        found = browsing.read(category, path or "", viewer=viewer_of(request))
        if isinstance(found, Listing):
            return _listed(request, category, found)
        if isinstance(found, Delivery):
            control = browsing.FOR_NOW if settings.ANONYMOUS_READ else "private, no-store"
            return pass_on(replace(found, headers=(("Cache-Control", control),)))
        current = unless_current(request, found)
        if current is not None:
            return current
        return send(request, found) if found.sha512 else with_headers(HttpResponse(found.body), found)


def _listed(request: Request, name: str, found: Listing) -> Response:
    entries = [entry for entry in found.entries if entry.date >= request.GET.get("since", "") or not entry.date]
    base = f"{base_url(request)}/-/binary/{name}"
    told = [_told(found.category.name, base, entry) for entry in entries[: _limit(request)]]
    return Response(told, headers={"Cache-Control": "no-cache"})


def _limit(request: Request) -> int | None:
    text = request.GET.get("limit", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:9]) <= _MOST):
        raise Invalid(f"limit is a whole number from 1 to {_MOST}")
    return int(text)


def _told(category: str, base: str, entry: Entry) -> dict[str, Any]:
    name = entry.path.rstrip("/").rpartition("/")[2] + ("/" if entry.is_folder else "")
    return {
        "id": f"{category}/{entry.path}",
        "category": category,
        "name": name,
        "date": entry.date,
        "type": "dir" if entry.is_folder else "file",
        "size": entry.size,
        "url": f"{base}/{entry.path}",
        "modified": entry.date,
    }
