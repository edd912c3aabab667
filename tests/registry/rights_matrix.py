"""Who may what with which package, at which address: the words of the rules, and every endpoint under one of them.

Four packages: `open` is for everybody; `shut` only for those who own it; `team` besides for a team that reads and one
that publishes; `mine` comes from an upstream, so that everybody reads it and nobody changes it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.actors import CORGI, publish_body

PACKAGES = {"open": "@acme/open", "shut": "@acme/shut", "team": "@acme/team", "upstream's": "pad"}
FOR_EVERYBODY = ("open", "upstream's")


# --- Who --------------------------------------------------------------------------------------------------------------


class Who(NamedTuple):
    """What somebody is. `holds` has what they have with the packages that are ours: nothing, read, write or own."""

    holds: dict[str, str]
    traits: frozenset[str]

    def sees(self, package: str) -> bool:
        """Whether they may read it: what is for everybody, or what they have something with."""
        return package in FOR_EVERYBODY or self.holds[package] != "-"

    def has(self, package: str, *enough: str) -> bool:
        """Whether what they have with it is enough. Nobody has anything with what comes from an upstream."""
        return package in self.holds and self.holds[package] in enough


def _who(holds: str, traits: str = "") -> Who:
    return Who(dict(zip(("open", "shut", "team"), holds.split(), strict=True)), frozenset(traits.split()))


# What they have with `open`, `shut` and `team`. Then: whether we know them at all; whether what they show is for
# changing things, and for changing their account; whether they are in the scope, so that they may make new packages in
# it; whether they see its people, whether they run it; whether they run the registry.
EVERYBODY = {
    "anonymous": _who("- - -"),
    "stranger": _who("- - -", "known changes account"),
    "member of the scope": _who("- - -", "known changes account creates sees"),
    "team that reads": _who("- - read", "known changes account creates sees"),
    "team that publishes": _who("- - write", "known changes account creates sees"),
    "maintainer": _who("own own own", "known changes account"),
    "scope admin": _who("own own own", "known changes account creates sees runs"),
    "scope owner": _who("own own own", "known changes account creates sees runs"),
    "operator": _who("own own own", "known changes account creates sees runs operates"),
    # Tokens of the scope's owner
    "read-only token": _who("read read read", "known sees"),
    "publish token": _who("own own own", "known changes account creates sees runs"),
    "automation token": _who("write write write", "known changes creates sees"),
    "token for the packages": _who("own own own", "known changes"),
    "token to read the packages": _who("read read read", "known"),
    "token for another package": _who("- - -", "known changes"),
    "token for the scope": _who("own own own", "known changes creates"),
    "token for the organisation": _who("- - -", "known changes sees runs"),
    "expired token": _who("- - -"),
    "revoked token": _who("- - -"),
    "token of another network": _who("- - -"),
    # Tokens of the operator
    "operator's plain token": _who("- - -", "known changes account"),
    "operator's admin token": _who("own own own", "known changes account creates sees runs operates"),
}


# --- Rules ------------------------------------------------------------------------------------------------------------

# What somebody gets at an endpoint for a package; 200 stands for what the endpoint gives to those who may.
Rule = Callable[[Who, str], int]


def anybody(_who: Who, _package: str) -> int:
    """There is nothing in it that anybody may not know."""
    return 200


def reader(who: Who, package: str) -> int:
    """Who may read the package is given it. To others there is no such package."""
    return 200 if who.sees(package) else 404


def _change(*enough: str) -> Rule:
    def rule(who: Who, package: str) -> int:
        refused = changer(who, package)
        if refused != 200 or not who.sees(package):
            return refused if refused != 200 else 404
        return 200 if who.has(package, *enough) else 403

    return rule


def changer(who: Who, _package: str) -> int:
    """Whoever changes anything must be known, and show something that is for more than reading."""
    if "known" not in who.traits:
        return 401
    return 200 if "changes" in who.traits else 403


# Who may publish a package may name and deprecate its versions. Who may not see it is not told that it is there.
writer = _change("write", "own")
# Owners say who else may what, and take back what was published.
owner = _change("own")


def liker(who: Who, package: str) -> int:
    """Whoever may read a package and may change anything may like it."""
    refused = changer(who, package)
    return refused if refused != 200 else reader(who, package)


def publisher(who: Who, package: str) -> int:
    """As with `writer`; but who could not make a package of that name is told that, and not whether there is one."""
    answer = writer(who, package)
    return 403 if answer == 404 and "creates" not in who.traits else answer


def batch_publisher(who: Who, package: str) -> int:
    """As with `publisher`; but pnpm takes a 404 to mean that a registry knows no batches."""
    answer = publisher(who, package)
    return 403 if answer == 404 else answer


def known(who: Who, _package: str) -> int:
    """It is about who asks."""
    return 200 if "known" in who.traits else 401


def insider(who: Who, _package: str) -> int:
    """People and teams of a scope are for those who are in it. To others there is no such organisation."""
    if "known" not in who.traits:
        return 401
    return 200 if "sees" in who.traits else 404


def leader(who: Who, package: str) -> int:
    """Owners and admins of a scope, and operators, say who is in it and in its teams."""
    refused = changer(who, package)
    if refused != 200 or "runs" in who.traits:
        return refused
    return 403 if "sees" in who.traits else 404


def granter(who: Who, package: str) -> int:
    """Who gives a team a right needs a say in the scope and in the package."""
    refused = leader(who, package)
    return refused if refused != 200 else owner(who, package)


def operator(who: Who, package: str) -> int:
    """Only those who run the registry may."""
    refused = changer(who, package)
    return refused if refused != 200 or "operates" in who.traits else 403


def account_holder(who: Who, _package: str) -> int:
    """A person's account is changed, and its tokens are listed, with what `npm login` left or is as good as that."""
    if "known" not in who.traits:
        return 401
    return 200 if "account" in who.traits else 403


