"""`pnpm owner`; npm's way to the same is a part of `PUT /:pkg/-rev/:rev`."""

from rest_framework.request import Request
from rest_framework.response import Response

from registry import catalog, documents, owners
from registry.api.auth import viewer_of, writer_of
from registry.api.content import private
from registry.api.install import OpenView
from registry.errors import Invalid
from registry.names import PackageName

_DONE = {"ok": True}


class OwnersView(OpenView):
    """`/-/package/:pkg/owners`."""

    def get(self, request: Request, name: str) -> Response:
        """GET: the owners as the packument names them."""
        stamp = catalog.find(PackageName.parse(name), viewer=viewer_of(request))
        return private(documents.read_head(stamp.id).get("maintainers", []))

    def put(self, request: Request, name: str) -> Response:
        """PUT: one more owner."""
        actor = writer_of(request)
        body = request.data if isinstance(request.data, dict) else {}
        username = body.get("user")
        if not isinstance(username, str):
            raise Invalid('say who becomes an owner: {"user": "<name>"}')
        owners.add(PackageName.parse(name), username, actor=actor)
        return private(_DONE)


class OwnerView(OpenView):
    """`/-/package/:pkg/owners/:user`."""

    def delete(self, request: Request, name: str, username: str) -> Response:
        """DELETE: one owner less."""
        actor = writer_of(request)
        owners.remove(PackageName.parse(name), username, actor=actor)
        return private(_DONE)


def usernames(maintainers: object) -> list[str]:
    """The names in `maintainers` as npm sends it, a list of `{name, email}`. Raises `Invalid`."""
    people = maintainers if isinstance(maintainers, list) else [None]
    names = [one.get("name") if isinstance(one, dict) else None for one in people]
    known = [name for name in names if isinstance(name, str)]
    if len(known) < len(names):
        raise Invalid('maintainers is a list of people: [{"name": "<user>"}]')
    return known
