"""What a sync task does when it runs: ask the upstream, bring in, fetch tarballs, ask for dependencies.

Each step is its own transaction and does nothing when it has been done: after a crash the task begins again and finds
less to do.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from registry import manifests
from registry.errors import Forbidden, Invalid, NotFound, Unavailable
from registry.models import Version
from registry.names import PackageName
from sync import apply, breaker, fetching, queue, routing, tarballs
from sync.http import UpstreamError
from sync.models import SyncTask, Upstream

# Told how far a task is: done and total tarballs, and a line of text or an empty one.
Progress = Callable[[int, int, str], None]


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
    if not apply.is_here(name):
        raise NotFound(f"{source.upstream} has no package {name}")
    line = f"{outcome.versions} versions: {outcome.plan}" if outcome else "unchanged"
    queue.note(task, line)
    fetched = _fetch_tarballs(task, name, source.upstream, progress) if task.with_tarballs else 0
    if task.with_dependencies:
        _ask_for_dependencies(task, name)
    return f"{line}; {fetched} tarballs fetched" if task.with_tarballs else line


def _fetch_tarballs(task: SyncTask, name: PackageName, upstream: Upstream, progress: Progress) -> int:
    wanted = Version.objects.published().filter(package__name=str(name), blob=None).select_related("package")
    versions = list(wanted.defer("manifest", "abbreviated", "package__head"))
    for index, version in enumerate(versions):
        progress(index, len(versions), f"{version}")
        tarballs.fetch_whole(version, upstream)
        if not queue.renew(task):
            raise Unavailable("the task was taken over by another worker")
    progress(len(versions), len(versions), "")
    return len(versions)


def _ask_for_dependencies(task: SyncTask, name: PackageName) -> None:
    """Tasks for what the latest version needs, unless it is here already."""
    version = Version.objects.filter(package__name=str(name), disttag__tag="latest").only("abbreviated").first()
    manifest = manifests.parse(version.abbreviated) if version else {}
    needed = {**(manifest.get("dependencies") or {}), **(manifest.get("optionalDependencies") or {})}
    for dependency in needed:
        if not SyncTask.objects.filter(name=dependency, created_at__gte=task.created_at).exists():
            queue.ask(
                dependency, why=f"needed by {name}", priority=SyncTask.Priority.DEPENDENCY,
                with_tarballs=task.with_tarballs, with_dependencies=True,
            )  # fmt: skip
