"""`npm stars`, and `star`, `unstar`, `stars` in pnpm's ways; npm's own `star` is a part of `PUT /:pkg`."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry import stars
from registry.api.auth import actor_of, viewer_of, writer_of
from registry.api.content import private
from registry.api.install import OpenView
from registry.errors import Invalid, Unauthenticated
from registry.names import PackageName

_DONE = {"ok": True}


class StarredByUserView(OpenView):
    """`/-/_view/starredByUser?key="<user>"`: a view of CouchDB, whose keys are JSON."""

    def get(self, request: Request) -> Response:
        """GET: `npm stars <user>`."""
        username = request.GET.get("key", "").strip('"')
        names = stars.starred_by(username, viewer=viewer_of(request))
        return private({"rows": [{"id": name, "key": username, "value": name} for name in names]})


class UserStarsView(OpenView):
    """`/-/user/:user/stars`."""

    def get(self, request: Request, username: str) -> Response:
        """GET: `pnpm stars <user>`, which reads the keys."""
        return private(dict.fromkeys(stars.starred_by(username, viewer=viewer_of(request)), True))


class OwnStarsView(APIView):
    """`/-/user/v1/star`."""

    def get(self, request: Request) -> Response:
        """GET: `pnpm stars`."""
        actor = actor_of(request)
        if actor.user_id is None:
            raise Unauthenticated("you must be signed in to list your stars: run npm login")
        return private(stars.starred_by(actor.name, viewer=actor))

    def put(self, request: Request) -> Response:
        """PUT: `pnpm star`."""
        actor = writer_of(request)
        stars.star(_package(request.data), actor=actor)
        return private(_DONE)

    def delete(self, request: Request) -> Response:
        """DELETE: `pnpm unstar`, with a body."""
        actor = writer_of(request)
        stars.unstar(_package(request.data), actor=actor)
        return private(_DONE)


class PackageStarView(APIView):
    """`/-/user/package/:pkg/star`: what pnpm tries next."""

    def put(self, request: Request, name: str) -> Response:
        """PUT: star it."""
        stars.star(PackageName.parse(name), actor=writer_of(request))
        return private(_DONE)

    def delete(self, request: Request, name: str) -> Response:
        """DELETE: unstar it."""
        stars.unstar(PackageName.parse(name), actor=writer_of(request))
        return private(_DONE)


def _package(body: object) -> PackageName:
    body = body if isinstance(body, dict) else {}
    name = body.get("package", body.get("name"))
    if not isinstance(name, str):
        raise Invalid('say which package: {"package": "<name>"}')
    return PackageName.parse(name)
