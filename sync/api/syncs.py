"""Asking for a package over HTTP, and watching it come, as clients of cnpmcore and of cnpmjs.org do.

States are told in cnpmcore's words. Its client stops when it sees `success` with a line that it has not seen before:
the log ends with a line that comes with the state.
"""

from typing import Any

from django.http import HttpResponse
from rest_framework.request import Request
from rest_framework.response import Response

from registry import jsontext, semver
from registry.api.auth import actor_of, viewer_of
from registry.api.content import base_url, private
from registry.api.install import OpenView
from registry.api.tags import SpecView
from registry.errors import Forbidden, Invalid
from registry.names import PackageName
from sync import asking
from sync.models import SyncTask

_TYPE = "sync_package"
_STATES = {
    SyncTask.State.WAITING: "waiting",
    SyncTask.State.RUNNING: "processing",
    SyncTask.State.DONE: "success",
}
_FAILED = "fail"


class SyncsView(OpenView):
    """`/-/package/:pkg/syncs`."""

    def put(self, request: Request, name: str) -> Response:
        """PUT: ask for the package, as the body says."""
        body = _object(request.data)
        if body.get("syncDownloadData"):
            raise Forbidden("counts of downloads elsewhere are not fetched: leave syncDownloadData out")
        task = asking.ask(
            PackageName.parse(name),
            actor=actor_of(request),
            source=_text(body, "registryName"),
            versions=_versions(body.get("specificVersions")),
            with_dependencies=not body.get("skipDependencies"),
        )
        return private({"ok": True, **_told(task)}, status=201)


class TaskView(OpenView):
    """`/-/package/:pkg/syncs/:id`."""

    def get(self, request: Request, name: str, task_id: str) -> Response:
        """GET: how far it is."""
        task = _task(request, name, task_id)
        return private({"ok": True, **_told(task), "logUrl": _log_url(request, task), "error": task.error or None})


class LogView(OpenView):
    """`/-/package/:pkg/syncs/:id/log`."""

    def get(self, request: Request, name: str, task_id: str) -> HttpResponse:
        """GET: what it has noted so far."""
        log = _log(_task(request, name, task_id))
        response = HttpResponse(log.encode(errors="replace"), content_type="text/plain; charset=utf-8")
        response["Cache-Control"] = "private, no-store"
        return response


class OldSyncView(SpecView):
    """`/:pkg/sync`: asked for as cnpmjs.org has it; otherwise the tag `sync`, which is like any other."""

    def put(self, request: Request, name: str, spec: str) -> Response:
        """PUT: ask for the package; `nodeps=true`: without what it needs."""
        with_dependencies = request.GET.get("nodeps") != "true"
        task = asking.ask(PackageName.parse(name), actor=actor_of(request), with_dependencies=with_dependencies)
        return private({"ok": True, "logId": str(task.pk)}, status=201)


class OldLogView(OpenView):
    """`/:pkg/sync/log/:id`."""

    def get(self, request: Request, name: str, task_id: str) -> Response:
        """GET: whether it is over, and what it has noted so far."""
        task = _task(request, name, task_id)
        told = {"syncDone": task.state not in SyncTask.LIVE, "log": _log(task), "error": task.error or None}
        return private({"ok": True, **told, "logUrl": _log_url(request, task)})


def _task(request: Request, name: str, task_id: str) -> SyncTask:
    return asking.find(PackageName.parse(name), task_id, viewer=viewer_of(request))


def _told(task: SyncTask) -> dict[str, str]:
    return {"id": str(task.pk), "type": _TYPE, "state": _state(task)}


def _state(task: SyncTask) -> str:
    return _STATES.get(SyncTask.State(task.state), _FAILED)


def _log(task: SyncTask) -> str:
    """The log, between a line that is there from the start and one that comes when it is over."""
    end = "" if task.state in SyncTask.LIVE else f"{task.finished_at or task.due_at:%H:%M:%S} {_state(task)}\n"
    return f"{task.created_at:%H:%M:%S} asked for\n{task.log}{end}"


def _log_url(request: Request, task: SyncTask) -> str:
    return f"{base_url(request)}/-/package/{PackageName.parse(task.name).url}/syncs/{task.pk}/log"


def _object(body: object) -> dict[str, Any]:
    if body is None or isinstance(body, dict):
        return body or {}
    raise Invalid("the body must be a JSON object, or empty")


def _text(body: dict[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is None or isinstance(value, str):
        return value or None
    raise Invalid(f"{key} must be a string")


def _versions(value: object) -> list[str] | None:
    """The versions that are asked for, a list or, as cnpmcore has it, the JSON text of one; None: all."""
    try:
        numbers = jsontext.decode(value) if isinstance(value, str) else value
        if not numbers:
            return None
        if isinstance(numbers, list) and all(isinstance(number, str) for number in numbers):
            return list(dict.fromkeys(str(semver.Version.parse(number)) for number in numbers))
    except ValueError as error:
        raise Invalid(f"specificVersions cannot be read: {error}") from error
    raise Invalid('specificVersions must be a list of versions, such as ["1.0.0"]')
