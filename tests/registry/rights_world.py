"""The packages and the people that `rights_matrix` is about, made anew for each test."""

from datetime import timedelta

from django.utils import timezone

from audit.actors import Actor
from registry import tokens
from registry.models import Attestation, Grant, Maintainer, Member, Package, Scope, Star, Team, Token, User, Version
from registry.searching import indexing
from tests.actors import Person
from tests.registry.cast import with_token
from tests.registry.rights_matrix import PACKAGES

_PEOPLE = {
    "stranger": "stranger",
    "member of the scope": "member",
    "team that reads": "reader",
    "team that publishes": "writer",
    "maintainer": "maintainer",
    "scope admin": "admin",
    "scope owner": "owner",
    "operator": "operator",
}
_ROLES = {"member": "developer", "reader": "developer", "writer": "developer", "admin": "admin", "owner": "owner"}


def make() -> dict[str, Person]:
    """Make the packages; returns everybody."""
    everybody = {"anonymous": Person()}
    for who, username in _PEOPLE.items():
        user = User.objects.create(username=username, is_superuser=who == "operator")
        everybody[who] = Person(username, tokens.issue(user, actor=Actor.system("test"), kind=Token.Kind.SESSION))
    for name in PACKAGES.values():
        _publish(everybody["maintainer"], name)
    Package.objects.filter(name=PACKAGES["upstream's"]).update(origin="npm")
    Maintainer.objects.filter(package__name=PACKAGES["upstream's"]).delete()
    Package.objects.filter(name__in=[PACKAGES["shut"], PACKAGES["team"]]).update(is_restricted=True)
    _make_scope()
    Star.objects.bulk_create(
        Star(package=one, user=user) for one in Package.objects.all() for user in User.objects.all()
    )
    everybody |= _tokens()
    Token.objects.update(last_used_at=timezone.now())  # or each request would note it
    return everybody


def _publish(maintainer: Person, name: str) -> None:
    for number in ("1.0.0", "1.1.0"):
        assert maintainer.publish(name, number, description="Pads.", keywords=["pads"]).status == 201
    version = Version.objects.get(package__name=name, number="1.0.0")
    Attestation.objects.create(version=version, predicate_type="https://slsa.dev/provenance/v1", bundle="{}")
    indexing.index(name)


def _make_scope() -> None:
    """Acme, whose team `guests` has nobody in it and reads everything that is ours."""
    scope, people = Scope.objects.create(name="@acme"), {user.username: user for user in User.objects.all()}
    Scope.objects.create(name="@spare")
    Member.objects.bulk_create(Member(scope=scope, user=people[name], role=role) for name, role in _ROLES.items())
    for name, permission in {"readers": Grant.Permission.READ, "writers": Grant.Permission.WRITE}.items():
        team = Team.objects.create(scope=scope, name=name)
        team.members.add(people[name.removesuffix("s")])
        Grant.objects.create(team=team, package=Package.objects.get(name=PACKAGES["team"]), permission=permission)
    guests = Team.objects.create(scope=scope, name="guests")
    for package in Package.objects.filter(scope="@acme"):
        Grant.objects.create(team=guests, package=package, permission=Grant.Permission.READ)


def _tokens() -> dict[str, Person]:
    kinds, granular = Token.Kind, {"kind": Token.Kind.GRANULAR}
    yesterday, none = timezone.now() - timedelta(days=1), Token.Permission.NO_ACCESS
    ours = [name for package, name in PACKAGES.items() if package != "upstream's"]
    reading = {"permission": Token.Permission.READ_ONLY, "orgs_permission": none}
    limits: dict[str, dict[str, object]] = {
        "read-only token": {"kind": kinds.READ_ONLY},
        "publish token": {"kind": kinds.PUBLISH},
        "automation token": {"kind": kinds.AUTOMATION},
        "token for the packages": {**granular, "packages": ours},
        "token to read the packages": {**granular, "packages": ours, **reading},
        "token for another package": {**granular, "packages": ["@acme/other"]},
        "token for the scope": {**granular, "scopes": ["@acme"]},
        "token for the organisation": {**granular, "permission": none, "orgs": ["@acme"]},
        "expired token": {"expires_at": yesterday},
        "revoked token": {"revoked_at": yesterday},
        "token of another network": {"cidrs": ["10.9.0.0/16"]},
    }
    return {
        **{who: with_token("owner", **terms) for who, terms in limits.items()},
        "operator's plain token": with_token("operator", kind=kinds.PUBLISH),
        "operator's admin token": with_token("operator", kind=kinds.PUBLISH, is_admin=True),
    }
