"""Organisations: scopes that are ours, and the people in them. The scope `@acme` is npm's organisation `acme`.

Every change of an organisation's people and teams locks its row first, so that of two owners who step down at once one
stays, and nobody comes into a team of an organisation that they are just leaving.
"""

import re

from django.conf import settings
from django.db import transaction

from audit import journal
from audit.actors import Actor
from registry import access, lifecycle, people
from registry.errors import Forbidden, Invalid, NotFound
from registry.events import ORG_CREATED, ORG_DELETED, ORG_MEMBER_REMOVED, ORG_MEMBER_SET
from registry.models import Member, Package, Scope, Team, User

# Everybody in an organisation is in this team until somebody takes them out of it, as with npm.
DEVELOPERS = "developers"

# What npm allows in new names, and short enough for a package to have a name behind it.
_SCOPE = re.compile(r"@[a-z0-9~][a-z0-9\-_.~]{0,210}")


def scope_of(org: str) -> str:
    """The scope of an organisation, which clients call `acme` or `@acme`. Raises `Invalid`."""
    scope = f"@{org.removeprefix('@').lower()}"
    if not _SCOPE.fullmatch(scope):
        raise Invalid(f'"{org[:80]}" cannot be an organisation: use lower-case letters, digits, "-", "_" and "."')
    return scope


def anybody(username: str) -> User:
    """The person of this name, who may have left (`people.named` knows only those who have not). Raises `NotFound`."""
    user = User.objects.filter(username=username).first() if username.isprintable() else None
    if user is None:
        raise NotFound(f"there is no user {username[:100]} here: check the spelling")
    return user


# --- The organisation -----------------------------------------------------------------------------------------------


def create(org: str, *, actor: Actor) -> Scope:
    """Make a scope ours, with the team of its developers: from now on no upstream is asked for its packages."""
    access.require_operator(actor)
    name = scope_of(org)
    with transaction.atomic():
        scope, is_new = _get_or_create(name, actor)
    if not is_new:
        raise Invalid(f"there is an organisation {name} already")
    return scope


def delete(org: str, *, actor: Actor) -> None:
    """Give a scope up again, with its members and teams: for one that was mistyped. One with packages stays ours."""
    access.require_operator(actor)
    name = scope_of(org)
    with transaction.atomic():
        scope = Scope.objects.select_for_update().filter(name=name).first()
        if scope is None:
            raise _no_such(name)
        if Package.objects.filter(scope=name, origin=None).exists():
            raise Forbidden(f"packages were published in {name}: it stays an organisation of this registry")
        scope.delete()
        _tell_readers(name, actor)
        journal.record(ORG_DELETED, f"org:{name}", actor=actor)


def lock(org: str, *, actor: Actor) -> Scope:
    """The organisation, for a change that `actor` may make, which nobody else changes before the transaction ends.

    An operator's first change makes an organisation of a scope that so far is only in LARDER_PRIVATE_SCOPES.
    """
    name = scope_of(org)
    scope = Scope.objects.select_for_update(no_key=True).filter(name=name).first()
    access.require_administer(actor, name)
    if scope is None:
        _require_ours(name)
        scope, _ = _get_or_create(name, actor)
    return scope


def visible(org: str, *, viewer: Actor) -> str:
    """The organisation's scope, for `viewer` who may see its people and teams."""
    name = scope_of(org)
    access.require_see_scope(viewer, name)
    if not Scope.objects.filter(name=name).exists():
        _require_ours(name)
    return name


# --- Its members ----------------------------------------------------------------------------------------------------


def members(org: str, *, viewer: Actor) -> dict[str, str]:
    """The roles of the organisation's people, by their names."""
    name = visible(org, viewer=viewer)
    rows = Member.objects.filter(scope__name=name).order_by("user__username")
    return dict(rows.values_list("user__username", "role"))


def set_member(org: str, username: str, role: str, *, actor: Actor) -> int:
    """Let somebody into the organisation, or give them another role in it. Returns how many are in it then."""
    if role not in Member.Role.values:
        raise Invalid(f'"{role[:80]}" is not a role: use {", ".join(Member.Role.values)}')
    with transaction.atomic():
        scope = lock(org, actor=actor)
        [user] = people.named(username)
        before = Member.objects.filter(scope=scope, user=user).values_list("role", flat=True).first()
        if role != before:
            _require_owners(scope, user, before, role, actor)
            Member.objects.update_or_create(scope=scope, user=user, defaults={"role": role})
            if before is None:
                Team.objects.get_or_create(scope=scope, name=DEVELOPERS)[0].members.add(user)
            subject = f"org:{scope.name}"
            journal.record(ORG_MEMBER_SET, subject, actor=actor, user=username, role=role, previous=before)
        return Member.objects.filter(scope=scope).count()


def remove_member(org: str, username: str, *, actor: Actor) -> None:
    """Take somebody out of the organisation and out of all of its teams."""
    with transaction.atomic():
        scope = lock(org, actor=actor)
        user = anybody(username)
        member = Member.objects.filter(scope=scope, user=user).first()
        if member is None:
            raise NotFound(f"{user} is not in {scope}")
        _require_owners(scope, user, member.role, None, actor)
        teams = list(Team.objects.filter(scope=scope, members=user).order_by("name"))
        user.team_set.remove(*teams)
        member.delete()
        left = [team.name for team in teams]
        journal.record(ORG_MEMBER_REMOVED, f"org:{scope.name}", actor=actor, user=username, teams=left)


def _require_owners(scope: Scope, user: User, before: str | None, after: str | None, actor: Actor) -> None:
    """Raise unless owners agree: only they make and unmake owners, and the last one stays."""
    if Member.Role.OWNER not in (before, after):
        return
    access.require_owner(actor, scope.name)
    others = Member.objects.filter(scope=scope, role=Member.Role.OWNER, user__is_active=True).exclude(user=user)
    if before == Member.Role.OWNER and not others.exists():
        raise Forbidden(f"{user} is the last owner of {scope}: make somebody else its owner first")


def _get_or_create(name: str, actor: Actor) -> tuple[Scope, bool]:
    scope, is_new = Scope.objects.select_for_update(no_key=True).get_or_create(name=name)
    if is_new:
        Team.objects.create(scope=scope, name=DEVELOPERS)
        _tell_readers(name, actor)
        journal.record(ORG_CREATED, f"org:{name}", actor=actor)
    return scope, is_new


def _tell_readers(name: str, actor: Actor) -> None:
    """What was mirrored under a scope is refused while the scope is ours (`registry.policies.PrivateScopes`)."""
    names = Package.objects.filter(scope=name).exclude(origin=None).values_list("name", flat=True)
    lifecycle.touch_all(names, actor=actor)


def _require_ours(name: str) -> None:
    if name not in settings.PRIVATE_SCOPES:
        raise _no_such(name)


def _no_such(name: str) -> NotFound:
    return NotFound(f"there is no organisation {name} here: an operator creates it")
