"""What must hold of a registry at any time, whoever did what to it."""

import hashlib

from django.core.files.storage import storages

from audit import chain, drain
from audit.models import Parked
from registry import keys
from registry.models import Blob, DistTag, Package, Version
from tests.actors import CORGI, Person

NOBODY = Person()


def assert_consistent(reader: Person = NOBODY) -> None:
    """Every package can be read in both flavours, and every version of it has its bytes.

    Bytes that no row names are allowed: a publish that came too late has stored them, and the janitor takes them.
    `reader` is somebody who may read everything that there is.
    """
    for blob in Blob.objects.all():
        with storages["blobs"].open(keys.blob(blob.sha512)) as file:
            content = file.read()
        assert (hashlib.sha512(content).hexdigest(), len(content)) == (blob.sha512, blob.size)
    assert not Blob.objects.orphans().exists()
    for package in _living():
        _assert_readable(package, reader)


def assert_told(reader: Person = NOBODY) -> None:
    """History has no gap, everybody who listens to it has heard it, and search knows each package and no other.

    Nor does a tag point at a tombstone, or a package have nothing else.
    """
    assert not DistTag.objects.filter(package__in=_living()).exclude(version__unpublished_at=None).exists()
    assert all(Version.objects.published().filter(package=package).exists() for package in _living())
    drain.drain_all()
    assert not Parked.objects.exists()
    assert chain.verify().fault == ""
    found = reader.send("GET", "/-/v1/search?text=&size=250").json()
    living = {package.name for package in _living()}
    assert found["total"] == len(living)
    assert {one["package"]["name"] for one in found["objects"]} <= living


def _living() -> list[Package]:
    return list(Package.objects.filter(origin=None, unpublished_at=None))


def _assert_readable(package: Package, reader: Person) -> None:
    rows = Version.objects.published().filter(package=package)
    numbers = list(rows.values_list("number", flat=True))
    tags = dict(DistTag.objects.filter(package=package).values_list("tag", "version__number"))
    assert "latest" in tags
    for accept in ("application/json", CORGI):
        document = reader.view(package.name, accept=accept).json()
        assert list(document["versions"]) == numbers
        assert document["dist-tags"] == {tag: number for tag, number in tags.items() if number in numbers}
        for number, manifest in document["versions"].items():
            assert (manifest["name"], manifest["version"]) == (package.name, number)
            assert number in document["time"]
    for number in numbers:
        assert reader.download(package.name, number).status == 200
