"""The downloads API, as the public registry has it on a host of its own."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response

from registry import access, downloads
from registry.api.auth import viewer_of
from registry.api.install import OpenView
from registry.downloads import Days, Period
from registry.errors import Invalid
from registry.names import PackageName

_MAX_NAMES = 128
_HEADERS = {"Cache-Control": "private, no-store"}


class DownloadsView(OpenView):
    """`/downloads/point/:period[/:package[,:package…]]`, and `range`, which has each day."""

    def get(self, request: Request, shape: str, period: str, names: str = "") -> Response:
        """GET: of everything, of one package, or of several, with null for those that are not here."""
        days, viewer = downloads.period(period), viewer_of(request)
        if not names:
            return Response(_SHAPES[shape](downloads.of_all(days, viewer=viewer), days), headers=_HEADERS)
        wanted = [PackageName.parse(name) for name in names.split(",")]
        if len(wanted) > _MAX_NAMES:
            raise Invalid(f"ask for the downloads of {_MAX_NAMES} packages at a time")
        counted = downloads.by_day([str(name) for name in wanted], days, viewer=viewer)
        told = {
            name: None if counts is None else {**_SHAPES[shape](counts, days), "package": name}
            for name, counts in counted.items()
        }
        if len(wanted) == 1 and told[str(wanted[0])] is None:
            access.hide(wanted[0])
        return Response(told if len(wanted) > 1 else told[str(wanted[0])], headers=_HEADERS)


class VersionDownloadsView(OpenView):
    """`/versions/:package/last-week`."""

    def get(self, request: Request, name: str, period: str) -> Response:
        """GET: of each version that has any."""
        package = PackageName.parse(name)
        counts = downloads.by_version(package, downloads.period(period), viewer=viewer_of(request))
        return Response({"package": str(package), "downloads": counts}, headers=_HEADERS)


def _point(counts: Days, days: Period) -> dict[str, Any]:
    return {"downloads": sum(counts.values()), **_ends(days)}


def _range(counts: Days, days: Period) -> dict[str, Any]:
    each = [{"downloads": counts.get(day, 0), "day": day.isoformat()} for day in days.days()]
    return {"downloads": each, **_ends(days)}


def _ends(days: Period) -> dict[str, Any]:
    return {"start": days.start.isoformat(), "end": days.end.isoformat()}


_SHAPES = {"point": _point, "range": _range}
