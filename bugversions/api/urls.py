"""Routes of this app, grouped by who calls them."""

from django.urls import URLPattern, re_path

from bugversions.api import audit, node, repacked
from registry import paths

urlpatterns: list[URLPattern] = [
    # npm audit, and what npm install asks on its way
    re_path(r"^-/npm/v1/security/advisories/bulk/?$", audit.BulkView.as_view()),
    re_path(r"^-/npm/v1/security/audits(?:/quick)?/?$", audit.TreeView.as_view()),
    # npm install, where a rule has a tarball repacked
    re_path(rf"^-/repacked/{paths.NAME}/(?P<beginning>[0-9a-f]{{32}})/{paths.FILE}$", repacked.RepackedView.as_view()),
    # scripts, and tools that have a list of Node's releases of their own
    re_path(r"^-/safe-node/?$", node.SafeNodeView.as_view()),
]
