"""The npm protocol's routes, grouped by who calls them."""

from django.urls import URLPattern, re_path

from registry import paths
from registry.api import install, people

urlpatterns: list[URLPattern] = [
    # npm login, whoami, ping
    re_path(r"^-/ping/?$", people.PingView.as_view()),
    re_path(r"^-/whoami/?$", people.WhoamiView.as_view()),
    re_path(r"^-/user/org\.couchdb\.user:(?P<username>[^/\x00]+)/?$", people.UserView.as_view()),
    re_path(r"^-/user/org\.couchdb\.user:(?P<username>[^/\x00]+)/-rev/(?P<rev>[^/]+)$", people.UserView.as_view()),
    re_path(r"^-/user/token/(?P<secret>[^/]+)$", people.TokenView.as_view()),
    # npm dist-tag
    re_path(rf"^-/package/{paths.NAME}/dist-tags/?$", install.DistTagsView.as_view()),
    # npm install, npm publish
    *[re_path(rf"^{pattern}$", install.TarballView.as_view()) for pattern in paths.TARBALLS],
    re_path(rf"^{paths.PACKUMENT}$", install.PackageView.as_view()),
    re_path(rf"^{paths.MANIFEST}$", install.ManifestView.as_view()),
]
