"""What this app hears: a published version's documents are built before somebody asks for them."""

from audit.models import Event
from audit.subscribers import subscriber
from registry import warming


@subscriber("registry.warm", kinds=["package.version.published"], coalesce="subject")
def warm(event: Event) -> None:
    """Build the documents of the package that the event is about, as it is now."""
    warming.warm(event.subject.removeprefix("package:"))
