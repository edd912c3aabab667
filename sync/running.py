"""What a sync task does when it runs: ask the upstream, bring in, fetch tarballs, ask for dependencies.

Each step is its own transaction and does nothing when it has been done: after a crash the task begins again and finds
less to do. A worker that lost the task's lease takes no further step.

A task for some versions brings in the metadata of all, which is one document, and the tarballs of these.
"""

import logging
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.utils import timezone

from registry import manifests
from registry.errors import Forbidden, Invalid, NotFound, Unavailable
from registry.models import Blob, Version
from registry.names import PackageName
from sync import arriving, breaker, fetching, leases, queue, routing, tarballs, wake
from sync.http import UpstreamError
from sync.leases import Lease, LeaseLost
from sync.limits import NotYet, Turns
from sync.models import SyncTask, Upstream

logger = logging.getLogger(__name__)

# Told how far a task is: done and total tarballs, and a line of text or an empty one.
Progress = Callable[[int, int, str], None]

_LATELY = timedelta(hours=1)
# Seconds after which a task looks again whether an upstream is still switched off.
_OFF_SECONDS = 60
# Seconds for which a task waits for its upstream's limits before a worker turns to another task.
_PATIENCE = 1.0
_TARBALLS_AT_ONCE = 4
# In how many rounds an upstream may answer with something else than a tarball before its version is skipped: with
# pauses of up to an hour that is about a day. The task is flagged for a human long before, and stays so.
_ROUNDS = 50
# How many troubles of a round stand in the log one by one.
_TOLD = 20


@dataclass(frozen=True, slots=True)
class Result:
    """How a round of a task ended, in a line."""

    is_done: bool
    line: str


@dataclass(slots=True)
class Round:
    """One round of a task, and what came of it so far."""

    task: SyncTask
    name: PackageName
    lease: Lease
    progress: Progress
    fetched: int = 0
    question: str = ""  # for a human, when all that can be done without one is done
    has_given_up: bool = False  # on a tarball that did not come for long
    skipped: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def skip(self, sentence: str) -> None:
        """Leave a version out, and say why."""
        self._tell(f"skipped: {sentence}")
        self.skipped.append(sentence)

    def fail(self, sentence: str) -> None:
        """There is to be another round, because of this."""
        self._tell(sentence)
        self.failures.append(sentence)

    def _tell(self, line: str) -> None:
        if len(self.skipped) + len(self.failures) < _TOLD:
            queue.note(self.task, line)


def run(task_id: int, *, progress: Progress = lambda _done, _total, _line: None) -> Result | None:
    """Run the task if it is ours to run. None: it is not."""
    task = queue.claim(task_id)
    return carry_out(task, progress) if task else None


