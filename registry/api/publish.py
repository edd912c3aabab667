"""What `npm publish` sends, read as a stream and handed to the verb."""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from rest_framework.request import Request
from rest_framework.response import Response

from audit.actors import Actor
from registry import blobs, bodies, publishing, semver
from registry.api.content import body_stream
from registry.bodies import Attachment, BodyLimits, PublishDocument
from registry.errors import Invalid
from registry.models import Version
from registry.names import PackageName
from registry.submissions import Submission
from registry.tags import check_name

_ACCESS = {None: None, "public": False, "restricted": True}


def read_body(request: Request) -> PublishDocument:
    """The body as far as it is small, and its tarballs in files; whoever reads it closes it."""
    limits = BodyLimits(metadata_bytes=settings.MAX_METADATA_BYTES, attachment_bytes=settings.MAX_TARBALL_BYTES)
    return bodies.read_document(body_stream(request), spool_dir=blobs.spool_folder(), limits=limits)


def publish(name: PackageName, document: PublishDocument, *, actor: Actor) -> Response:
    """Publish the version in a document that is read already; whoever read it closes it."""
    version = publishing.publish(submission(name, document.document, document.attachments), actor=actor)
    return Response({"ok": True, "id": str(name), "rev": rev(version)}, status=201)


def rev(version: Version) -> str:
    """What stands for the state that a publish has made. No client looks at it."""
    return f"{version.pk}-{version.number}"


def submission(name: PackageName, body: Mapping[str, Any], tarballs: Mapping[str, Attachment]) -> Submission:
    """The one version in a publish document, in any client's dialect. Raises `Invalid`."""
    if body.get("name") != str(name):
        raise Invalid(f'the body is for "{body.get("name")}", the URL for "{name}": they must be one package')
    number, manifest = _only_version(body)
    if len(tarballs) != 1:
        raise Invalid("publish sends one tarball in _attachments; this body has " + str(len(tarballs)))
    if manifest.get("name") != str(name):
        raise Invalid(f'the manifest is for "{manifest.get("name")}", the URL for "{name}"')
    [tarball] = tarballs.values()
    return Submission(
        name, number, manifest, _tags(body, number), tarball,
        readme=_readme(manifest) or _readme(body), is_restricted=_is_restricted(body), bundle=_bundle(body),
    )  # fmt: skip


def _only_version(body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    versions = body.get("versions")
    if not isinstance(versions, dict) or len(versions) != 1:
        raise Invalid("publish sends exactly one version in versions")
    [(key, manifest)] = versions.items()
    number = semver.clean(key)
    if not isinstance(manifest, dict) or number is None or semver.clean(str(manifest.get("version"))) != number:
        raise Invalid(f'"{key}" is not a version that npm knows, or not the one in its manifest')
    return number, manifest


def _tags(body: Mapping[str, Any], number: str) -> tuple[str, ...]:
    tags = body.get("dist-tags", {})
    if not isinstance(tags, dict):
        raise Invalid("dist-tags must be an object")
    mine = tuple(tag for tag, wanted in tags.items() if semver.clean(str(wanted)) == number)
    for tag in mine:
        check_name(tag)
    return mine


def _readme(of: Mapping[str, Any]) -> str | None:
    """npm, pnpm and bun have it in the manifest, yarn berry beside the versions, npm 6 and yarn 1 in both places."""
    readme = of.get("readme")
    return readme if isinstance(readme, str) else None


def _is_restricted(body: Mapping[str, Any]) -> bool | None:
    access = body.get("access")
    if not isinstance(access, str | None) or access not in _ACCESS:
        raise Invalid(f'access is "{access}": it is public or restricted')
    return _ACCESS[access]


def _bundle(body: Mapping[str, Any]) -> str | None:
    """The provenance, a string of JSON where a tarball would be base64."""
    attached = body["_attachments"].items()
    found = [entry.get("data") for name, entry in attached if name.endswith(".sigstore") and isinstance(entry, dict)]
    if len(found) > 1 or not all(isinstance(data, str) for data in found):
        raise Invalid("publish sends one provenance bundle at most, as a string of JSON")
    return found[0] if found else None
