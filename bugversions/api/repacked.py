"""Tarballs that a rule has had repacked."""

from django.http import HttpResponseBase
from rest_framework.request import Request

from bugversions import repacking
from registry import catalog, counting
from registry.api.auth import viewer_of
from registry.api.install import OpenView
from registry.api.sending import send, unless_current
from registry.errors import NotFound
from registry.names import PackageName


class RepackedView(OpenView):
    """`/-/repacked/:name/:sha512/:file.tgz`."""

    def get(self, request: Request, name: str, beginning: str, filename: str) -> HttpResponseBase:
        """GET and HEAD: for whoever may have the version's own tarball."""
        package = PackageName.parse(name)
        found = repacking.find(package, beginning, filename)
        if found is None:
            raise NotFound(f"there is no such tarball of {package}: read its document again")
        entry = catalog.other_tarball(package, found.number, found.blob, viewer=viewer_of(request))
        response = unless_current(request, entry) or send(request, entry)
        counting.count_sent(str(package), filename, request.META, response.status_code)
        return response
