"""Where packages come from, what an upstream last said of each, and the work that is under way."""

from sync.models.asked import Asked
from sync.models.binary import BinaryCategory, BinaryFile
from sync.models.doubt import Doubt
from sync.models.feed import FeedCursor
from sync.models.freshness import Freshness
from sync.models.migration import Migration
from sync.models.task import SyncTask
from sync.models.upstream import Fallback, ScopeRule, Upstream

__all__ = [
    "Asked",
    "BinaryCategory",
    "BinaryFile",
    "Doubt",
    "Fallback",
    "FeedCursor",
    "Freshness",
    "Migration",
    "ScopeRule",
    "SyncTask",
    "Upstream",
]
