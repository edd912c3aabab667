"""What must hold of a registry at any time, whoever did what to it."""

import hashlib

from django.core.files.storage import storages

from registry import keys
from registry.models import Blob, DistTag, Package, Version
from tests.actors import CORGI, Person


def assert_consistent() -> None:
    """Every package can be read in both flavours, and every version of it has its bytes.

    Bytes that no row names are allowed: a publish that came too late has stored them, and the janitor takes them.
    """
    for blob in Blob.objects.all():
        with storages["blobs"].open(keys.blob(blob.sha512)) as file:
            content = file.read()
        assert (hashlib.sha512(content).hexdigest(), len(content)) == (blob.sha512, blob.size)
    assert not Blob.objects.orphans().exists()
    for package in Package.objects.filter(origin=None, unpublished_at=None):
        _assert_readable(package)


def _assert_readable(package: Package) -> None:
    rows = Version.objects.published().filter(package=package)
    numbers = list(rows.values_list("number", flat=True))
    tags = dict(DistTag.objects.filter(package=package).values_list("tag", "version__number"))
    assert "latest" in tags
    for accept in ("application/json", CORGI):
        document = Person().view(package.name, accept=accept).json()
        assert list(document["versions"]) == numbers
        assert document["dist-tags"] == {tag: number for tag, number in tags.items() if number in numbers}
        for number, manifest in document["versions"].items():
            assert (manifest["name"], manifest["version"]) == (package.name, number)
            assert number in document["time"]
    for number in numbers:
        assert Person().download(package.name, number).status == 200
