"""Many versions in one request, all or nothing: `pnpm publish --recursive --batch`."""

from collections.abc import Iterator

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry import publishing
from registry.api.auth import writer_of
from registry.api.publish import read_body, rev, submission
from registry.bodies import PublishDocument
from registry.errors import Forbidden, Invalid, NotFound
from registry.names import PackageName
from registry.submissions import Submission


class BatchView(APIView):
    """`/-/pnpm/v1/publish`, and `/-/pnpr/v0/publish`, which is what pnpm calls it from 11.28 on."""

    def put(self, request: Request) -> Response:
        """PUT: publish the versions in `packages`, or none of them."""
        actor = writer_of(request)
        with read_body(request) as document:
            try:
                versions = publishing.publish_all(list(_submissions(document)), actor=actor)
            except NotFound as error:  # pnpm would say that this registry knows no batches
                raise Forbidden(error.sentence) from error
        packages = [{"id": version.package.name, "rev": rev(version)} for version in versions]
        return Response({"ok": True, "packages": packages}, status=201)


def _submissions(document: PublishDocument) -> Iterator[Submission]:
    bodies = document.document.get("packages")
    if not isinstance(bodies, list) or not bodies:
        raise Invalid("send the documents that npm publish would send, one or more, as a list in packages")
    for place, body in enumerate(bodies):
        if not isinstance(body, dict) or not isinstance(body.get("name"), str):
            raise Invalid(f"number {place + 1} in packages is not a document with a name")
        name = PackageName.parse(body["name"])
        with publishing.blaming(name):
            one = submission(name, body, document.attachments_at("packages", place))
        yield one
