"""Fetch when asked: what `registry.upstream.OnMiss` is with upstreams.

A reader waits for an upstream only as long as that is worth it: until the answer when nothing is here, and for a short
budget when what is here can be served. The fetch goes on by itself in either case.
"""

import logging
import math
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import replace

from django.conf import settings

from registry.errors import Forbidden, NotFound, Unavailable
from registry.models import Blob, Version
from registry.names import PackageName
from registry.upstream import Delivery
from sync import apply, attesting, breaker, fetching, queue, routing, tarballs
from sync.fetching import Answer
from sync.http import UpstreamError
from sync.models import Freshness, ScopeRule, SyncTask, Upstream
from sync.threads import Threads, waiting

logger = logging.getLogger(__name__)

# Seconds for which a stale answer is given without another look, while an upstream is slow or ill.
_STALE_SECONDS = 5.0
# Seconds within which a version that is asked for and unknown does not cause another look upstream.
_RECHECK_SECONDS = 1.0

_threads = Threads(16, "packument")
_guard = threading.Lock()
_fetches: dict[tuple[int, str], Future[Answer]] = {}


class PullThrough:
    """Implements `OnMiss`."""

    def refresh(self, name: PackageName, *, wanting: str | None = None) -> float | None:
        """Fetch the packument unless what is here is current; `wanting` makes it older sooner."""
        source = routing.route(name)
        said: list[Answer] = []
        for upstream in source.upstreams:
            said.append(self._ask(name, upstream, is_here=source.is_here, wanting=wanting))
            if not said[-1].is_unknown:
                break
        return min((answer.until for answer in said), default=None)  # any of them may come to know the name

    def tarball(self, version: Version) -> Delivery | Blob:
        """Fetch the tarball."""
        name = version.package.parsed_name
        upstream = routing.route(name).upstream
        if upstream is None:
            raise NotFound(f"the tarball of {version} is not here")
        return tarballs.fetch(version, upstream)

    def has(self, name: PackageName) -> bool:
        """Ask the upstreams, and believe nobody else."""
        source = routing.route(name)
        if source.mode == ScopeRule.Mode.MIGRATE and source.upstream is not None:
            raise Forbidden(f"{name} is brought over from {source.upstream}: publish it there until that is cut over")
        for upstream in source.upstreams:
            if not self._wait(name, upstream, is_here=False, newer_than=time.time()).is_unknown:
                return apply.is_mirrored(name)  # if it is here and not mirrored, somebody was faster with publishing it
        return False

    def attestations(self, name: PackageName, number: str) -> list[tuple[str, str]]:
        """Ask the upstream that the package comes from."""
        return attesting.attestations(name, number)

    def _ask(self, name: PackageName, upstream: Upstream, *, is_here: bool, wanting: str | None) -> Answer:
        asked_at = time.time()
        fresh = fetching.freshness(name, upstream)
        if fresh is not None:
            said = fetching.remembered(fresh)
            if wanting is not None and not fresh.is_missing:
                said = replace(said, until=min(said.until, fresh.checked_at.timestamp() + _RECHECK_SECONDS))
            if fresh.checked_at.timestamp() <= asked_at < said.until:
                self._require_use(name, upstream, fresh, is_here)
                return said
        seen_at = fresh.checked_at.timestamp() if fresh else 0.0
        return self._wait(name, upstream, is_here=is_here, newer_than=seen_at)

    def _require_use(self, name: PackageName, upstream: Upstream, fresh: Freshness, is_here: bool) -> None:
        if fresh.refusal and not fresh.is_missing and not is_here:
            raise Unavailable(f"{name} could not be taken from {upstream}: {fresh.refusal}", retry_after=30)

    def _wait(self, name: PackageName, upstream: Upstream, *, is_here: bool, newer_than: float) -> Answer:
        if rest := breaker.resting(upstream):
            return self._stale(name, upstream, is_here, upstream.last_error, rest)
        patience = settings.UPSTREAM_BUDGET_SECONDS if is_here else settings.UPSTREAM_TIMEOUT_SECONDS
        try:
            with waiting.take():
                return _join(name, upstream, newer_than).result(timeout=patience)
        except Unavailable:
            if is_here:
                return self._stale(name, upstream, is_here, "too many wait for the upstream")
            raise
        except FutureTimeout:
            return self._stale(name, upstream, is_here, f"{upstream} is slow")
        except UpstreamError as error:
            is_here = is_here or apply.is_here(name)  # published here in the meantime
            if is_here:
                queue.ask(str(name), why=error.sentence, priority=SyncTask.Priority.MISS)
            return self._stale(name, upstream, is_here, error.sentence, error.retry_after)

    def _stale(
        self,
        name: PackageName,
        upstream: Upstream,
        is_here: bool,
        why: str,
        retry_after: float | None = None,
    ) -> Answer:
        if is_here:
            logger.warning("%s is served as it is here: %s", name, why)
            return Answer(time.time() + _STALE_SECONDS)
        raise Unavailable(
            f"{name} is not here, and {upstream} cannot be asked now ({why}): try again",
            retry_after=math.ceil(retry_after or 10),
        )


def _join(name: PackageName, upstream: Upstream, newer_than: float) -> Future[Answer]:
    """The fetch that is under way in this process, or a new one: who waits for it costs no thread and no request."""
    key = (upstream.pk, str(name))
    with _guard:
        found = _fetches.get(key)
        if found is None:
            found = _fetches[key] = _threads.submit(fetching.fetch, name, upstream, newer_than=newer_than)
            found.add_done_callback(lambda _: _fetches.pop(key))
    return found
