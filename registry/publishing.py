"""`npm publish`: how a version comes to be.

Bytes first, under the name of their hash; then everything that can be seen, in one transaction. A crash before the
commit leaves at most a blob that no row names, and the janitor takes it (`registry.janitor`).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import (
    access,
    blobs,
    flight,
    jsontext,
    lifecycle,
    owners,
    packuments,
    semver,
    submissions,
    unpublishing,
    upstream,
    visibility,
)
from registry.errors import Forbidden, RegistryError
from registry.events import VERSION_PUBLISHED
from registry.manifests import fragments
from registry.models import Attestation, Blob, DistTag, Grant, Maintainer, Package, Team, Version
from registry.names import PackageName
from registry.submissions import Inspected, Submission

# The team that all people of a scope are in. It may publish every package of the scope, as on the public registry.
_EVERYBODY = "developers"


def publish(submission: Submission, *, actor: Actor) -> Version:
    """Publish one version. Raises a `RegistryError` whose sentence npm shows; then nothing has changed."""
    [version] = publish_all([submission], actor=actor)
    return version


def publish_all(batch: Sequence[Submission], *, actor: Actor) -> list[Version]:
    """Publish all of these versions, or none of them. Returns them by the names of their packages.

    Raises a `RegistryError`, whose sentence names the package to blame when there are several.
    """
    in_order = sorted(batch, key=lambda submission: str(submission.name))  # all who lock several packages do it so
    blame: Callable[[PackageName], AbstractContextManager[object]] = blaming if len(batch) > 1 else nullcontext
    checked, versions = [], []
    for submission in in_order:
        with blame(submission.name):
            checked.append(_checked(submission, actor))
    with ExitStack() as flights:
        _store(checked, flights)
        with transaction.atomic():
            kept = _keep(checked)
            for one in checked:
                with blame(one.submission.name):
                    versions.append(_record(one, kept[one.sha512], actor))
    return versions


@contextmanager
def blaming(name: PackageName) -> Iterator[None]:
    """Begin the sentence of an error with the package that it is about."""
    try:
        yield
    except RegistryError as error:
        error.sentence = f"{name}: {error.sentence}"
        raise


def _checked(submission: Submission, actor: Actor) -> Inspected:
    package = Package.objects.filter(name=str(submission.name)).first()
    access.require_publish(actor, submission.name, package)
    if package is None:
        _require_free(submission.name)
    else:
        _require_change(package, submission, actor)
    return submissions.inspect(submission)


def _require_free(name: PackageName) -> None:
    name.check_new()
    if upstream.elsewhere().has(name):
        raise Forbidden(f"{name} is a package of the upstream registry: publish under a name or scope of your own")


def _require_change(package: Package, submission: Submission, actor: Actor) -> None:
    """Raise unless the version is new, and its publisher may change what else the submission would change.

    The sentence is npm's own: lerna, changesets and others look for it.
    """
    if Version.objects.filter(package=package, number=submission.number).exists():
        raise Forbidden(f"You cannot publish over the previously published versions: {submission.number}.")
    if _changes_access(package, submission) and not access.may_own(actor, package):
        now, wanted = ("restricted", "public") if package.is_restricted else ("public", "restricted")
        raise Forbidden(
            f"only owners of {package} may make it {wanted}, as this publish would: publish it with --access {now} "
            f"(publishConfig.access, npmPublishAccess), or have an owner run npm access set status={wanted}"
        )


def _changes_access(package: Package, submission: Submission) -> bool:
    return package.unpublished_at is None and submission.is_restricted not in (None, package.is_restricted)


def _store(batch: Sequence[Inspected], flights: ExitStack) -> None:
    """Put the tarballs where blobs are. No row names them yet: the flights keep the janitor away from them."""
    paths = {one.sha512: one.submission.tarball.path for one in batch}
    for sha512, path in sorted(paths.items()):  # in one order, so that no two batches wait for each other
        flights.enter_context(flight.single(f"blob {sha512}"))
        blobs.put(path, sha512)


def _keep(batch: Sequence[Inspected]) -> dict[str, Blob]:
    """The rows of the blobs, in the order in which they were stored."""
    digests = {one.sha512: one.submission.tarball.digests for one in batch}
    return {
        sha512: Blob.objects.keep(sha512=sha512, sha1=one.sha1, size=one.size)
        for sha512, one in sorted(digests.items())
    }


def _record(inspected: Inspected, blob: Blob, actor: Actor) -> Version:
    """Everything that can be seen, in the caller's transaction."""
    submission, now = inspected.submission, timezone.now()
    package = _lock_or_create(submission, actor)
    # Others may have been faster than we, with this version or this new name; now that it is locked, nobody is.
    access.require_publish(actor, submission.name, package)
    _require_change(package, submission, actor)
    tags = set(submission.tags)
    if not DistTag.objects.filter(package=package, tag="latest").exists():
        tags.add("latest")
    version = _insert(package, inspected, blob, actor, now)
    for tag in sorted(tags):
        DistTag.objects.update_or_create(package=package, tag=tag, defaults={"version": version})
    head = _head(package, inspected, now, is_latest="latest" in tags)
    Package.objects.filter(pk=package.pk).update(head=jsontext.encode(head), unpublished_at=None)
    lifecycle.touch(package)
    journal.record(VERSION_PUBLISHED, f"package:{package.name}", actor=actor, version=version.number, tags=sorted(tags))
    if _changes_access(package, submission):
        visibility.change(submission.name, actor=actor, is_restricted=submission.is_restricted)
    return version


