"""Who may do what: the one place that decides. Everything that gives something away or changes it asks here.

A person's *standing* with a package is what their rows say: nothing, read, write or own. A token can only lower it.
`may_…` answers, `require_…` raises what the person at the terminal should read. Who may not read a package gets the
same answer as for one that does not exist.
"""

import time
from enum import IntEnum
from typing import NamedTuple, NoReturn

from django.conf import settings

from audit.actors import Actor
from registry import generation, second_factor
from registry.errors import Forbidden, NotFound, Unauthenticated
from registry.models import Grant, Maintainer, Member, Package, Scope, SecondFactorRule, Stamp, Token, User
from registry.names import PackageName

_KEPT_SECONDS = 1.0


class Standing(IntEnum):
    """What somebody may do with a package; each includes those before it."""

    NONE = 0
    READ = 1
    WRITE = 2  # publish, tag, deprecate
    OWN = 3  # also unpublish, and say who else may


_LIMITS = {
    Token.Permission.NO_ACCESS: Standing.NONE,
    Token.Permission.READ_ONLY: Standing.READ,
    Token.Permission.READ_WRITE: Standing.OWN,
}
_GRANTED = {Grant.Permission.READ: Standing.READ, Grant.Permission.WRITE: Standing.WRITE}


# --- Packages -------------------------------------------------------------------------------------------------------


def may_read(actor: Actor, name: PackageName, stamp: Stamp) -> bool:
    """Whether `actor` may see the package that the stamp is of."""
    if not stamp.is_restricted:
        return settings.ANONYMOUS_READ or actor.user_id is not None
    return standing(actor, name, stamp.id) >= Standing.READ


def may_publish(actor: Actor, package: Package) -> bool:
    """Whether `actor` may publish, tag and deprecate versions of `package`."""
    return package.origin is None and standing(actor, package.parsed_name, package.pk) >= Standing.WRITE


def may_own(actor: Actor, package: Package) -> bool:
    """Whether `actor` may unpublish from `package` and say who else may what with it."""
    return package.origin is None and standing(actor, package.parsed_name, package.pk) >= Standing.OWN


def require_reader(actor: Actor) -> None:
    """Raise unless `actor` may read anything at all: a closed registry answers nobody whom it does not know."""
    if not settings.ANONYMOUS_READ and actor.user_id is None:
        raise Unauthenticated("this registry is closed to anonymous readers: run npm login")


def require_read(actor: Actor, name: PackageName, stamp: Stamp) -> None:
    """Raise what a missing package gets unless `actor` may read this one."""
    require_reader(actor)
    if not may_read(actor, name, stamp):
        hide(name)


def hide(name: PackageName) -> NoReturn:
    """Say that there is no such package, for one that is not there and for one that its reader may not see."""
    raise NotFound(f"{name} is not in this registry: check the spelling, sign in if it is private, or publish it")


def require_publish(actor: Actor, name: PackageName, package: Package | None) -> None:
    """Raise unless `actor` may publish under `name`; `package` is its row, None for a new name."""
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in to publish: run npm login")
    if package is None:
        _require_new(actor, name)
        return
    _require_standing(actor, package, Standing.WRITE, "publish")
    require_second_factor(actor, package)


def require_own(actor: Actor, package: Package) -> None:
    """Raise unless `actor` may unpublish from `package` and say who else may what with it."""
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in for this: run npm login")
    _require_standing(actor, package, Standing.OWN, "own")
    require_second_factor(actor, package)


def standing(actor: Actor, name: PackageName, package_id: int) -> Standing:
    """What `actor` may do with a package, as their person and as their token."""
    if actor.user_id is None:
        return Standing.NONE
    token = _token(actor)
    limit = _limit(token, name)
    return min(limit, _own_standing(actor, token, name, package_id)) if limit else limit


