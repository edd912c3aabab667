"""The npm protocol's routes, grouped by who calls them."""

from django.urls import URLPattern, re_path

from registry import paths
from registry.api import (
    access,
    attestations,
    batch,
    changes,
    downloads,
    install,
    orgs,
    owners,
    package,
    people,
    profile,
    search,
    stars,
    tags,
    teams,
    tokens,
    weblogin,
)

urlpatterns: list[URLPattern] = [
    # npm login, whoami, ping
    re_path(r"^-/ping/?$", people.PingView.as_view()),
    re_path(r"^-/whoami/?$", people.WhoamiView.as_view()),
    re_path(r"^-/user/org\.couchdb\.user:(?P<username>[^/\x00]+)/?$", people.UserView.as_view()),
    re_path(r"^-/user/org\.couchdb\.user:(?P<username>[^/\x00]+)/-rev/(?P<rev>[^/]+)$", people.UserView.as_view()),
    re_path(r"^-/user/token/(?P<secret>[^/]+)$", people.TokenView.as_view()),
    re_path(r"^-/v1/login/?$", weblogin.LoginView.as_view()),
    re_path(r"^-/v1/login/done/(?P<secret>[^/\x00]+)$", weblogin.DoneView.as_view(), name="web-login-done"),
    # npm profile
    re_path(r"^-/npm/v1/user/?$", profile.ProfileView.as_view()),
    # npm token; cnpmcore has granular tokens at addresses of their own
    re_path(r"^-/npm/v1/tokens/?$", tokens.TokensView.as_view()),
    re_path(r"^-/npm/v1/tokens/gat/?$", tokens.GranularTokensView.as_view()),
    re_path(r"^-/npm/v1/tokens/(?:token|gat)/(?P<word>[^/\x00]+)/?$", tokens.TokenView.as_view()),
    # npm dist-tag
    re_path(rf"^-/package/{paths.NAME}/dist-tags/?$", tags.DistTagsView.as_view()),
    re_path(rf"^-/package/{paths.NAME}/dist-tags/(?P<tag>[^/\x00]+)$", tags.DistTagView.as_view()),
    # npm owner
    re_path(rf"^-/package/{paths.NAME}/owners/?$", owners.OwnersView.as_view()),
    re_path(rf"^-/package/{paths.NAME}/owners/(?P<username>[^/\x00]+)$", owners.OwnerView.as_view()),
    # npm star, stars
    re_path(r"^-/_view/starredByUser$", stars.StarredByUserView.as_view()),
    re_path(r"^-/user/v1/star$", stars.OwnStarsView.as_view()),
    re_path(rf"^-/user/package/{paths.NAME}/star$", stars.PackageStarView.as_view()),
    re_path(r"^-/user/(?P<username>[^/\x00]+)/stars$", stars.UserStarsView.as_view()),
    # npm access
    re_path(rf"^-/package/{paths.NAME}/visibility$", access.VisibilityView.as_view()),
    re_path(rf"^-/package/{paths.NAME}/access$", access.AccessView.as_view()),
    re_path(rf"^-/package/{paths.NAME}/collaborators$", access.CollaboratorsView.as_view()),
    re_path(r"^-/-/package$", access.OwnPackagesView.as_view()),
    re_path(r"^-/user/(?P<username>[^/\x00]+)/package$", access.UserPackagesView.as_view()),
    re_path(r"^-/org/(?P<scope>[^/\x00]+)/package$", access.ScopePackagesView.as_view()),
    # npm org, and team create and ls
    re_path(r"^-/org/?$", orgs.OrgsView.as_view()),
    re_path(r"^-/org/(?P<org>[^/\x00]+)/?$", orgs.OrgView.as_view()),
    re_path(r"^-/org/(?P<org>[^/\x00]+)/(?:user|member)/?$", orgs.MembersView.as_view()),
    re_path(r"^-/org/(?P<org>[^/\x00]+)/member/(?P<username>[^/\x00]+)$", orgs.MemberView.as_view()),
    re_path(r"^-/org/(?P<org>[^/\x00]+)/member/(?P<username>[^/\x00]+)/team$", teams.TeamsOfMemberView.as_view()),
    re_path(r"^-/org/(?P<org>[^/\x00]+)/team/?$", teams.TeamsView.as_view()),
    # npm team, npm access grant and revoke
    re_path(r"^-/team/(?P<org>[^/\x00]+)/(?P<team>[^/\x00]+)/?$", teams.TeamView.as_view()),
    re_path(r"^-/team/(?P<org>[^/\x00]+)/(?P<team>[^/\x00]+)/user/?$", teams.TeamMembersView.as_view()),
    re_path(r"^-/team/(?P<org>[^/\x00]+)/(?P<team>[^/\x00]+)/package/?$", teams.TeamPackagesView.as_view()),
    # npm publish --provenance, and what npm audit signatures asks for; pnpm publish --batch
    re_path(rf"^-/npm/v1/attestations/{paths.NAME}@(?P<number>[^/@\x00]+)$", attestations.AttestationsView.as_view()),
    re_path(r"^-/(?:pnpm/v1|pnpr/v0)/publish/?$", batch.BatchView.as_view()),
    # npm unpublish, npm owner
    re_path(rf"^{paths.NAME}/-rev/(?P<rev>[^/\x00]+)/?$", package.RevisionView.as_view()),
    *[
        re_path(rf"^{pattern}/-rev/(?P<rev>[^/\x00]+)/?$", package.TarballRevisionView.as_view())
        for pattern in paths.TARBALLS
    ],
    # npm search
    re_path(r"^-/v1/search/?$", search.SearchView.as_view()),
    re_path(r"^-/all(?:/since)?/?$", search.AllView.as_view()),
    # Mirrors that follow what changes here
    re_path(r"^_changes/?$", changes.ChangesView.as_view()),
    # Downloads, which the public registry has on a host of its own
    re_path(
        r"^downloads/(?P<shape>point|range)/(?P<period>[^/\x00]+)(?:/(?P<names>[^\x00]+?))?/?$",
        downloads.DownloadsView.as_view(),
    ),
    re_path(rf"^versions/{paths.NAME}/(?P<period>last-week)/?$", downloads.VersionDownloadsView.as_view()),
    # npm install, npm publish, npm deprecate
    *[re_path(rf"^{pattern}$", install.TarballView.as_view()) for pattern in paths.TARBALLS],
    re_path(rf"^{paths.PACKUMENT}$", package.PackageView.as_view()),
    re_path(rf"^{paths.MANIFEST}$", tags.SpecView.as_view()),
]
