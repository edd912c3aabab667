"""Teams: people of one organisation who get rights on packages together. npm calls them `acme:developers`."""

import re

from django.db import transaction

from audit import journal
from audit.actors import Actor
from registry import access, lifecycle, orgs, people
from registry.errors import Forbidden, Invalid, NotFound
from registry.events import (
    TEAM_CREATED,
    TEAM_DELETED,
    TEAM_MEMBER_ADDED,
    TEAM_MEMBER_REMOVED,
    TEAM_PACKAGE_GRANTED,
    TEAM_PACKAGE_REVOKED,
)
from registry.models import Grant, Member, Package, Scope, Team
from registry.names import PackageName

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_LONGEST_DESCRIPTION = 1000


# --- The teams of an organisation -----------------------------------------------------------------------------------


def listed(org: str, *, viewer: Actor, username: str | None = None) -> list[Team]:
    """The organisation's teams; with `username`, those that they are in."""
    rows = Team.objects.filter(scope__name=orgs.visible(org, viewer=viewer)).order_by("name")
    return list(rows.filter(members__username=username) if username is not None else rows)


def find(org: str, name: str, *, viewer: Actor) -> Team:
    """The team. Raises `NotFound`."""
    return _team(orgs.visible(org, viewer=viewer), name)


def create(org: str, name: str, *, actor: Actor, description: str = "") -> Team:
    """Make a team that nobody is in and that may do nothing."""
    if not _NAME.fullmatch(name):
        raise Invalid(f'"{name[:80]}" cannot be a team: use lower-case letters, digits, ".", "_" and "-", 100 at most')
    if len(description) > _LONGEST_DESCRIPTION or not description.isprintable():
        raise Invalid(f"a team's description is one line of {_LONGEST_DESCRIPTION} characters at most")
    with transaction.atomic():
        scope = orgs.lock(org, actor=actor)
        team, is_new = Team.objects.get_or_create(scope=scope, name=name, defaults={"description": description})
        if not is_new:
            raise Invalid(f"there is a team {_label(scope.name, name)} already")
        journal.record(TEAM_CREATED, _subject(scope), actor=actor, team=name)
        return team


def delete(org: str, name: str, *, actor: Actor) -> None:
    """Remove a team, and with it what its people could do because they were in it."""
    with transaction.atomic():
        scope = orgs.lock(org, actor=actor)
        if name == orgs.DEVELOPERS:
            raise Forbidden(f"{_label(scope.name, name)} is the team of everybody in {scope}: it cannot be removed")
        _team(scope.name, name).delete()
        journal.record(TEAM_DELETED, _subject(scope), actor=actor, team=name)


# --- Their members --------------------------------------------------------------------------------------------------


def members(org: str, name: str, *, viewer: Actor) -> list[str]:
    """Who is in the team."""
    rows = find(org, name, viewer=viewer).members.order_by("username")
    return list(rows.values_list("username", flat=True))


def add_member(org: str, name: str, username: str, *, actor: Actor) -> None:
    """Put somebody of the organisation into one of its teams."""
    with transaction.atomic():
        scope = orgs.lock(org, actor=actor)
        team, [user] = _team(scope.name, name), people.named(username)
        if not Member.objects.filter(scope=scope, user=user).exists():
            raise Invalid(f"{user} is not in {scope}: npm org set {scope.name[1:]} {user} lets them in")
        if not team.members.contains(user):
            team.members.add(user)
            journal.record(TEAM_MEMBER_ADDED, _subject(scope), actor=actor, team=name, user=username)


def remove_member(org: str, name: str, username: str, *, actor: Actor) -> None:
    """Take somebody out of a team. They stay in the organisation."""
    with transaction.atomic():
        scope = orgs.lock(org, actor=actor)
        team, user = _team(scope.name, name), orgs.anybody(username)
        if not team.members.contains(user):
            raise NotFound(f"{user} is not in {_label(scope.name, name)}")
        team.members.remove(user)
        journal.record(TEAM_MEMBER_REMOVED, _subject(scope), actor=actor, team=name, user=username)


# --- What they may do -----------------------------------------------------------------------------------------------


def packages(org: str, name: str, *, viewer: Actor) -> dict[str, str]:
    """What the team may do with which packages, those left out that `viewer` may not read."""
    team = find(org, name, viewer=viewer)
    shown = Package.objects.filter(access.readable(viewer), unpublished_at=None)
    rows = Grant.objects.filter(team=team, package__in=shown).order_by("package__name")
    return dict(rows.values_list("package__name", "permission"))


def grant(org: str, name: str, package_name: PackageName, permission: str, *, actor: Actor) -> None:
    """Let a team read a package, or read and publish it. Needs a say in the organisation and in the package."""
    if permission not in Grant.Permission.values:
        raise Invalid(f'"{permission[:80]}" is not a permission: use {" or ".join(Grant.Permission.values)}')
    with transaction.atomic():
        scope = orgs.lock(org, actor=actor)
        team = _team(scope.name, name)
        package = lifecycle.lock(package_name)
        access.require_own(actor, package)
        before = Grant.objects.filter(team=team, package=package).values_list("permission", flat=True).first()
        if permission != before:
            Grant.objects.update_or_create(team=team, package=package, defaults={"permission": permission})
            journal.record(
                TEAM_PACKAGE_GRANTED, f"package:{package}", actor=actor,
                team=f"{scope}:{name}", permission=permission, previous=before,
            )  # fmt: skip


def revoke(org: str, name: str, package_name: PackageName, *, actor: Actor) -> None:
    """Take a package from a team. Who owns the package may always do so, also when they left the organisation."""
    scope = orgs.scope_of(org)
    with transaction.atomic():
        package = lifecycle.lock(package_name)
        access.require_own(actor, package)
        granted = Grant.objects.filter(team__scope__name=scope, team__name=name, package=package)
        if not granted.delete()[0]:
            raise NotFound(f"{_label(scope, name)} has no rights of its own on {package}")
        journal.record(TEAM_PACKAGE_REVOKED, f"package:{package}", actor=actor, team=f"{scope}:{name}")


def _team(scope: str, name: str) -> Team:
    team = Team.objects.filter(scope__name=scope, name=name).first()
    if team is None:
        raise NotFound(f"there is no team {_label(scope, name)}: npm team ls {scope[1:]} shows those that there are")
    return team


def _label(scope: str, team: str) -> str:
    """The team as npm writes it."""
    return f"{scope.removeprefix('@')}:{team}"


def _subject(scope: Scope) -> str:
    return f"org:{scope.name}"
