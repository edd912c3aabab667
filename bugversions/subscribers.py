"""What this app hears: a new version of the package `bug-versions` has arrived, by whatever road."""

from audit.actors import Actor
from audit.models import Event
from audit.subscribers import subscriber
from bugversions import importing, repacking
from bugversions.reading import SOURCE


@subscriber("bugversions.import", kinds=["package.mirrored", "package.version.published"], coalesce="subject")
def arrived(event: Event) -> None:
    """Import it."""
    if event.subject == f"package:{SOURCE}":
        importing.arrived(actor=Actor.system(SOURCE))


@subscriber(
    "bugversions.repack",
    kinds=["bugversion.added", "bugversion.changed", "bugversion.undone", "package.mirrored"],
    coalesce="subject",
)
def repack(event: Event) -> None:
    """Make the tarballs that rules of the package want."""
    repacking.repack(event.subject.removeprefix("package:"))
