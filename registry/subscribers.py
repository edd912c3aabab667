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