def _own_standing(actor: Actor, token: Token | None, name: PackageName, package_id: int) -> Standing:
    if Maintainer.objects.filter(package_id=package_id, user=actor.user_id or 0).exists() or _is_operator(actor, token):
        return Standing.OWN
    if name.scope and _role(actor, name.scope) in (Member.Role.ADMIN, Member.Role.OWNER):
        return Standing.OWN
    granted = Grant.objects.filter(package_id=package_id, team__members=actor.user_id)
    permissions = granted.values_list("permission", flat=True)
    return max((_GRANTED[Grant.Permission(one)] for one in permissions), default=Standing.NONE)


def _require_standing(actor: Actor, package: Package, wanted: Standing, verb: str) -> None:
    name = package.parsed_name
    has = standing(actor, name, package.pk)
    if package.is_restricted and has < Standing.READ:
        hide(name)
    if package.origin is not None:
        raise Forbidden(f"{name} comes from the upstream {package.origin}: publish under a name or scope of your own")
    if has >= wanted:
        return
    if _limit(_token(actor), name) < wanted:
        raise Forbidden(f"this token may not {verb} {name}: use another one, or log in")
    raise Forbidden(f"{actor.name} may not {verb} {name}: ask one of its maintainers to add you")


def _require_new(actor: Actor, name: PackageName) -> None:
    if _limit(_token(actor), name) < Standing.WRITE:
        raise Forbidden(f"this token may not publish {name}: use another one, or log in")
    if name.scope and not is_private_scope(name):
        raise Forbidden(f"{name.scope} is not a scope of this registry: an operator adds it to LARDER_PRIVATE_SCOPES")
    if name.scope and _is_membered(name.scope) and not may_create_in(actor, name.scope):
        raise Forbidden(f"{actor.name} is not a member of {name.scope}: ask one of its owners to add you")
    require_second_factor(actor)


# --- Scopes ---------------------------------------------------------------------------------------------------------


def is_private_scope(name: PackageName) -> bool:
    """Whether the name's scope is ours. Capitals make no other scope of it: npm has no scopes with capitals."""
    scope = name.scope.lower()
    return bool(scope) and (scope in settings.PRIVATE_SCOPES or scope in _known_scopes())


def may_administer(actor: Actor, scope: str | None = None) -> bool:
    """Whether `actor` may say who is in `scope` and in its teams; without a scope, whether they run the registry."""
    if actor.user_id is None:
        return False
    token = _token(actor)
    if scope is None:
        return _is_operator(actor, token)
    if _org_limit(token, scope) < Standing.OWN:
        return False
    return _is_operator(actor, token) or _role(actor, scope) in (Member.Role.ADMIN, Member.Role.OWNER)


def may_create_in(actor: Actor, scope: str) -> bool:
    """Whether `actor` may publish new packages in a scope that has members."""
    return _role(actor, scope) is not None or _is_operator(actor, _token(actor))


def may_see_scope(actor: Actor, scope: str) -> bool:
    """Whether `actor` may see the people and teams of `scope`: its members may."""
    if actor.user_id is None:
        return False
    token = _token(actor)
    if _org_limit(token, scope) < Standing.READ:
        return False
    return _is_operator(actor, token) or _role(actor, scope) is not None


def require_administer(actor: Actor, scope: str) -> None:
    """Raise unless `actor` may say who is in `scope`; who may not even see it is told that there is none."""
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in for this: run npm login")
    if not may_administer(actor, scope):
        if not may_see_scope(actor, scope):
            raise NotFound(f"there is no organisation {scope} here, or you are not in it")
        raise Forbidden(f"only owners and admins of {scope} may do this: ask one of them")
    require_second_factor(actor)


def require_see_scope(actor: Actor, scope: str) -> None:
    """Raise unless `actor` may see the people and teams of `scope`."""
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in for this: run npm login")
    if not may_see_scope(actor, scope):
        raise NotFound(f"there is no organisation {scope} here, or you are not in it")


# --- Accounts -------------------------------------------------------------------------------------------------------


