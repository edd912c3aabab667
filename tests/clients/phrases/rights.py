"""Who may what: owners, visibility, organisations, teams; and stars."""

import json
import re

from tests.clients.phrasebook import Cannot, Chapter, absent
from tests.clients.walks import FRIEND, Walk

RIGHTS = Chapter()

# yarn 1 adds to and takes from the owners in an abbreviated document, which has none: it would leave nobody but the one
# who is added. The registry refuses, since that document has no revision either.
NO_OWNERS = Cannot(
    "does not know the other owners, and would drop them: 409", "owner add {friend} {plain}", "read: try again"
)


@RIGHTS.row("owner add", npm="owner add {friend} {plain}", pnpm="owner add {plain} {friend}", yarn_1=NO_OWNERS)
def owner_add(walk: Walk, said: str) -> None:
    assert walk.maintainers() == {walk.person, FRIEND}


@RIGHTS.row("owner ls", npm="owner ls {plain}", yarn_1="owner list {plain}")
def owner_ls(walk: Walk, said: str) -> None:
    assert all(name in said for name in walk.maintainers())


@RIGHTS.row("owner rm", npm="owner rm {friend} {plain}", pnpm="owner rm {plain} {friend}", yarn_1=NO_OWNERS)
def owner_rm(walk: Walk, said: str) -> None:
    assert walk.maintainers() == {walk.person}


NO_STARS = Cannot("stars were taken out", "unstar", "(?i)unknown command")


@RIGHTS.row("star", npm="star {package}", npm_12=NO_STARS)
def star(walk: Walk, said: str) -> None:
    assert list(walk.get(f"/-/user/{walk.person}/stars")) == [walk.package]


@RIGHTS.row("stars", npm="stars {person}", npm_12=NO_STARS)
def stars(walk: Walk, said: str) -> None:
    assert walk.package in said


@RIGHTS.row("unstar", npm="unstar {package}", npm_12=NO_STARS)
def unstar(walk: Walk, said: str) -> None:
    assert walk.get(f"/-/user/{walk.person}/stars") == {}


NO_ACCESS_YET = Cannot("not implemented yet", "access public", "not implemented yet")


@RIGHTS.row(
    "access public",
    old_npm="access public {hidden}",
    npm="access set status=public {hidden}",
    yarn_1=NO_ACCESS_YET,
)
def access_public(walk: Walk, said: str) -> None:
    assert walk.anyone_gets(f"/{walk.hidden}") == 200


@RIGHTS.row(
    "access restricted",
    old_npm="access restricted {hidden}",
    npm="access set status=private {hidden}",
    yarn_1=NO_ACCESS_YET,
)
def access_restricted(walk: Walk, said: str) -> None:
    assert walk.anyone_gets(f"/{walk.hidden}") in (401, 404)


@RIGHTS.row(
    "access get status",
    old_npm=Cannot("no such command", "access get", "(?i)usage"),
    npm="access get status {hidden}",
    yarn_1=NO_ACCESS_YET,
)
def access_get_status(walk: Walk, said: str) -> None:
    assert re.search("private|restricted", said)


@RIGHTS.row(
    "access list packages",
    old_npm="access ls-packages {person}",
    npm="access list packages {person}",
    yarn_1=NO_ACCESS_YET,
)
def access_list_packages(walk: Walk, said: str) -> None:
    assert walk.package in said
    assert walk.hidden in said


@RIGHTS.row(
    "access list collaborators",
    old_npm="access ls-collaborators {hidden}",
    npm="access list collaborators {hidden}",
    pnpm=Cannot(
        "reads a list where registries answer with a map", "access list collaborators {hidden}", "sequence|not iterable"
    ),
    yarn_1=NO_ACCESS_YET,
)
def access_list_collaborators(walk: Walk, said: str) -> None:
    assert walk.person in said


NO_ORGS = absent("org")


@RIGHTS.row("org set", npm="org set {scope} {friend} developer", old_pnpm=NO_ORGS, pnpm=NO_ORGS)
def org_set(walk: Walk, said: str) -> None:
    assert walk.get(f"/-/org/{walk.scope}/user") == {walk.person: "owner", FRIEND: "developer"}


@RIGHTS.row("org ls", npm="org ls {scope}", old_pnpm=NO_ORGS, pnpm=NO_ORGS)
def org_ls(walk: Walk, said: str) -> None:
    assert FRIEND in said


NO_TEAMS = Cannot("asks at /team/…, where no registry has teams", "team list {team}", "/team/")


@RIGHTS.row("team create", npm="team create {team}", pnpm="team create @{team}", yarn_1=NO_TEAMS)
def team_create(walk: Walk, said: str) -> None:
    assert f"{walk.scope}:crew" in json.dumps(walk.get(f"/-/org/{walk.scope}/team?format=cli"))


@RIGHTS.row("team add", npm="team add {team} {person}", pnpm="team add @{team} {person}", yarn_1=NO_TEAMS)
def team_add(walk: Walk, said: str) -> None:
    assert walk.get(f"/-/team/{walk.scope}/crew/user?format=cli") == [walk.person]


@RIGHTS.row("team ls", npm="team ls {team}", pnpm="team ls @{team}", yarn_1=NO_TEAMS)
def team_ls(walk: Walk, said: str) -> None:
    assert walk.person in said


@RIGHTS.row(
    "access grant",
    npm="access grant read-only {team} {hidden}",
    pnpm="access grant read-only @{team} {hidden}",
    yarn_1=NO_ACCESS_YET,
)
def access_grant(walk: Walk, said: str) -> None:
    assert walk.get(f"/-/team/{walk.scope}/crew/package") == {walk.hidden: "read-only"}


@RIGHTS.row(
    "access revoke",
    npm="access revoke {team} {hidden}",
    pnpm="access revoke @{team} {hidden}",
    yarn_1=NO_ACCESS_YET,
)
def access_revoke(walk: Walk, said: str) -> None:
    assert walk.get(f"/-/team/{walk.scope}/crew/package") == {}


@RIGHTS.row("team rm", npm="team rm {team} {person}", pnpm="team rm @{team} {person}", yarn_1=NO_TEAMS)
def team_rm(walk: Walk, said: str) -> None:
    assert walk.get(f"/-/team/{walk.scope}/crew/user?format=cli") == []


@RIGHTS.row("team destroy", npm="team destroy {team}", pnpm="team destroy @{team}", yarn_1=NO_TEAMS)
def team_destroy(walk: Walk, said: str) -> None:
    assert "crew" not in json.dumps(walk.get(f"/-/org/{walk.scope}/team?format=cli"))


@RIGHTS.row("org rm", npm="org rm {scope} {friend}", old_pnpm=NO_ORGS, pnpm=NO_ORGS)
def org_rm(walk: Walk, said: str) -> None:
    assert walk.get(f"/-/org/{walk.scope}/user") == {walk.person: "owner"}