def _lock_or_create(submission: Submission, actor: Actor) -> Package:
    name, is_restricted = submission.name, submission.is_restricted
    if is_restricted is None:
        is_restricted = settings.DEFAULT_ACCESS != "public"
    rows = Package.objects.select_for_update(no_key=True)
    package, is_new = rows.get_or_create(name=str(name), defaults={"scope": name.scope, "is_restricted": is_restricted})
    if package.unpublished_at is not None:
        access.require_publish(actor, name, package)
        is_new = unpublishing.reopen(package, is_restricted=is_restricted, actor=actor)
    if is_new and actor.user_id is not None:
        Maintainer.objects.create(package=package, user_id=actor.user_id)
    if is_new and name.scope:
        teams = Team.objects.filter(scope__name=name.scope, name=_EVERYBODY)
        Grant.objects.bulk_create(
            Grant(team=team, package=package, permission=Grant.Permission.WRITE) for team in teams
        )
    return package


def _insert(package: Package, inspected: Inspected, blob: Blob, actor: Actor, now: datetime) -> Version:
    name, number = inspected.submission.name, inspected.submission.number
    texts = fragments({key: jsontext.encode(value) for key, value in inspected.manifest(actor).items()}, name, number)
    version = Version.objects.create(
        package=package,
        number=number,
        order_key=semver.Version.parse(number).order_key,
        manifest=texts.full,
        abbreviated=texts.abbreviated,
        readme=inspected.readme or "",
        blob=blob,
        published_at=now,
        published_by_id=actor.user_id,
    )
    if inspected.attested:
        Attestation.objects.create(
            version=version, predicate_type=inspected.attested.predicate_type, bundle=inspected.attested.bundle
        )
    return version


def _head(package: Package, inspected: Inspected, now: datetime, *, is_latest: bool) -> dict[str, Any]:
    moment = lifecycle.moment(now)
    head: dict[str, Any] = jsontext.decode(package.head)
    if not head:
        head = {"_id": package.name, "name": package.name, "dist-tags": None, "versions": None}
    time = head.get("time", {"created": moment, "modified": moment})
    head["time"] = {**time, "modified": moment, inspected.submission.number: moment}
    head["maintainers"] = owners.listed(package)
    return packuments.hoist(head, {**inspected.submission.manifest, "readme": inspected.readme}) if is_latest else head
