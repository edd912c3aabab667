"""Provenance: what a build says about the version that it made, kept and served as the publisher's client sent it.

`npm publish --provenance` sends a Sigstore bundle: a signed statement that names the package and its tarball. Here it
is checked that the statement is of just this version. Its signature is not verified here: that is `npm audit
signatures`, which asks the public transparency log and the authority behind the certificate, so that nobody need
believe a registry.
"""

import base64
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from audit.actors import Actor
from registry import catalog, jsontext, manifests, semver, upstream
from registry.errors import Invalid, NotFound
from registry.models import Attestation, Version
from registry.names import PackageName
from registry.packuments import Flavour

_URI = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Attested:
    """A bundle whose statement is of the version that it came with."""

    predicate_type: str
    bundle: str


def inspect(bundle: str, *, name: PackageName, number: str, sha512: str) -> Attested:
    """The bundle, when its statement is of this version and this tarball. Raises `Invalid`."""
    statement = _statement(bundle)
    subject, predicate_type = statement.get("subject"), statement.get("predicateType")
    if not (isinstance(subject, list) and len(subject) == 1 and isinstance(subject[0], dict)):
        raise Invalid("the provenance must have one subject, the package that is published")
    purl, digest = subject[0].get("name"), subject[0].get("digest")
    if not isinstance(purl, str) or not _is_of(purl, name, number):
        raise Invalid(f"the provenance is of {str(purl)[:300]}, not of {name}@{number}: make one for this version")
    if not isinstance(digest, dict) or digest.get("sha512") != sha512:
        raise Invalid(f"the provenance of {name}@{number} is of another tarball: make one for the tarball that is sent")
    if not isinstance(predicate_type, str) or not _URI.fullmatch(predicate_type):
        raise Invalid("the provenance has no predicateType, a URI of 255 characters at most, in its statement")
    return Attested(predicate_type, bundle)


def announcement(name: PackageName, number: str, attested: Attested) -> dict[str, Any]:
    """What `dist.attestations` says; clients look there before they ask for the bundles."""
    url = f"/-/npm/v1/attestations/{name.url}@{number}"
    return {"url": url, "provenance": {"predicateType": attested.predicate_type}}


def attestations(name: PackageName, number: str, *, viewer: Actor) -> tuple[str, list[tuple[str, str]]]:
    """The bundles of a version as JSON text, and what caches are told. Whoever may see its manifest may see them."""
    _, caching = catalog.manifest(name, number, Flavour.ABBREVIATED, base="", viewer=viewer)
    rows = Attestation.objects.filter(version__package__name=str(name), version__number=number).order_by("id")
    if not rows:
        _fetch(name, number)
    bundles = [
        jsontext.members([("predicateType", jsontext.encode(row.predicate_type)), ("bundle", row.bundle)])
        for row in rows.all()
    ]
    if not bundles:
        raise NotFound(f"{name}@{number} was published without provenance")
    return jsontext.members([("attestations", f"[{','.join(bundles)}]")]), caching


def _fetch(name: PackageName, number: str) -> None:
    """Keep what the upstream of a mirrored version has, if its manifest says that there is something."""
    version = Version.objects.published().filter(package__name=str(name), number=number).exclude(package__origin=None)
    row = version.only("id", "abbreviated").first()
    dist = manifests.parse(row.abbreviated).get("dist") if row else None
    if row is None or not isinstance(dist, dict) or "attestations" not in dist:
        return
    found = upstream.elsewhere().attestations(name, number)
    Attestation.objects.bulk_create(
        [Attestation(version_id=row.pk, predicate_type=kind, bundle=bundle) for kind, bundle in found],
        ignore_conflicts=True,
    )


def _statement(bundle: str) -> dict[str, Any]:
    """The in-toto statement in a bundle's envelope. npm reads it from there, and the first signature with it."""
    envelope = _object(bundle).get("dsseEnvelope")
    envelope = envelope if isinstance(envelope, dict) else {}
    signatures, payload = envelope.get("signatures"), envelope.get("payload")
    if not (isinstance(signatures, list) and signatures and isinstance(signatures[0], dict)):
        raise Invalid("the provenance has no dsseEnvelope with a signature: send the bundle that sigstore makes")
    try:
        return _object(base64.b64decode(payload if isinstance(payload, str) else "", validate=True).decode())
    except ValueError as error:
        raise Invalid("the payload of the provenance is not base64: send the bundle that sigstore makes") from error


def _object(text: str) -> dict[str, Any]:
    try:
        text.encode()  # half a character is JSON to JavaScript, but no database keeps it
        value = jsontext.decode(text)
    except ValueError as error:
        raise Invalid("the provenance is not JSON: send the bundle that sigstore makes") from error
    if not isinstance(value, dict):
        raise Invalid("the provenance is not a JSON object: send the bundle that sigstore makes")
    return value


def _is_of(purl: str, name: PackageName, number: str) -> bool:
    """Whether a package URL is of this version. It may tell of a repository besides, and of build metadata."""
    package, _, version = unquote(purl.partition("?")[0]).rpartition("@")
    return package == f"pkg:npm/{name}" and semver.clean(version) == number
