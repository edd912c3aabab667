"""The routes for asking for packages, and of the mirrors of binaries.

They come before the registry's, which would take `sync` for a tag.
"""

from django.urls import URLPattern, re_path

from registry import paths
from sync.api import binaries, syncs

_TASK = r"(?P<task_id>[^/\x00]+)"

urlpatterns: list[URLPattern] = [
    # Node, for nvm, fnm, n, node-gyp and others; lists as cnpmcore gives them
    re_path(r"^-/binary/?$", binaries.CategoriesView.as_view()),
    re_path(r"^-/binary/(?P<category>[^/\x00]+)(?:/(?P<path>[^\x00]*))?$", binaries.BinaryView.as_view()),
    # cnpmcore
    re_path(rf"^-/package/{paths.NAME}/syncs/?$", syncs.SyncsView.as_view()),
    re_path(rf"^-/package/{paths.NAME}/syncs/{_TASK}/?$", syncs.TaskView.as_view()),
    re_path(rf"^-/package/{paths.NAME}/syncs/{_TASK}/log/?$", syncs.LogView.as_view()),
    # cnpmjs.org, and `cnpm sync`
    re_path(rf"^{paths.NAME}/(?P<spec>sync)/?$", syncs.OldSyncView.as_view()),
    re_path(rf"^{paths.NAME}/sync/log/{_TASK}/?$", syncs.OldLogView.as_view()),
]
