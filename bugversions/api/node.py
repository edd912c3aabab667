"""Whether a version of Node is safe, for scripts and for tools that bring their own list of releases."""

from dataclasses import asdict

from rest_framework.request import Request
from rest_framework.response import Response

from bugversions import node
from registry import access
from registry.api.auth import viewer_of
from registry.api.install import OpenView
from registry.errors import Invalid

# Long enough to spare us a build farm's questions, short enough for an incident.
_CACHING = "public, max-age=60"


class SafeNodeView(OpenView):
    """`/-/safe-node`."""

    def get(self, request: Request) -> Response:
        """GET: of one version, or, without one, all ranges that are unsafe."""
        access.require_reader(viewer_of(request))
        asked = request.GET.getlist("version")
        if len(asked) > 1:
            raise Invalid("ask about one version at a time: /-/safe-node?version=22.1.0")
        said = asdict(node.judge(asked[0])) if asked else node.told()
        return Response(said, headers={"Cache-Control": _CACHING})
