"""What this app hears: documents are built before somebody asks for them, and search knows what is here."""

from audit.models import Event
from audit.subscribers import subscriber
from registry import warming
from registry.searching import indexing


@subscriber("registry.warm", kinds=["package.version.published"], coalesce="subject")
def warm(event: Event) -> None:
    """Build the documents of the package that the event is about, as it is now."""
    warming.warm(event.subject.removeprefix("package:"))


@subscriber("registry.search", kinds=["package.*"], coalesce="subject")
def index(event: Event) -> None:
    """Bring what search knows of the package up to date."""
    indexing.index(event.subject.removeprefix("package:"))
