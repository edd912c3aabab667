"""What `npm audit signatures` asks for besides signatures."""

from django.http import HttpResponse
from rest_framework.request import Request

from registry import provenance
from registry.api.auth import viewer_of
from registry.api.content import json_text
from registry.api.install import OpenView
from registry.names import PackageName


class AttestationsView(OpenView):
    """`/-/npm/v1/attestations/:name@:version`."""

    def get(self, request: Request, name: str, number: str) -> HttpResponse:
        """GET: the bundles that came with a version."""
        text, caching = provenance.attestations(PackageName.parse(name), number, viewer=viewer_of(request))
        response = json_text(text, content_type="application/json; charset=utf-8")
        for header, value in caching:
            response[header] = value
        return response
