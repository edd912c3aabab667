"""What a sync task does when it runs: ask the upstream, bring in, fetch tarballs, ask for dependencies.

Each step is its own transaction and does nothing when it has been done: after a crash the task begins again and finds
less to do.
"""

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q
from django.utils import timezone

from registry import manifests
from registry.errors import Forbidden, Invalid, NotFound, RegistryError, Unavailable
from registry.models import Blob, Version
from registry.names import PackageName
from sync import breaker, fetching, queue, routing, tarballs
from sync.http import UpstreamError
from sync.models import SyncTask, Upstream

logger = logging.getLogger(__name__)

# Told how far a task is: done and total tarballs, and a line of text or an empty one.
Progress = Callable[[int, int, str], None]

_LATELY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Result:
    """How a round of a task ended, in a line."""

    is_done: bool
    line: str


def run(task_id: int, *, progress: Progress = lambda _done, _total, _line: None) -> Result | None:
    """Run the task if it is ours to run. Failures put it off; what must not be done is refused. None: not ours."""
    task = queue.claim(task_id)
    if task is None:
        return None
    try:
        line = _bring_in(task, progress)
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
    queue.finish(task)
    return Result(is_done=True, line=line)


def _bring_in(task: SyncTask, progress: Progress) -> str:
    name = PackageName.parse(task.name)
    source = routing.route(name)
    if source.upstream is None:
        raise Forbidden(f"not fetched: {source.why}")
    if rest := breaker.resting(source.upstream):
        raise Unavailable(f"{source.upstream} is resting: {source.upstream.last_error}", retry_after=math.ceil(rest))
    outcome = fetching.fetch(name, source.upstream, newer_than=time.time()).outcome
    fresh = fetching.freshness(name, source.upstream)
    if fresh is None or fresh.is_missing:
        raise NotFound(f"{source.upstream} has no package {name}")
    line = f"{outcome.versions} versions: {outcome.plan}" if outcome else "unchanged"
    queue.note(task, line)
    if task.with_dependencies:
        _ask_for_dependencies(task, name)
    fetched = _fetch_tarballs(task, name, source.upstream, progress) if task.with_tarballs else 0
    return f"{line}; {fetched} tarballs fetched" if task.with_tarballs else line


def _fetch_tarballs(task: SyncTask, name: PackageName, upstream: Upstream, progress: Progress) -> int:
    """Fetch those that are not here, and how many came. Raises `Unavailable` when any did not, after all were tried."""
    missing = Q(blob=None) | Q(blob__state=Blob.State.BAD)
    wanted = Version.objects.published().filter(missing, package__name=str(name)).select_related("package")
    versions = list(wanted.defer("manifest", "abbreviated", "package__head"))
    failures: list[RegistryError] = []
    for index, version in enumerate(versions):
        progress(index, len(versions), f"{version}")
        try:
            tarballs.fetch_whole(version, upstream)
        except (NotFound, Unavailable) as error:
            failures.append(error)
            queue.note(task, error.sentence)
        if not queue.renew(task):
            raise Unavailable("the task was taken over by another worker")
    progress(len(versions), len(versions), "")
    if failures:
        raise Unavailable(f"{len(failures)} of {len(versions)} tarballs did not come, first: {failures[0].sentence}")
    return len(versions)


def _ask_for_dependencies(task: SyncTask, name: PackageName) -> None:
    """Tasks for what the latest version needs, but for what is on its way or came lately: circles are common."""
    wishes = {"with_tarballs": task.with_tarballs, "with_dependencies": True}
    came_lately = Q(state=SyncTask.State.DONE, finished_at__gte=timezone.now() - _LATELY)
    equal = SyncTask.objects.filter(came_lately | Q(state__in=SyncTask.LIVE), with_dependencies=True)
    if task.with_tarballs:
        equal = equal.filter(with_tarballs=True)
    for dependency in dependencies(name):
        if not equal.filter(name=dependency).exists():
            why = f"needed by {name}"
            queue.ask(dependency, why=why, priority=SyncTask.Priority.DEPENDENCY, **wishes)


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