# --- Endpoints --------------------------------------------------------------------------------------------------------


class Target(NamedTuple):
    """What a row is filled in with: whose package, at which state, and who asks."""

    name: str
    rev: str
    me: str


@dataclass(frozen=True)
class Row:
    """One request to one endpoint. `given` is the status for those who may."""

    rule: Rule
    request: str
    body: Callable[[Target], Any] | None = None
    given: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def filled_in(self, target: Target) -> tuple[str, str]:
        """Method and URL."""
        base = target.name.rpartition("/")[2]
        method, _, url = self.request.partition(" ")
        return method, url.format(name=target.name.replace("/", "%2f"), base=base, rev=target.rev)


def _reads(*requests: str, given: int = 200, **headers: str) -> list[Row]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [Row(reader, request, given=given, headers=named) for request in requests]


def _package_of(target: Target) -> dict[str, str]:
    return {"package": target.name}


READS = [
    *_reads("GET /{name}", "HEAD /{name}", "GET /{name}?write=true", "GET /{name}/"),
    *_reads("GET /{name}", Accept=CORGI),
    *_reads("GET /{name}", "HEAD /{name}", "GET /{name}/-/{base}-1.0.0.tgz", given=304, If_None_Match="*"),
    *_reads("GET /{name}/1.0.0", "GET /{name}/latest", "GET /{name}/%5E1.0.0", "HEAD /{name}/1.0.0"),
    *_reads("GET /{name}/-/{base}-1.0.0.tgz", "HEAD /{name}/-/{base}-1.0.0.tgz"),
    *_reads("GET /{name}/-/{base}-1.0.0.tgz", given=206, Range="bytes=0-9"),
    *_reads("GET /{name}/-/{base}-1.0.0.tgz", given=416, Range="bytes=9999999-"),
    *_reads("GET /{name}/-/@acme/{base}-1.0.0.tgz", "GET /{name}/download/{base}-1.0.0.tgz"),
    *_reads("GET /-/package/{name}/dist-tags", "GET /-/package/{name}/dist-tags/latest"),
    *_reads("GET /-/npm/v1/attestations/{name}@1.0.0"),
    *_reads("GET /-/package/{name}/visibility", "GET /-/package/{name}/access"),
    *_reads("GET /-/package/{name}/collaborators", "GET /-/package/{name}/owners"),
    *_reads("GET /downloads/point/last-week/{name}", "GET /downloads/range/last-week/{name}"),
    *_reads("GET /versions/{name}/last-week"),
]

# They name the packages that somebody may see.
LISTS = [
    Row(anybody, "GET /-/v1/search?text=pads"),
    Row(anybody, "GET /-/_view/starredByUser?key=%22maintainer%22"),
    Row(anybody, "GET /-/user/maintainer/stars"),
    Row(known, "GET /-/user/v1/star"),
]
# They do too, of packages that were published here.
LISTS_OF_OURS = [
    Row(anybody, "GET /-/org/acme/package"),
    Row(anybody, "GET /-/user/maintainer/package"),
    Row(insider, "GET /-/team/acme/guests/package"),
]

