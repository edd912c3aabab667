"""What tests of unpublishing and of its undoing look at."""

from datetime import timedelta

from django.utils import timezone

from registry.models import Package, Version
from tests.actors import CORGI, Person


def refused(answer, status: int, *words: str) -> None:
    assert answer.status == status, answer.body
    assert all(word in answer.json()["error"] for word in words), answer.body


def assert_nothing_is_served(anyone: Person, name: str, *versions: str) -> None:
    for accept in ("*/*", CORGI):
        refused(anyone.view(name, accept=accept), 404, "not in this registry")
    for version in versions:
        assert anyone.download(name, version).status == 404
        assert anyone.send("GET", f"/{name}/{version}").status == 404
    assert anyone.send("GET", f"/{name}/latest").status == 404
    assert anyone.send("GET", f"/-/package/{name}/dist-tags").status == 404


def long_ago(days: float) -> None:
    """Let everything have been unpublished so long ago, and be as old."""
    moment = timezone.now() - timedelta(days=days)
    Package.objects.exclude(unpublished_at=None).update(unpublished_at=moment)
    Version.objects.exclude(unpublished_at=None).update(unpublished_at=moment)
