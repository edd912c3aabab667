"""Who may do what: the one place that decides. Everything that gives something away or changes it asks here.

A person's *standing* with a package is what their rows say: nothing, read, write or own. A token can only lower it.
`may_…` answers, `require_…` raises what the person at the terminal should read. Who may not read a package gets the
same answer as for one that does not exist.
"""

import time
from datetime import timedelta
from typing import NamedTuple, NoReturn

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from audit.actors import Actor, ActorKind
from registry import generation, limits, second_factor
from registry.errors import Forbidden, NotFound, Unauthenticated
from registry.limits import Standing
from registry.models import Grant, Maintainer, Member, Package, Scope, SecondFactorRule, Stamp, Token, User
from registry.names import PackageName

_KEPT_SECONDS = 1.0

# Members who own all packages of their scope.
LEADING = (Member.Role.ADMIN, Member.Role.OWNER)

_GRANTED = {Grant.Permission.READ: Standing.READ, Grant.Permission.WRITE: Standing.WRITE}


# --- Packages -------------------------------------------------------------------------------------------------------


def may_read(actor: Actor, name: PackageName, stamp: Stamp) -> bool:
    """Whether `actor` may see the package that the stamp is of."""
    if not stamp.is_restricted:
        return settings.ANONYMOUS_READ or actor.user_id is not None
    return standing(actor, name, stamp.id) >= Standing.READ


def readable(actor: Actor) -> Q:
    """Which packages `actor` may see, as a condition on their rows: the answer of `may_read` for many at once."""
    everybodys = Q(is_restricted=False)
    if actor.user_id is None:
        return everybodys if settings.ANONYMOUS_READ else limits.NO_ROWS
    token = _token(actor)
    if _is_operator(actor, token):
        return everybodys | limits.readable(token)
    led = Member.objects.filter(user=actor.user_id, role__in=LEADING)
    held = (
        Q(pk__in=Maintainer.objects.filter(user=actor.user_id).values("package"))
        | Q(pk__in=Grant.objects.filter(team__members=actor.user_id).values("package"))
        | Q(scope__in=led.values("scope__name"))
    )
    return everybodys | (limits.readable(token) & held)


def may_publish(actor: Actor, package: Package) -> bool:
    """Whether `actor` may publish, tag and deprecate versions of `package`."""
    return package.origin is None and standing(actor, package.parsed_name, package.pk) >= Standing.WRITE


def may_own(actor: Actor, package: Package) -> bool:
    """Whether `actor` may unpublish from `package` and say who else may what with it."""
    return package.origin is None and standing(actor, package.parsed_name, package.pk) >= Standing.OWN


def may_take_over(actor: Actor, package: Package) -> bool:
    """Whether `actor` may begin anew under a name that others unpublished, so long ago that they do not want it."""
    if package.origin is not None or package.unpublished_at is None:
        return False
    is_free = package.unpublished_at <= timezone.now() - timedelta(hours=settings.REPUBLISH_HOURS)
    return is_free and standing(actor, package.parsed_name, package.pk) < Standing.WRITE


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
    """Raise unless `actor` may publish under `name`; `package` is its row, None for a new name.

    Who may not read the package and could not create it either is told what they would be told of a new name.
    """
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in to publish: run npm login")
    if package is None or may_take_over(actor, package):
        _require_new(actor, name)
        return
    if not may_read(actor, name, package.stamp):
        _require_new(actor, name)
        hide(name)
    require_write(actor, package)


def require_write(actor: Actor, package: Package) -> None:
    """Raise unless `actor` may tag and deprecate what is published of `package`, and publish more of it."""
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in to publish: run npm login")
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
    limit = limits.on_package(token, name)
    return min(limit, _own_standing(actor, token, name, package_id)) if limit else limit


def _own_standing(actor: Actor, token: Token | None, name: PackageName, package_id: int) -> Standing:
    if Maintainer.objects.filter(package_id=package_id, user=actor.user_id or 0).exists() or _is_operator(actor, token):
        return Standing.OWN
    if name.scope and _role(actor, name.scope) in LEADING:
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
    if limits.on_package(_token(actor), name) < wanted:
        raise Forbidden(f"this token may not {verb} {name}: use another one, or log in")
    if package.unpublished_at is not None:
        hours = settings.REPUBLISH_HOURS
        raise Forbidden(f"{name} was unpublished: for {hours} hours after that only its maintainers may publish it")
    raise Forbidden(f"{actor.name} may not {verb} {name}: ask one of its maintainers to add you")


