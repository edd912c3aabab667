"""What this app hears: lists that arrive, rules that want tarballs repacked, holds and freezes that begin and end."""

from audit.actors import Actor
from audit.models import Event
from audit.subscribers import subscriber
from bugversions import clocks, importing, repacking
from bugversions.reading import SOURCE


@subscriber(
    "bugversions.import",
    kinds=["package.mirrored", "package.version.*", "package.rules.changed"],
    coalesce="subject",
)
def arrived(event: Event) -> None:
    """Import it."""
    if event.subject == f"package:{SOURCE}":
        importing.arrived(actor=Actor.system(SOURCE))


@subscriber(
    "bugversions.repack",
    kinds=["bugversion.added", "bugversion.changed", "bugversion.undone", "package.mirrored", "package.rules.changed"],
    coalesce="subject",
)
def repack(event: Event) -> None:
    """Make the tarballs that rules of the package want."""
    repacking.repack(event.subject.removeprefix("package:"))


@subscriber("bugversions.clock", kinds=["hold.*", "freeze.*"])
def apply(event: Event) -> None:
    """Show what came in at the same moment as the hold or the freeze says."""
    clocks.look_again(event.at)
