"""What the application did beside answering: `effects() == ["blob of left-pad@1.0.0", ...]`."""

from audit.models import Event
from registry.models import Blob
from sync.models import SyncTask


class Effects:
    """Tells, each time it is called, what came to be since the last time, in sentences and in order.

    Blobs first, under the versions and files that name them, then events, then sync tasks.
    """

    def __init__(self) -> None:
        self._seen = {Blob: 0, Event: 0, SyncTask: 0}
        self()

    def __call__(self) -> list[str]:
        blobs = [_blob(blob) for blob in self._new(Blob)]
        events = [
            f"{event.kind} {event.subject} by {event.actor_name or event.actor_kind}" for event in self._new(Event)
        ]
        return [*blobs, *events, *(f"sync of {task.name}: {task.state}" for task in self._new(SyncTask))]

    def _new(self, model) -> list:
        rows = list(model.objects.filter(pk__gt=self._seen[model]).order_by("pk"))
        if rows:
            self._seen[model] = rows[-1].pk
        return rows


def _blob(blob: Blob) -> str:
    owners = [str(version) for version in blob.version_set.select_related("package").order_by("pk")]
    owners += [str(file) for file in blob.binaryfile_set.select_related("category").order_by("pk")]
    return f"blob of {', '.join(owners)}" if owners else "blob of nothing"
