"""`npm publish`: how a version comes to be.

Bytes first, under the name of their hash; then everything that can be seen, in one transaction. A crash before the
commit leaves at most a blob that no row names, and the janitor takes it (`registry.janitor`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access, blobs, flight, jsontext, lifecycle, semver, tarballs, upstream
from registry.bodies import Attachment
from registry.digests import Integrity
from registry.errors import Forbidden, Invalid
from registry.events import VERSION_PUBLISHED
from registry.manifests import fragments
from registry.models import Blob, DistTag, Maintainer, Package, Version
from registry.names import PackageName
from registry.tarballs import TarballReport

# What a packument's top level shows of its latest version (the public registry does the same).
_HOISTED = (
    "description", "readme", "readmeFilename", "keywords", "license", "homepage", "repository", "bugs", "author",
    "contributors",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client sent: the manifest of one version, the tags for it, and its tarball in a temporary file."""

    name: PackageName
    number: str
    manifest: Mapping[str, Any]
    tags: tuple[str, ...]
    tarball: Attachment


def publish(submission: Submission, *, actor: Actor) -> Version:
    """Publish one version. Raises a `RegistryError` whose sentence npm shows; then nothing has changed."""
    name, tarball = submission.name, submission.tarball
    package = Package.objects.filter(name=str(name)).first()
    access.require_publish(actor, name, package)
    if package is None:
        _require_free(name)
    _require_new(package, submission.number)
    report = _inspect(submission)
    _require_integrity(submission)
    with flight.single(f"blob {tarball.digests.sha512}"):  # the janitor takes no blob that is on its way to a name
        blobs.put(tarball.path, tarball.digests.sha512)
        with transaction.atomic():
            return _record(submission, report, actor)


def _require_free(name: PackageName) -> None:
    name.check_new()
    if upstream.elsewhere().has(name):
        raise Forbidden(f"{name} is a package of the upstream registry: publish under a name or scope of your own")


def _require_new(package: Package | None, number: str) -> None:
    """The sentence is npm's own: lerna, changesets and others look for it."""
    if package and Version.objects.filter(package=package, number=number).exists():
        raise Forbidden(f"You cannot publish over the previously published versions: {number}.")


def _inspect(submission: Submission) -> TarballReport:
    with submission.tarball.path.open("rb") as file:
        report = tarballs.inspect(file, tarballs.TarballLimits())
    packed = report.package_json
    if packed.get("name") != str(submission.name):
        raise Invalid(f'the tarball holds "{packed.get("name")}", not "{submission.name}": pack it again')
    if semver.clean(str(packed.get("version"))) != submission.number:
        raise Invalid(f"the tarball holds version {packed.get('version')}, not {submission.number}: pack it again")
    return report


def _require_integrity(submission: Submission) -> None:
    dist = submission.manifest.get("dist")
    dist = dist if isinstance(dist, dict) else {}
    tarball = submission.tarball
    if dist.get("shasum") not in (None, tarball.digests.sha1):
        raise Invalid("the tarball does not have the shasum that the manifest gives: publish again")
    if tarball.declared_length not in (None, tarball.digests.size):
        raise Invalid(f"the attachment says {tarball.declared_length} bytes and has {tarball.digests.size}")
    if dist.get("integrity") is None:
        return
    expected = Integrity.of({"integrity": dist["integrity"]})
    if expected is None:
        raise Invalid("dist.integrity is no hash that can be checked: send sha512-<base64>")
    checker = expected.checker()
    with submission.tarball.path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checker.update(chunk)
    if not checker.matches():
        raise Invalid("the tarball does not have the integrity that the manifest gives: publish again")


def _record(submission: Submission, report: TarballReport, actor: Actor) -> Version:
    """Everything that can be seen, in the caller's transaction."""
    now = timezone.now()
    package = _lock_or_create(submission.name, actor)
    # Others may have been faster than we, with this version or this new name; now that it is locked, nobody is.
    access.require_publish(actor, submission.name, package)
    _require_new(package, submission.number)
    tags = set(submission.tags)
    if not DistTag.objects.filter(package=package, tag="latest").exists():
        tags.add("latest")
    version = _insert(package, submission, report, actor, now)
    for tag in sorted(tags):
        DistTag.objects.update_or_create(package=package, tag=tag, defaults={"version": version})
    head = _head(package, submission, report, now, is_latest="latest" in tags)
    Package.objects.filter(pk=package.pk).update(head=jsontext.encode(head), unpublished_at=None)
    lifecycle.touch(package)
    journal.record(VERSION_PUBLISHED, f"package:{package.name}", actor=actor, version=version.number, tags=sorted(tags))
    return version


def _lock_or_create(name: PackageName, actor: Actor) -> Package:
    rows = Package.objects.select_for_update(no_key=True)
    package, is_new = rows.get_or_create(name=str(name), defaults={"scope": name.scope})
    if is_new and actor.user_id is not None:
        Maintainer.objects.create(package=package, user_id=actor.user_id)
    return package


def _insert(package: Package, submission: Submission, report: TarballReport, actor: Actor, now: datetime) -> Version:
    digests = submission.tarball.digests
    blob = Blob.objects.keep(sha512=digests.sha512, sha1=digests.sha1, size=digests.size)
    manifest = {key: jsontext.encode(value) for key, value in _manifest(submission, report, actor).items()}
    texts = fragments(manifest, submission.name, submission.number)
    return Version.objects.create(
        package=package,
        number=submission.number,
        order_key=semver.Version.parse(submission.number).order_key,
        manifest=texts.full,
        abbreviated=texts.abbreviated,
        blob=blob,
        published_at=now,
        published_by_id=actor.user_id,
    )


def _manifest(submission: Submission, report: TarballReport, actor: Actor) -> dict[str, Any]:
    """The manifest as it is served: the client's fields, but nothing that only we can know."""
    digests = submission.tarball.digests
    manifest = {key: value for key, value in submission.manifest.items() if key not in ("readme", "_npmUser")}
    manifest["_id"] = f"{submission.name}@{submission.number}"
    manifest["version"] = submission.number
    manifest["_npmUser"] = {"name": actor.name, "email": ""}
    manifest["dist"] = {
        "integrity": digests.integrity,
        "shasum": digests.sha1,
        "fileCount": report.entries,
        "unpackedSize": report.unpacked_size,
    }
    manifest.pop("hasInstallScript", None)
    if report.has_install_script:
        manifest["hasInstallScript"] = True
    return manifest


def _head(
    package: Package, submission: Submission, report: TarballReport, now: datetime, *, is_latest: bool
) -> dict[str, Any]:
    moment = now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
    head: dict[str, Any] = jsontext.decode(package.head)
    if not head:
        head = {"_id": package.name, "name": package.name, "dist-tags": None, "versions": None}
    time = head.get("time", {"created": moment, "modified": moment})
    head["time"] = {**time, "modified": moment, submission.number: moment}
    people = Maintainer.objects.filter(package=package).select_related("user").order_by("id")
    head["maintainers"] = [{"name": one.user.username, "email": one.user.email} for one in people]
    if is_latest:
        shown = {"readme": report.readme, **submission.manifest}
        for key in _HOISTED:
            head.pop(key, None)
            if shown.get(key) is not None:
                head[key] = shown[key]
    return head
