"""What is written to `/:pkg` and `/:pkg/-rev/:rev`: clients publish, deprecate, star, own and unpublish through them.

CouchDB stored whole documents there, and clients still send them. What they want is told by what the body has and how
it differs from what is here, never by headers, and nothing else in it is believed.
"""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from audit.actors import Actor
from registry import deprecating, owners, stars, unpublishing
from registry.api import install, publish
from registry.api.auth import writer_of
from registry.api.content import private
from registry.api.install import OpenView
from registry.api.owners import usernames
from registry.bodies import PublishDocument
from registry.errors import Invalid, NotFound
from registry.names import PackageName

_DONE = {"ok": True, "success": True}  # the second is what yarn 1 looks for


class PackageView(install.PackageView):
    """`/:pkg`: the packument, and what is done to it."""

    def put(self, request: Request, name: str) -> Response:
        """PUT: `npm publish`, `npm deprecate`, `npm star`."""
        actor, package = writer_of(request), PackageName.parse(name)
        with publish.read_body(request) as document:
            if _is_publish(document):
                return publish.publish(package, document, actor=actor)
            body = document.document
        if "versions" in body:
            messages = {number: one.get("deprecated") for number, one in _manifests(body["versions"]).items()}
            deprecating.deprecate(package, messages, rev=_rev(body), actor=actor)
        else:
            _star(package, body.get("users"), actor)
        return private(_DONE)


class RevisionView(OpenView):
    """`/:pkg/-rev/:rev`."""

    def put(self, request: Request, name: str, rev: str) -> Response:
        """PUT: `npm unpublish` of versions, which sends the others; `npm owner`, which sends only the owners."""
        actor, package = writer_of(request), PackageName.parse(name)
        with publish.read_body(request) as document:
            body = document.document
        if "versions" in body:
            unpublishing.unpublish_all_but(package, _manifests(body["versions"]).keys(), rev=rev, actor=actor)
        else:
            owners.replace(package, usernames(body.get("maintainers")), rev=rev, actor=actor)
        return private(_DONE)

    def delete(self, request: Request, name: str, rev: str) -> Response:
        """DELETE: `npm unpublish` of the whole package."""
        actor = writer_of(request)
        unpublishing.unpublish_package(PackageName.parse(name), rev=rev, actor=actor)
        return private(_DONE)


class TarballRevisionView(OpenView):
    """`/:pkg/-/:file.tgz/-rev/:rev`."""

    def delete(self, request: Request, name: str, filename: str, rev: str) -> Response:
        """DELETE: the last step of `npm unpublish`, and for some clients the only one."""
        actor, package = writer_of(request), PackageName.parse(name)
        number = package.version_of(filename)
        if number is None:
            raise NotFound(f"{filename} is not a tarball of {name}: they are named {package.tarball('<version>')}")
        unpublishing.unpublish(package, number, rev=rev, actor=actor)
        return private(_DONE)


def _is_publish(document: PublishDocument) -> bool:
    """Whether the body brings a tarball, or should: a document that was read from a registry has a `_rev`."""
    body = document.document
    return bool(document.attachments) or ("_attachments" in body and "_rev" not in body)


def _rev(body: dict[str, Any]) -> str | None:
    """The state that the client has read, if it says so."""
    rev = body.get("_rev")
    return None if rev is None else str(rev)


def _manifests(versions: object) -> dict[str, dict[str, Any]]:
    """The versions of a document, as it gives them. Raises `Invalid`."""
    if not isinstance(versions, dict) or not all(isinstance(one, dict) for one in versions.values()):
        raise Invalid("versions must be an object of manifests: send the document as it was read, and what you change")
    return versions


def _star(package: PackageName, users: object, actor: Actor) -> None:
    if not isinstance(users, dict):
        raise Invalid("this changes nothing: send a tarball in _attachments, or versions, or users")
    if users.get(actor.name):
        stars.star(package, actor=actor)
    else:
        stars.unstar(package, actor=actor)
