"""An upstream with a changes feed, as npm, cnpmcore and Larder have it."""

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fake_upstream import Answer, FakeUpstream, Request


class FeedingUpstream(FakeUpstream):
    """Tells what changed in the words of `shape`: `npm`, `cnpmcore` or `cnpmjsorg`."""

    def __init__(self, shape: str = "npm", newest: int = 100) -> None:
        super().__init__()
        self.shape = shape
        self.newest = newest
        self.told: list[dict[str, Any]] = []

    def change(self, *names: str, seq: int | None = None, **facts: Any) -> None:
        """Packages changed, one after the other; `seq` gives a change a place of its own, such as one left free."""
        for name in names:
            at = seq if seq is not None else self.newest + 1
            self.newest = max(self.newest, at)
            self.told.append({"seq": at, "id": name, "changes": [{"rev": f"{at}-x"}], **facts})
        self.told.sort(key=lambda one: one["seq"])

    def begin_anew(self) -> None:
        """Forget all that happened, as after a loss of the database."""
        self.told, self.newest = [], 0

    def answer(self, request: Request) -> Answer:
        """The feed, its root, or a package."""
        if self.authorization not in (None, request.headers.get("authorization")):
            return super().answer(request)
        if request.path == "/":
            return _json({"update_seq": self.newest})
        if request.path == "/_changes" and "/_changes" not in self._raw:
            query = parse_qs(urlsplit(request.target).query)
            return _json(self._page(int(query["since"][0]), int(query["limit"][0])))
        return super().answer(request)

    def _page(self, since: int, limit: int) -> dict[str, Any]:
        if self.shape == "cnpmjsorg":
            rows = [one for one in self.told if one["seq"] >= since][:limit]
            return {"results": [{**one, "gmt_modified": _moment(one["seq"])} for one in rows]}
        if self.shape == "cnpmcore":
            return {"results": [one for one in self.told if one["seq"] >= since][:1000]}
        results = [one for one in self.told if one["seq"] > since][:limit]
        return {"results": results, "last_seq": results[-1]["seq"] if results else self.newest}


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(document: Any) -> Answer:
    return Answer(200, {"content-type": "application/json"}, json.dumps(document).encode())
