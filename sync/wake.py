"""The nudge after somebody asked for a package: a worker looks now, and not at the next beat.

It may be lost, or left out because one was just given: workers also look by the clock, and find the rows.
"""

import logging

from django.conf import settings
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from audit.wake import Throttle
from sync import shared

logger = logging.getLogger(__name__)

_nudges = Throttle(seconds=1)
_complaints = Throttle(seconds=60)


def wake() -> None:
    """Nudge a worker, at most once a second. A broker that is away fails nothing, nor is one that hangs waited for."""
    path: str = settings.SYNC.get("WAKE", "")
    if not path or shared.is_resting() or not _nudges.admits():
        return
    try:
        import_string(path)()
    except (OperationalError, OSError) as error:
        if _complaints.admits():
            logger.warning("no worker could be called, the next beat will do: %s", error)
