"""`_rev`: which state of a package a client has read. It comes back with what the client changes.

To clients it is opaque. It is the package's revision, and a digest of what the policies hid or rewrote for readers: a
client that takes versions out of a document decides by what it saw, and what it could not see must not count as taken
out.
"""

from registry import policies
from registry.errors import Conflict
from registry.models import Package, Stamp
from registry.policies import Judgement


def of(stamp: Stamp, judgement: Judgement) -> str:
    """The `_rev` of the package as readers see it now."""
    return f"{stamp.revision}-{judgement.view}"


def require_current(package: Package, rev: str | None) -> Judgement:
    """What readers see of the locked `package`. Raises `Conflict` when `rev` is of another state; None is of any."""
    judgement = policies.judge(package.name, package.stamp)
    if rev is not None and rev != of(package.stamp, judgement):
        raise Conflict(f"{package} has changed since it was read: try again")
    return judgement
