"""The organisation acme, everybody who can be something to it, and what they may."""

from registry.models import Token, User
from tests.actors import Person
from tests.registry.cast import with_token

# Who may see its people and teams.
SEES = {
    "anonymous": 401,
    "outsider": 404,
    "member": 200,
    "admin": 200,
    "owner": 200,
    "operator": 200,
    "the owner's read-only token": 200,
    "the owner's automation token": 200,
    "the owner's token for it": 200,
    "the owner's token to see it": 200,
    "the owner's token for another": 404,
    "the operator's plain token": 404,
    "the operator's admin token": 200,
}
# Who may change them; 200 stands for any success.
CHANGES = SEES | {
    "member": 403,
    "the owner's read-only token": 403,
    "the owner's automation token": 403,
    "the owner's token to see it": 403,
}
PEOPLE = ("outsider", "member", "admin", "owner", "operator", "newcomer")


def gather() -> dict[str, Person]:
    """Found acme with its people; `newcomer` is somebody who is to come in."""
    cast = {name: Person(name).login() for name in PEOPLE}
    User.objects.filter(username="operator").update(is_superuser=True)
    for name, role in {"member": "developer", "admin": "admin", "owner": "owner"}.items():
        assert set_member(cast["operator"], "acme", name, role).status == 201
    all_packages = {"kind": Token.Kind.GRANULAR, "packages": None, "scopes": None}
    return {
        "anonymous": Person(),
        **cast,
        "the owner's read-only token": with_token("owner", kind=Token.Kind.READ_ONLY),
        "the owner's automation token": with_token("owner", kind=Token.Kind.AUTOMATION),
        "the owner's token for it": with_token("owner", **all_packages, orgs=["@acme"]),
        "the owner's token to see it": with_token(
            "owner", **all_packages, orgs=["@acme"], orgs_permission=Token.Permission.READ_ONLY
        ),
        "the owner's token for another": with_token("owner", **all_packages, orgs=["@other"]),
        "the operator's plain token": with_token("operator", kind=Token.Kind.PUBLISH),
        "the operator's admin token": with_token("operator", kind=Token.Kind.PUBLISH, is_admin=True),
    }


def operator(name: str = "operator") -> Person:
    """Somebody who runs the registry."""
    person = Person(name).login()
    User.objects.filter(username=name).update(is_superuser=True)
    return person


def set_member(person: Person, org: str, user: object, role: object = "developer"):
    """`npm org set org user role`."""
    return person.send("PUT", f"/-/org/{org}/user", body={"user": user, "role": role})


def remove_member(person: Person, org: str, user: object):
    """`npm org rm org user`."""
    return person.send("DELETE", f"/-/org/{org}/user", body={"user": user})


def create_team(person: Person, team: str, **body: object):
    """`npm team create org:team`."""
    org, _, name = team.partition(":")
    return person.send("PUT", f"/-/org/{org}/team", body={"name": name, **body})


def team_url(team: str, part: str = "") -> str:
    """The path of `org:team`, or of its `user` or `package`."""
    return f"/-/team/{team.replace(':', '/')}" + (f"/{part}" if part else "")


def grant(person: Person, permissions: object, team: str, package: object):
    """`npm access grant permissions org:team package`."""
    return person.send("PUT", team_url(team, "package"), body={"package": package, "permissions": permissions})


def revoke(person: Person, team: str, package: object):
    """`npm access revoke org:team package`."""
    return person.send("DELETE", team_url(team, "package"), body={"package": package})