def require_writer(actor: Actor) -> None:
    """Raise unless `actor` may change anything at all."""
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in: run npm login")
    token = _token(actor)
    if token is None or token.kind == Token.Kind.SESSION:
        return
    if token.kind == Token.Kind.READ_ONLY or token.permission != Token.Permission.READ_WRITE:
        raise Forbidden("this token may only read: use another one")


def require_account(actor: Actor) -> None:
    """Raise unless `actor` may change their account and its tokens: a token made for machines may not."""
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in for this: run npm login")
    token = _token(actor)
    if token is not None and token.kind not in (Token.Kind.SESSION, Token.Kind.PUBLISH):
        raise Forbidden("this token may not change your account: log in, and use that one")


def require_second_factor(actor: Actor, package: Package | None = None) -> None:
    """Raise `OtpRequired` when a change needs a one-time password that `actor` has not shown."""
    token = _token(actor)
    bypasses = token is not None and (token.bypasses_2fa or token.kind == Token.Kind.AUTOMATION)
    rule = package.second_factor if package else SecondFactorRule.NONE
    if rule == SecondFactorRule.PUBLISH or (rule == SecondFactorRule.AUTOMATION and not bypasses):
        second_factor.require(actor, always=True)
    elif not bypasses:
        second_factor.require(actor)


# --- What rows say --------------------------------------------------------------------------------------------------


def _token(actor: Actor) -> Token | None:
    return Token.objects.filter(pk=actor.token_id).first() if actor.token_id is not None else None


def _limit(token: Token | None, name: PackageName) -> Standing:
    """What the token lets its person do with a package at most. An empty list allows nothing."""
    if token is None:
        return Standing.OWN
    if token.kind == Token.Kind.READ_ONLY:
        return Standing.READ
    if token.packages is None and token.scopes is None:
        return _LIMITS[Token.Permission(token.permission)]
    is_named = str(name) in (token.packages or ()) or (name.scope and name.scope in (token.scopes or ()))
    return _LIMITS[Token.Permission(token.permission)] if is_named else Standing.NONE


def _org_limit(token: Token | None, scope: str) -> Standing:
    if token is None:
        return Standing.OWN
    if token.kind in (Token.Kind.READ_ONLY, Token.Kind.AUTOMATION):
        return Standing.READ
    if token.kind == Token.Kind.GRANULAR and scope not in (token.orgs or ()):
        return Standing.NONE
    return _LIMITS[Token.Permission(token.orgs_permission)]


def _is_operator(actor: Actor, token: Token | None) -> bool:
    if token is not None and not token.is_admin and token.kind != Token.Kind.SESSION:
        return False
    return User.objects.filter(pk=actor.user_id or 0, is_superuser=True, is_active=True).exists()


def _role(actor: Actor, scope: str) -> str | None:
    rows = Member.objects.filter(scope__name=scope, user=actor.user_id or 0)
    return rows.values_list("role", flat=True).first()


def _is_membered(scope: str) -> bool:
    return Member.objects.filter(scope__name=scope).exists()


class _Scopes(NamedTuple):
    names: frozenset[str]
    generation: int
    read_at: float


_scopes: _Scopes | None = None


def forget() -> None:
    """Read the scopes again when they are next asked for. Whoever changes them raises the generation besides."""
    global _scopes  # noqa: PLW0603 (one memory per process)
    _scopes = None


def _known_scopes() -> frozenset[str]:
    """The scopes that have a row, asked for at every miss: a process keeps them for a second, or a generation."""
    global _scopes  # noqa: PLW0603 (one memory per process)
    now, known = generation.current(), _scopes
    if known is None or known.generation != now or time.monotonic() - known.read_at > _KEPT_SECONDS:
        names = frozenset(name.lower() for name in Scope.objects.values_list("name", flat=True))
        _scopes = known = _Scopes(names, now, time.monotonic())
    return known.names
