"""`npm dist-tag`: names for versions."""

from rest_framework.request import Request
from rest_framework.response import Response

from registry import catalog, tags
from registry.api.auth import viewer_of, writer_of
from registry.api.content import private
from registry.api.install import ManifestView, OpenView
from registry.errors import Invalid, NotFound
from registry.names import PackageName

_DONE = {"ok": True}  # yarn 1 looks for it


class DistTagsView(OpenView):
    """`/-/package/:pkg/dist-tags`."""

    def get(self, request: Request, name: str) -> Response:
        """GET: `npm dist-tag ls`."""
        return private(catalog.tags(PackageName.parse(name), viewer=viewer_of(request)))

    def put(self, request: Request, name: str) -> Response:
        """PUT: have the tags of the body, and no others."""
        actor = writer_of(request)
        tags.replace(PackageName.parse(name), _numbers(request.data), actor=actor)
        return private(_DONE)

    def post(self, request: Request, name: str) -> Response:
        """POST: set the tags of the body, and leave others alone."""
        actor = writer_of(request)
        tags.add(PackageName.parse(name), _numbers(request.data), actor=actor)
        return private(_DONE)


class DistTagView(OpenView):
    """`/-/package/:pkg/dist-tags/:tag`."""

    def get(self, request: Request, name: str, tag: str) -> Response:
        """GET: the version that the tag points at."""
        number = catalog.tags(PackageName.parse(name), viewer=viewer_of(request)).get(tag)
        if number is None:
            raise NotFound(f"{name} has no tag {tag}")
        return private(number)

    def put(self, request: Request, name: str, tag: str) -> Response:
        """PUT: `npm dist-tag add`."""
        return _point(request, name, tag)

    def post(self, request: Request, name: str, tag: str) -> Response:
        """POST: the same, as old clients have it."""
        return _point(request, name, tag)

    def delete(self, request: Request, name: str, tag: str) -> Response:
        """DELETE: `npm dist-tag rm`."""
        actor = writer_of(request)
        tags.remove(PackageName.parse(name), tag, actor=actor)
        return private(_DONE)


class SpecView(ManifestView):
    """`/:pkg/:spec`: read as a manifest, written as a tag."""

    def put(self, request: Request, name: str, spec: str) -> Response:
        """PUT: `npm tag`, which was before there was `dist-tag`."""
        return _point(request, name, spec)


def _point(request: Request, name: str, tag: str) -> Response:
    actor = writer_of(request)
    tags.add(PackageName.parse(name), _numbers({tag: request.data}), actor=actor)
    return private(_DONE)


def _numbers(body: object) -> dict[str, str]:
    if isinstance(body, dict) and body and all(isinstance(number, str) for number in body.values()):
        return body
    raise Invalid('give a tag its version as a JSON string, such as "1.0.0"')
