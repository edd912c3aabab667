"""What `npm publish` sends, read as a stream and handed to the verb."""

import re
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from registry import blobs, bodies, publishing, semver
from registry.api.auth import writer_of
from registry.api.content import body_stream
from registry.bodies import BodyLimits, PublishDocument
from registry.errors import Invalid
from registry.names import PackageName
from registry.publishing import Submission

# What npm can ask for: it leaves nothing of a tag to be escaped (npm-package-arg).
_TAG = re.compile(r"(?!\.+\Z)[A-Za-z0-9\-_.!~*'()]{1,214}")


def publish_document(request: Request, name: PackageName) -> Response:
    """`PUT /:pkg` with an attachment."""
    actor = writer_of(request)
    limits = BodyLimits(metadata_bytes=settings.MAX_METADATA_BYTES, attachment_bytes=settings.MAX_TARBALL_BYTES)
    with bodies.read_document(body_stream(request), spool_dir=blobs.spool_folder(), limits=limits) as document:
        version = publishing.publish(_submission(name, document), actor=actor)
    return Response({"ok": True, "id": str(name), "rev": f"{version.pk}-{version.number}"}, status=201)


def _submission(name: PackageName, document: PublishDocument) -> Submission:
    body = document.document
    if body.get("name") != str(name):
        raise Invalid(f'the body is for "{body.get("name")}", the URL for "{name}": they must be one package')
    number, manifest = _only_version(body)
    tarballs = list(document.attachments.values())
    if len(tarballs) != 1:
        raise Invalid("publish sends one tarball in _attachments; this body has " + str(len(tarballs)))
    if manifest.get("name") != str(name):
        raise Invalid(f'the manifest is for "{manifest.get("name")}", the URL for "{name}"')
    return Submission(name, number, manifest, _tags(body, number), tarballs[0])


def _only_version(body: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    versions = body.get("versions")
    if not isinstance(versions, dict) or len(versions) != 1:
        raise Invalid("publish sends exactly one version in versions")
    [(key, manifest)] = versions.items()
    number = semver.clean(key)
    if not isinstance(manifest, dict) or number is None or semver.clean(str(manifest.get("version"))) != number:
        raise Invalid(f'"{key}" is not a version that npm knows, or not the one in its manifest')
    return number, manifest


def _tags(body: dict[str, Any], number: str) -> tuple[str, ...]:
    tags = body.get("dist-tags", {})
    if not isinstance(tags, dict):
        raise Invalid("dist-tags must be an object")
    mine = tuple(tag for tag, wanted in tags.items() if semver.clean(str(wanted)) == number)
    for tag in mine:
        if not _TAG.fullmatch(tag) or semver.is_range(tag):
            raise Invalid(f'"{tag}" cannot be a tag: use letters, digits, "-", "_" and ".", and nothing like a version')
    return mine