def work(seconds: float) -> None:
    """Run what is due, the first in order first, until nothing is or the time is over.

    Where there is one task there may be more: each calls another worker, in this process or a different one.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and (task := queue.take()):
        wake.wake()
        carry_out(task)


def carry_out(task: SyncTask, progress: Progress = lambda _done, _total, _line: None) -> Result:
    """Run a claimed task. Failures put it off; what must not be done is refused."""
    try:
        with leases.kept(task) as lease:
            current = Round(task, PackageName.parse(task.name), lease, progress)
            line = _bring_in(current)
    except LeaseLost as error:
        logger.warning("stopped: %s", error)
        return Result(is_done=False, line=str(error))
    except NotYet as error:
        queue.postpone(task, error.sentence, error.retry_after)
        return Result(is_done=False, line=error.sentence)
    except (UpstreamError, Unavailable) as error:
        queue.note(task, f"failed, will be tried again: {error.sentence}")
        queue.put_off(task, error.sentence, retry_after=error.retry_after)
        return Result(is_done=False, line=error.sentence)
    except (Forbidden, Invalid, NotFound) as error:
        queue.note(task, f"refused: {error.sentence}")
        queue.refuse(task, error.sentence)
        return Result(is_done=False, line=error.sentence)
    except Exception as error:
        logger.exception("the sync of %s failed", task.name)
        queue.put_off(task, f"{type(error).__name__}: {error}")
        return Result(is_done=False, line=f"{task.name} failed, and will be tried again; the log says why")
    queue.note(task, line)
    queue.finish(task, skipped=len(current.skipped), needs_human=current.has_given_up)
    return Result(is_done=True, line=line)


def _bring_in(current: Round) -> str:
    """What was done, in a line."""
    task = current.task
    upstream, line = _fetch_packument(current)
    queue.note(task, line)
    current.lease.confirm()
    if upstream is not None:
        _fetch_the_rest(current, upstream)
    if task.with_tarballs and upstream is not None:
        line = f"{line}; {current.fetched} tarballs fetched"
    if current.skipped:
        line = f"{line}; done, with {len(current.skipped)} skipped, first: {current.skipped[0]}"
    if current.question:
        raise Forbidden(f"{line}; {current.question}")
    return line


def _fetch_the_rest(current: Round, upstream: Upstream) -> None:
    if current.task.with_dependencies:
        _ask_for_dependencies(current.task, current.name)
    _skip_absent(current)
    if current.task.with_tarballs:
        _fetch_tarballs(current, upstream)


def _fetch_packument(current: Round) -> tuple[Upstream | None, str]:
    """Ask one upstream after the other as long as they have never heard of the name (`sync.routing` says why).

    Returns which one has it, none when it is here and gone there, and what was done.
    """
    source = routing.route(current.name, wanted=current.task.upstream)
    if not source.listed:
        raise Forbidden(f"not fetched: {source.why}")
    for upstream in source.upstreams:
        if rest := breaker.resting(upstream):
            raise NotYet(f"{upstream} is resting: {upstream.last_error}", retry_after=math.ceil(rest))
        with Turns(upstream, current.lease).take(patience=_PATIENCE):
            answer = fetching.fetch(current.name, upstream, newer_than=time.time())
        if not answer.is_unknown:
            break
    else:
        if source.waits_for:
            raise NotYet(f"not fetched: {source.why}", retry_after=_OFF_SECONDS)
    fresh = fetching.freshness(current.name, upstream)
    if answer.removal:
        current.question = answer.removal.question
        return None, answer.removal.line
    if fresh is None or fresh.is_missing:
        raise NotFound(f"{upstream} has no package {current.name}")
    outcome = answer.outcome
    current.question = outcome.question if outcome else ""
    for sentence in outcome.left_out if outcome else ():
        current.skip(sentence)
    return upstream, f"{outcome.versions} versions: {outcome.plan}" if outcome else "unchanged"


def _skip_absent(current: Round) -> None:
    """Say which of the versions that were asked for are not there."""
    wanted = set(current.task.versions or ())
    for number in sorted(wanted - set(_versions(current).values_list("number", flat=True))):
        current.skip(f"there is no version {number} of {current.name}")


def _versions(current: Round) -> QuerySet[Version]:
    versions = Version.objects.published().filter(package__name=str(current.name))
    wanted = current.task.versions
    return versions if wanted is None else versions.filter(number__in=wanted)


def _fetch_tarballs(current: Round, upstream: Upstream) -> None:
    """Fetch those that are not here, several at once. Raises `Unavailable` when any is to be tried again."""
    missing = _versions(current).filter(Q(blob=None) | Q(blob__state=Blob.State.BAD)).select_related("package")
    versions = list(missing.defer("manifest", "abbreviated", "package__head"))
    turns = Turns(upstream, current.lease)
    with _fetching(versions, upstream, turns) as coming:
        for index, (version, blob) in enumerate(zip(versions, coming, strict=True)):
            current.progress(index, len(versions), f"{version}")
            _receive(current, blob)
            if current.failures and breaker.is_resting_now(upstream):
                break
            current.lease.confirm()
    current.progress(len(versions), len(versions), "")
    if current.failures:
        missed = len(versions) - current.fetched - len(current.skipped)
        raise Unavailable(f"{missed} of {len(versions)} tarballs did not come, first: {current.failures[0]}")


@contextmanager
def _fetching(versions: list[Version], upstream: Upstream, turns: Turns) -> Iterator[list[Future[Blob]]]:
    """The tarballs on their way; those whose turn has not come when the block is left do not come."""

    def fetch(version: Version) -> Blob:
        with turns.take():
            return tarballs.fetch_whole(version, upstream)

    with ThreadPoolExecutor(_TARBALLS_AT_ONCE, thread_name_prefix="sync") as threads:
        try:
            yield [threads.submit(fetch, version) for version in versions]
        finally:
            threads.shutdown(cancel_futures=True)


def _receive(current: Round, blob: Future[Blob]) -> None:
    try:
        blob.result()
    except arriving.NotTaken as error:
        current.skip(error.sentence)
    except (NotFound, arriving.NotGiven) as error:
        if current.task.attempts < _ROUNDS:
            current.fail(error.sentence)
        else:
            current.has_given_up = True
            current.skip(error.sentence)
    except Unavailable as error:
        current.fail(error.sentence)
    else:
        current.fetched += 1


def _ask_for_dependencies(task: SyncTask, name: PackageName) -> None:
    """Tasks for what the latest version needs, but for what is on its way or came lately: circles are common."""
    came_lately = Q(state=SyncTask.State.DONE, finished_at__gte=timezone.now() - _LATELY)
    equal = SyncTask.objects.filter(came_lately | Q(state__in=SyncTask.LIVE), with_dependencies=True)
    if task.with_tarballs:
        equal = equal.filter(with_tarballs=True)
    for dependency in dependencies(name):
        if not equal.filter(name=dependency).exists():
            queue.ask(
                dependency,
                why=f"needed by {name}",
                priority=SyncTask.Priority.DEPENDENCY,
                with_tarballs=task.with_tarballs,
                with_dependencies=True,
            )


def dependencies(name: PackageName) -> list[str]:
    """The names of packages that the latest version of `name` needs from a registry."""
    version = Version.objects.filter(package__name=str(name), disttag__tag="latest").only("abbreviated").first()
    manifest = manifests.parse(version.abbreviated) if version else {}
    fields = [manifest.get("dependencies"), manifest.get("optionalDependencies")]
    needed = [item for field in fields if isinstance(field, dict) for item in field.items()]
    return list(dict.fromkeys(found for alias, spec in needed if (found := _registry_name(alias, spec))))


def _registry_name(alias: str, spec: object) -> str | None:
    """The package that a dependency stands for; None for what comes from git, a URL, a folder or nowhere."""
    if not isinstance(spec, str):
        return None
    target = spec.removeprefix("npm:")
    if target != spec:
        scope = target[:1] if target.startswith("@") else ""
        alias = scope + target.removeprefix("@").partition("@")[0]
    elif ":" in spec or "/" in spec:
        return None
    try:
        return str(PackageName.parse(alias))
    except Invalid:
        return None
