"""What this app says: the kinds of events it records, on one page."""

from audit.kinds import define

SYNC_REFUSED = define("sync.refused", "the sync of {subject} was refused: {reason}")
