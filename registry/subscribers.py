"""What this app hears: documents are built before they are asked for, search and caches know what is here."""

from audit.models import Event
from audit.subscribers import subscriber
from registry import cdn, warming
from registry.names import PackageName
from registry.searching import indexing


@subscriber("registry.warm", kinds=["package.version.published"], coalesce="subject")
def warm(event: Event) -> None:
    """Build the documents of the package that the event is about, as it is now."""
    warming.warm(event.subject.removeprefix("package:"))


@subscriber("registry.search", kinds=["package.*"], coalesce="subject")
def index(event: Event) -> None:
    """Bring what search knows of the package up to date."""
    indexing.index(event.subject.removeprefix("package:"))


@subscriber("registry.purge", kinds=["package.*"], coalesce="subject", from_now=True)
def purge(event: Event) -> None:
    """Have caches before us forget what they keep of the package and must not give any more."""
    cdn.forget(PackageName.parse(event.subject.removeprefix("package:")))


@subscriber(
    "registry.purge-restricted",
    kinds=["package.access.changed", "package.rules.changed"],
    coalesce="subject",
    from_now=True,
)
def purge_restricted(event: Event) -> None:
    """The same, of a package that has just been restricted: once, and not at each of its events."""
    cdn.forget_if_restricted(PackageName.parse(event.subject.removeprefix("package:")))


@subscriber("registry.purge-replaced", kinds=["package.tarballs.replaced"], from_now=True)
def purge_replaced(event: Event) -> None:
    """The same, of tarballs in whose place others have come."""
    cdn.forget_tarballs(PackageName.parse(event.subject.removeprefix("package:")), event.facts["versions"])