def _require_new(actor: Actor, name: PackageName) -> None:
    if limits.on_package(_token(actor), name) < Standing.WRITE:
        raise Forbidden(f"this token may not publish {name}: use another one, or log in")
    if name.scope and not is_private_scope(name):
        raise Forbidden(f"{name.scope} is not a scope of this registry: an operator adds it to LARDER_PRIVATE_SCOPES")
    if name.scope and _is_organisation(name.scope) and not may_create_in(actor, name.scope):
        raise Forbidden(f"{actor.name} is not a member of {name.scope}: ask one of its owners to add you")
    require_second_factor(actor)


# --- Scopes ---------------------------------------------------------------------------------------------------------


def is_private_scope(name: PackageName) -> bool:
    """Whether the name's scope is ours. Capitals make no other scope of it: npm has no scopes with capitals."""
    scope = name.scope.lower()
    return bool(scope) and (scope in settings.PRIVATE_SCOPES or scope in _known_scopes())


def is_private_scope_now(name: PackageName) -> bool:
    """The same, asked of the row, for an answer that is kept: on another host the scope may be known a second late."""
    return bool(name.scope) and bool(private_scopes_now({name.scope.lower()}))


def private_scopes_now(scopes: set[str]) -> set[str]:
    """Those of the scopes, in small letters, that are ours by the rows."""
    rows = Scope.objects.filter(name__in=scopes - settings.PRIVATE_SCOPES).values_list("name", flat=True)
    return (scopes & settings.PRIVATE_SCOPES) | set(rows)


def may_administer(actor: Actor, scope: str | None = None) -> bool:
    """Whether `actor` may say who is in `scope` and in its teams; without a scope, whether they run the registry.

    So may our own commands: whoever can call them has the database before them.
    """
    if actor.user_id is None:
        return actor.kind == ActorKind.SYSTEM
    token = _token(actor)
    if scope is None:
        return limits.is_whole(token) and _is_operator(actor, token)
    if limits.on_scope(token, scope) < Standing.OWN:
        return False
    return _is_operator(actor, token) or _role(actor, scope) in LEADING


def may_create_in(actor: Actor, scope: str) -> bool:
    """Whether `actor` may publish new packages in a scope that has members."""
    return _role(actor, scope) is not None or _is_operator(actor, _token(actor))


def may_see_scope(actor: Actor, scope: str) -> bool:
    """Whether `actor` may see the people and teams of `scope`: its members may."""
    if actor.user_id is None:
        return False
    token = _token(actor)
    if limits.on_scope(token, scope) < Standing.READ:
        return False
    return _is_operator(actor, token) or _role(actor, scope) is not None


def require_administer(actor: Actor, scope: str) -> None:
    """Raise unless `actor` may say who is in `scope`; who may not even see it is told that there is none."""
    if not may_administer(actor, scope):
        require_see_scope(actor, scope)
        if limits.on_scope(_token(actor), scope) < Standing.OWN:
            raise Forbidden(f"this token may not change {scope}: use another one, or log in")
        raise Forbidden(f"only owners and admins of {scope} may do this: ask one of them")
    require_second_factor(actor)


def require_owner(actor: Actor, scope: str) -> None:
    """Raise unless `actor`, who may administer `scope`, may also say who owns it: its owners and operators may."""
    if not may_administer(actor) and _role(actor, scope) != Member.Role.OWNER:
        raise Forbidden(f"only owners of {scope} say who owns it: ask one of them")


def require_operator(actor: Actor) -> None:
    """Raise unless `actor` runs the registry."""
    if not may_administer(actor):
        if actor.user_id is None:
            raise Unauthenticated("you must be signed in for this: run npm login")
        raise Forbidden("only operators of this registry may do this, signed in or with an admin token: ask one")
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
    if not limits.writes(_token(actor)):
        raise Forbidden("this token may only read: use another one")


def require_account(actor: Actor) -> None:
    """Raise unless `actor` may change their account and its tokens: a token made for machines may not."""
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in for this: run npm login")
    if not limits.is_personal(_token(actor)):
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
    if actor.token_id is None:
        return None
    token = Token.objects.filter(pk=actor.token_id).first()
    if token is None:  # or what is left would be a person without limits
        raise Unauthenticated("the token is not valid here any more: run npm login")
    return token


def _is_operator(actor: Actor, token: Token | None) -> bool:
    if token is not None and not token.is_admin and token.kind != Token.Kind.SESSION:
        return False
    return User.objects.filter(pk=actor.user_id or 0, is_superuser=True, is_active=True).exists()


def _role(actor: Actor, scope: str) -> str | None:
    rows = Member.objects.filter(scope__name=scope, user=actor.user_id or 0)
    return rows.values_list("role", flat=True).first()


def _is_organisation(scope: str) -> bool:
    return Scope.objects.filter(name=scope).exists()


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
