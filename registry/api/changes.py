"""The changes feed, in words that followers of npm and of cnpmcore understand."""

import re
from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from registry import changes
from registry.api.auth import viewer_of
from registry.api.content import private
from registry.api.install import OpenView
from registry.changes import Change
from registry.errors import Invalid

_USUAL = 1000
_NUMBER = re.compile("-?[0-9]{1,30}")

# What cnpmcore calls them; whatever else happens to a package is a change of its metadata.
_TYPES = {
    "package.version.published": "PACKAGE_VERSION_ADDED",
    "package.version.restored": "PACKAGE_VERSION_ADDED",
    "package.version.unpublished": "PACKAGE_VERSION_REMOVED",
    "package.unpublished": "PACKAGE_UNPUBLISHED",
    "package.tag.set": "PACKAGE_TAG_CHANGED",
    "package.tag.removed": "PACKAGE_TAG_REMOVED",
    "package.owner.added": "PACKAGE_MAINTAINER_CHANGED",
    "package.owner.removed": "PACKAGE_MAINTAINER_REMOVED",
    "package.blocked": "PACKAGE_BLOCKED",
    "package.unblocked": "PACKAGE_UNBLOCKED",
}


class ChangesView(OpenView):
    """`/_changes`."""

    def get(self, request: Request) -> Response:
        """GET: what changed after `since`; a follower goes on from `last_seq`."""
        limit = min(max(_number(request, "limit", _USUAL), 1), changes.MOST)
        page = changes.since(_number(request, "since", 0), limit=limit, viewer=viewer_of(request))
        results = [_result(change) for change in page.changes]
        return private({"results": results, "last_seq": page.upto, "pending": page.pending})


def _result(change: Change) -> dict[str, Any]:
    version = {"version": change.version} if change.version else {}
    return {
        "seq": change.place,
        "id": change.name,
        "type": _TYPES.get(change.kind, "PACKAGE_META_CHANGED"),
        "changes": [{"rev": str(change.revision), **version}],
        **({"deleted": True} if change.is_gone else {}),
    }


def _number(request: Request, key: str, default: int) -> int:
    """What is below zero is zero: cnpmcore's followers begin ten places before the newest (`getInitialSince`)."""
    text = request.GET.get(key, str(default))
    if _NUMBER.fullmatch(text):
        return max(int(text), 0)
    raise Invalid(f"{key} must be a whole number")