CHANGES = [
    Row(publisher, "PUT /{name}", lambda at: publish_body(at.name, "2.0.0")),
    Row(batch_publisher, "PUT /-/pnpm/v1/publish", lambda at: {"packages": [publish_body(at.name, "2.0.0")]}),
    Row(writer, "PUT /{name}", lambda _at: {"versions": {"1.0.0": {"deprecated": "old"}}}),
    Row(writer, "PUT /{name}/beta", lambda _at: '"1.0.0"'),
    Row(writer, "PUT /-/package/{name}/dist-tags", lambda _at: {"latest": "1.0.0"}),
    Row(writer, "POST /-/package/{name}/dist-tags", lambda _at: {"beta": "1.0.0"}),
    Row(writer, "PUT /-/package/{name}/dist-tags/beta", lambda _at: '"1.0.0"'),
    Row(writer, "POST /-/package/{name}/dist-tags/beta", lambda _at: '"1.0.0"'),
    Row(writer, "DELETE /-/package/{name}/dist-tags/beta"),
    Row(owner, "PUT /{name}/-rev/{rev}", lambda _at: {"maintainers": [{"name": "stranger"}]}),
    Row(owner, "PUT /{name}/-rev/{rev}", lambda _at: {"versions": {"1.0.0": {}}}),
    Row(owner, "DELETE /{name}/-rev/{rev}"),
    Row(owner, "DELETE /{name}/-/{base}-1.1.0.tgz/-rev/{rev}"),
    Row(owner, "DELETE /{name}/-/@acme/{base}-1.1.0.tgz/-rev/{rev}"),
    Row(owner, "DELETE /{name}/download/{base}-1.1.0.tgz/-rev/{rev}"),
    Row(owner, "PUT /-/package/{name}/owners", lambda _at: {"user": "stranger"}),
    Row(owner, "DELETE /-/package/{name}/owners/stranger"),
    Row(owner, "POST /-/package/{name}/access", lambda _at: {"access": "restricted"}),
    Row(owner, "POST /-/package/{name}/access", lambda _at: {"access": "public", "publish_requires_tfa": False}),
    Row(granter, "PUT /-/team/acme/guests/package", lambda at: {"package": at.name, "permissions": "read-write"}),
    Row(owner, "DELETE /-/team/acme/guests/package", _package_of),
    Row(liker, "PUT /{name}", lambda at: {"users": {at.me: True}}),
    Row(liker, "PUT /{name}", lambda _at: {"users": {}}),
    Row(liker, "PUT /-/user/v1/star", _package_of),
    Row(liker, "DELETE /-/user/v1/star", _package_of),
    Row(liker, "PUT /-/user/package/{name}/star"),
    Row(liker, "DELETE /-/user/package/{name}/star"),
]

# What is of no package.
SCOPES = [
    Row(insider, "GET /-/org/acme"),
    Row(insider, "GET /-/org/acme/user"),
    Row(insider, "GET /-/org/acme/team"),
    Row(insider, "GET /-/org/acme/member/reader/team"),
    Row(insider, "GET /-/team/acme/guests"),
    Row(insider, "GET /-/team/acme/guests/user"),
    Row(leader, "PUT /-/org/acme/user", lambda _at: {"user": "stranger"}),
    Row(leader, "DELETE /-/org/acme/user", lambda _at: {"user": "member"}),
    Row(leader, "DELETE /-/org/acme/member/member"),
    Row(leader, "PUT /-/org/acme/team", lambda _at: {"name": "testers"}),
    Row(leader, "DELETE /-/team/acme/guests"),
    Row(leader, "PUT /-/team/acme/guests/user", lambda _at: {"user": "member"}),
    Row(leader, "DELETE /-/team/acme/readers/user", lambda _at: {"user": "reader"}),
    Row(operator, "PUT /-/org", lambda _at: {"name": "fresh"}),
    Row(operator, "DELETE /-/org/spare"),
]
ACCOUNTS = [
    Row(known, "GET /-/whoami"),
    Row(known, "GET /-/-/package"),
    Row(anybody, "GET /-/user/org.couchdb.user:maintainer"),
    Row(anybody, "GET /-/user/org.couchdb.user:maintainer/-rev/1"),
    Row(account_holder, "GET /-/npm/v1/user"),
    Row(account_holder, "POST /-/npm/v1/user", lambda _at: {"fullname": "Some Body"}),
    Row(account_holder, "GET /-/npm/v1/tokens"),
    Row(account_holder, "GET /-/npm/v1/tokens/gat"),
    Row(account_holder, "POST /-/npm/v1/tokens", lambda _at: {}, given=400),  # then it asks for the password
    Row(account_holder, "POST /-/npm/v1/tokens/gat", lambda _at: {}, given=400),
    Row(account_holder, "DELETE /-/npm/v1/tokens/token/none", given=404),
]
SHARED_READS = [
    Row(anybody, "GET /downloads/point/last-week"),
    Row(anybody, "GET /-/all", given=410),
    Row(anybody, "GET /_changes"),
]
# Those who are not signed in yet, or not any more, must come through.
DOORS = [
    Row(anybody, "GET /-/ping"),
    Row(anybody, "PUT /-/user/org.couchdb.user:somebody", lambda _at: {}, given=400),
    Row(anybody, "PUT /-/user/org.couchdb.user:somebody/-rev/1", lambda _at: {}, given=400),
    Row(anybody, "DELETE /-/user/token/none"),
    Row(anybody, "POST /-/v1/login", lambda _at: {}, given=404),
    Row(anybody, "GET /-/v1/login/done/none", given=404),
]

OF_A_PACKAGE = [*READS, *CHANGES]
OF_NONE = [*LISTS, *LISTS_OF_OURS, *SCOPES, *ACCOUNTS, *SHARED_READS, *DOORS]
