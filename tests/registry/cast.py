"""Everybody who can be something to a package, for tables of rights."""

from audit.actors import Actor
from registry import tokens
from registry.models import Grant, Member, Package, Scope, Team, Token, User
from tests.actors import Person

# Who may do what with a package that everybody may read, and with a restricted one.
READS = {
    "anonymous": (200, 404),
    "stranger": (200, 404),
    "maintainer": (200, 200),
    "team reader": (200, 200),
    "team writer": (200, 200),
    "scope owner": (200, 200),
    "operator": (200, 200),
    "read-only token": (200, 200),
    "token for another package": (200, 404),
}
WRITES = READS | {
    "anonymous": (401, 401),
    "stranger": (403, 404),
    "team reader": (403, 403),
    "read-only token": (403, 403),
    "token for another package": (403, 404),
}
OWNS = WRITES | {"team writer": (403, 403)}
LIKES = READS | {"anonymous": (401, 401), "read-only token": (403, 403)}


def gather(name: str = "@acme/pad", *, is_restricted: bool = False) -> dict[str, Person]:
    """A package in a scope with an owner and two teams, and all who have to do with it, or have not."""
    cast = {who: Person(who.replace(" ", "-")).login() for who in WRITES if "token" not in who and who != "anonymous"}
    for version in ("1.0.0", "1.1.0"):
        assert cast["maintainer"].publish(name, version).status == 201
    package = Package.objects.get(name=name)
    scope = Scope.objects.create(name=name.partition("/")[0])
    Member.objects.create(scope=scope, user=_user("scope-owner"), role=Member.Role.OWNER)
    for who, permission in {"team reader": Grant.Permission.READ, "team writer": Grant.Permission.WRITE}.items():
        Member.objects.create(scope=scope, user=_user(cast[who].name))
        team = Team.objects.create(scope=scope, name=who)
        team.members.add(_user(cast[who].name))
        Grant.objects.create(team=team, package=package, permission=permission)
    User.objects.filter(username="operator").update(is_superuser=True)
    restrict(name, is_restricted=is_restricted)
    return {
        **cast,
        "anonymous": Person(),
        "read-only token": with_token("maintainer", kind=Token.Kind.READ_ONLY),
        "token for another package": with_token("maintainer", kind=Token.Kind.GRANULAR, packages=["@acme/other"]),
    }


def restrict(name: str, *, is_restricted: bool = True) -> None:
    """Let only those read the package who have a right to it."""
    Package.objects.filter(name=name).update(is_restricted=is_restricted)


def acting(person: Person) -> Actor:
    """The person as verbs know them."""
    return Actor.user(person.name, user_id=_user(person.name).pk)


def with_token(username: str, **limits: object) -> Person:
    """The person, by a token that has these limits."""
    secret = tokens.issue(_user(username), actor=Actor.system("test"))
    Token.objects.filter(pk=tokens.find(secret).pk).update(**limits)
    return Person(username, secret)


def _user(username: str) -> User:
    return User.objects.get(username=username)
