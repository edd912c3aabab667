"""What is handed in to be published, and whether it fits together. Rights and rows are `registry.publishing`'s part."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from audit.actors import Actor
from registry import manifests, provenance, semver, tarballs
from registry.bodies import Attachment
from registry.digests import Integrity
from registry.errors import Invalid
from registry.names import PackageName
from registry.provenance import Attested
from registry.tarballs import TarballReport

# What only we can know, and what has a place of its own.
_NOT_THE_CLIENTS = frozenset({"readme", "_npmUser", "hasInstallScript", "bin"})


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client sent: the manifest of one version, the tags for it, and its tarball in a temporary file."""

    name: PackageName
    number: str
    manifest: Mapping[str, Any]
    tags: tuple[str, ...]
    tarball: Attachment
    readme: str | None = None
    # `--access`; None: a package keeps what it has, and a new one gets what is usual here.
    is_restricted: bool | None = None
    # The text of a Sigstore bundle (`--provenance`).
    bundle: str | None = None


@dataclass(frozen=True, slots=True)
class Inspected:
    """A submission that fits together, and what its tarball and its provenance say."""

    submission: Submission
    report: TarballReport
    attested: Attested | None

    @property
    def sha512(self) -> str:
        """The name of the tarball's blob."""
        return self.submission.tarball.digests.sha512

    @property
    def readme(self) -> str | None:
        """The readme that the client sent, else the one in the tarball."""
        return self.submission.readme or self.report.readme

    def manifest(self, actor: Actor) -> dict[str, Any]:
        """The manifest as it is served: the client's fields, but nothing that only we can know."""
        sent = self.submission
        manifest = {key: value for key, value in sent.manifest.items() if key not in _NOT_THE_CLIENTS}
        commands = manifests.commands(sent.manifest.get("bin"), sent.name.base)
        if commands:
            manifest["bin"] = commands
        if self.report.has_install_script:
            manifest["hasInstallScript"] = True
        manifest["_id"] = f"{sent.name}@{sent.number}"
        manifest["version"] = sent.number
        manifest["_npmUser"] = {"name": actor.name, "email": ""}
        manifest["dist"] = self._dist()
        return manifest

    def _dist(self) -> dict[str, Any]:
        sent, digests = self.submission, self.submission.tarball.digests
        dist = {
            "integrity": digests.integrity,
            "shasum": digests.sha1,
            "fileCount": self.report.entries,
            "unpackedSize": self.report.unpacked_size,
        }
        if self.attested:
            dist["attestations"] = provenance.announcement(sent.name, sent.number, self.attested)
        return dist


def inspect(submission: Submission) -> Inspected:
    """Look into the tarball and the provenance. Raises `Invalid` or `TooLarge` where something disagrees."""
    report = _report(submission)
    _require_integrity(submission)
    name, number, bundle = submission.name, submission.number, submission.bundle
    sha512 = submission.tarball.digests.sha512
    attested = None if bundle is None else provenance.inspect(bundle, name=name, number=number, sha512=sha512)
    return Inspected(submission, report, attested)


def _report(submission: Submission) -> TarballReport:
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
    with tarball.path.open("rb") as file:
        while chunk := file.read(1 << 20):
            checker.update(chunk)
    if not checker.matches():
        raise Invalid("the tarball does not have the integrity that the manifest gives: publish again")
