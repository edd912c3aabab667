"""What a token lets its person do at most. It only ever lowers what `registry.access` finds that the person may.

Names are compared with names: a package or an organisation need not exist for a token to be for it. A list that is
empty allows nothing.
"""

from enum import IntEnum

from django.db.models import Q

from registry.models import Token
from registry.names import PackageName

# An empty Q would not do for all rows: `condition | Q()` is the condition.
NO_ROWS = Q(pk__in=[])
_ALL_ROWS = ~NO_ROWS


class Standing(IntEnum):
    """What somebody may do with a package; each includes those before it."""

    NONE = 0
    READ = 1
    WRITE = 2  # publish, tag, deprecate
    OWN = 3  # also unpublish, and say who else may


_PERMITTED = {
    Token.Permission.NO_ACCESS: Standing.NONE,
    Token.Permission.READ_ONLY: Standing.READ,
    Token.Permission.READ_WRITE: Standing.OWN,
}
# What kinds of tokens are for at most; those that are not here may do all that their person may.
_KINDS = {Token.Kind.READ_ONLY: Standing.READ, Token.Kind.AUTOMATION: Standing.WRITE}


def on_package(token: Token | None, name: PackageName) -> Standing:
    """What the token allows with a package."""
    if token is None:
        return Standing.OWN
    is_named = str(name) in (token.packages or ()) or (name.scope and name.scope in (token.scopes or ()))
    return _most(token) if is_named or not _names_packages(token) else Standing.NONE


def readable(token: Token | None) -> Q:
    """Which packages the token allows to read, as a condition on their rows."""
    if token is None:
        return _ALL_ROWS
    if _most(token) < Standing.READ:
        return NO_ROWS
    if not _names_packages(token):
        return _ALL_ROWS
    return Q(name__in=token.packages or ()) | Q(scope__in=[scope for scope in token.scopes or () if scope])


def on_scope(token: Token | None, scope: str) -> Standing:
    """What the token allows with a scope's people and teams. A granular one is for those that it names, if any."""
    if token is None:
        return Standing.OWN
    names_scopes = token.orgs is not None or token.kind == Token.Kind.GRANULAR
    if names_scopes and scope not in (token.orgs or ()):
        return Standing.NONE
    most = Standing.READ if token.kind in _KINDS else Standing.OWN
    return min(most, _PERMITTED[Token.Permission(token.orgs_permission)])


def writes(token: Token | None) -> bool:
    """Whether the token is for changing anything at all: packages, or organisations."""
    if token is None:
        return True
    permissions = (token.permission, token.orgs_permission)
    return token.kind != Token.Kind.READ_ONLY and Token.Permission.READ_WRITE in permissions


def is_whole(token: Token | None) -> bool:
    """Whether the token is for changing all packages that its person may change."""
    return token is None or (not _names_packages(token) and _most(token) >= Standing.WRITE)


def is_personal(token: Token | None) -> bool:
    """Whether the token may change its person's account: one that is made for a machine may not."""
    return token is None or (is_whole(token) and token.kind in (Token.Kind.SESSION, Token.Kind.PUBLISH))


def _most(token: Token) -> Standing:
    """What the token allows with packages that it is for."""
    return min(_KINDS.get(Token.Kind(token.kind), Standing.OWN), _PERMITTED[Token.Permission(token.permission)])


def _names_packages(token: Token) -> bool:
    """Whether the token is for some packages only, be it for none."""
    return token.packages is not None or token.scopes is not None
