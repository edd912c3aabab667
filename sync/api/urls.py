"""The routes for asking for packages. They come before the registry's, which would take `sync` for a tag."""

from django.urls import URLPattern, re_path

from registry import paths
from sync.api import syncs

_TASK = r"(?P<task_id>[^/\x00]+)"

urlpatterns: list[URLPattern] = [
    # cnpmcore
    re_path(rf"^-/package/{paths.NAME}/syncs/?$", syncs.SyncsView.as_view()),
    re_path(rf"^-/package/{paths.NAME}/syncs/{_TASK}/?$", syncs.TaskView.as_view()),
    re_path(rf"^-/package/{paths.NAME}/syncs/{_TASK}/log/?$", syncs.LogView.as_view()),
    # cnpmjs.org, and `cnpm sync`
    re_path(rf"^{paths.NAME}/(?P<spec>sync)/?$", syncs.OldSyncView.as_view()),
    re_path(rf"^{paths.NAME}/sync/log/{_TASK}/?$", syncs.OldLogView.as_view()),
]
