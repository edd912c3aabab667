"""The nudge after a commit that makes the drain run now rather than at its next tick.

It may be lost, or left out because one was just given: the drain also runs by the clock, and finds the rows.
"""

import logging
from threading import Lock
from time import monotonic

from django.conf import settings
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)


class Throttle:
    """Lets one caller through per interval in this process, whichever thread it comes from."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._closed_until = float("-inf")
        self._lock = Lock()

    def admits(self) -> bool:
        with self._lock:
            now = monotonic()
            if now < self._closed_until:
                return False
            self._closed_until = now + self._seconds
            return True


_nudges = Throttle(seconds=1)
_complaints = Throttle(seconds=60)


def wake() -> None:
    """Nudges what `AUDIT["WAKE"]` names, at most once a second; never fails the change it follows."""
    path: str = getattr(settings, "AUDIT", {}).get("WAKE", "")
    if not path or not _nudges.admits():
        return
    try:
        import_string(path)()
    except Exception:  # the change is committed; a broker that is down must not turn it into an error
        if _complaints.admits():
            logger.exception("The journal could not wake %s; the next tick of the drain will do", path)
