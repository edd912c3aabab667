"""`npm token list`, `create` and `revoke`: a person's tokens, for that person alone.

npm up to 10 makes classic tokens, npm 11 and later granular ones, whose bodies say more: a name at least.
The `gat` routes are cnpmcore's, for granular tokens in other words.
"""

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry import access, people, terms, tokens
from registry.api.auth import actor_of
from registry.errors import Invalid
from registry.models import Token
from registry.terms import Terms

_PRIVATE = {"Cache-Control": "private, no-store"}
_PER_PAGE = 100
_OF_CLASSIC = frozenset({"password", "readonly", "automation", "cidr_whitelist"})

Body = dict[str, Any]


class TokensView(APIView):
    """`/-/npm/v1/tokens`."""

    path = "/-/npm/v1/tokens"

    def get(self, request: Request) -> Response:
        """GET: the tokens that still open something, sessions of `npm login` too; `urls.next` leads to older ones."""
        rows = self.listed(tokens.own(actor_of(request)))
        page, size = _number(request, "page", 0), _number(request, "perPage", _PER_PAGE) or _PER_PAGE
        total, start = rows.count(), page * size
        urls = {}
        if page:
            urls["prev"] = f"{self.path}?page={page - 1}&perPage={size}"
        if start + size < total:
            urls["next"] = f"{self.path}?page={page + 1}&perPage={size}"
        objects = [_shown(token) for token in rows[start : start + size]]
        return Response({"objects": objects, "total": total, "urls": urls}, headers=_PRIVATE)

    def post(self, request: Request) -> Response:
        """POST: a new token. The password is asked for again: who finds a session open cannot make it last."""
        actor = actor_of(request)
        access.require_account(actor)
        body = request.data
        if not isinstance(body, dict) or not isinstance(body.get("password"), str):
            raise Invalid("send the password of your account with what the token may do")
        wanted = self.read(body)
        people.confirm_password(body["password"], actor=actor)
        issued = tokens.make_own(wanted, actor=actor)
        return Response({**_shown(issued.token), "token": issued.secret}, status=201, headers=_PRIVATE)

    def listed(self, rows: QuerySet[Token]) -> QuerySet[Token]:
        """Which of a person's tokens are listed here."""
        return rows

    def read(self, body: Body) -> Terms:
        """The terms that the body asks for."""
        return _classic(body) if body.keys() <= _OF_CLASSIC else _granular(body)


class GranularTokensView(TokensView):
    """`/-/npm/v1/tokens/gat`."""

    path = "/-/npm/v1/tokens/gat"

    def listed(self, rows: QuerySet[Token]) -> QuerySet[Token]:
        """The granular ones."""
        return rows.filter(kind=Token.Kind.GRANULAR)

    def read(self, body: Body) -> Terms:
        """The terms, in cnpmcore's words: it says what the token may not, where npm says what it may."""
        said = {key: body.get(key) for key in ("name", "description", "expires", "cidr_whitelist")}
        return _granular({
            **said,
            "packages": body.get("allowedPackages"),
            "scopes": body.get("allowedScopes"),
            "bypass_2fa": body.get("automation"),
            "packages_and_scopes_permission": "read-only" if _flag(body, "readonly") else "read-write",
        })  # fmt: skip


class TokenView(APIView):
    """`/-/npm/v1/tokens/token/<key, prefix or secret>`."""

    def delete(self, request: Request, word: str) -> Response:
        """DELETE: end it."""
        tokens.revoke_own(word, actor=actor_of(request))
        return Response(status=204, headers=_PRIVATE)


def _classic(body: Body) -> Terms:
    is_read_only, is_automation = _flag(body, "readonly"), _flag(body, "automation")
    if is_read_only and is_automation:
        raise Invalid("a token is read-only or for automation, not both: a read-only one publishes nothing")
    kind = Token.Kind.READ_ONLY if is_read_only else Token.Kind.AUTOMATION if is_automation else Token.Kind.PUBLISH
    return Terms(kind=kind, cidrs=terms.networks(_words(body, "cidr_whitelist")))


def _granular(body: Body) -> Terms:
    """What is not named is not allowed, and what is named without a permission can be read."""
    name = terms.text(_text(body, "name"), most=255)
    if not name.strip():
        raise Invalid("give the token a name: npm token create --name=<name>")
    is_for_all = _flag(body, "packages_all")
    return Terms(
        kind=Token.Kind.GRANULAR,
        name=name,
        description=terms.text(_text(body, "description"), most=1000),
        packages=None if is_for_all else terms.package_names(_words(body, "packages")),
        scopes=None if is_for_all else terms.scope_names(_words(body, "scopes")),
        orgs=terms.scope_names(_words(body, "orgs")),
        permission=_permission(body, "packages_and_scopes_permission"),
        orgs_permission=_permission(body, "orgs_permission"),
        cidrs=terms.networks(_words(body, "cidr_whitelist")),
        bypasses_2fa=_flag(body, "bypass_2fa"),
        expires_at=terms.end_after(_days(body), most=settings.MAX_TOKEN_DAYS),
    )


def _shown(token: Token) -> dict[str, Any]:
    """The token as lists show it: npm prints the name of every one, and makes its id of the key's first letters."""
    may_write = Token.Permission.READ_WRITE in (token.permission, token.orgs_permission)
    return {
        "token": token.prefix,
        "key": token.key or token.prefix,
        "name": token.name or token.kind,
        "description": token.description,
        "type": token.kind,
        "readonly": token.kind == Token.Kind.READ_ONLY or not may_write,
        "automation": token.kind == Token.Kind.AUTOMATION,
        "bypass_2fa": token.bypasses_2fa,
        "cidr_whitelist": token.cidrs,
        "packages": token.packages,
        "scopes": token.scopes,
        "orgs": token.orgs,
        "packages_and_scopes_permission": token.permission,
        "orgs_permission": token.orgs_permission,
        "created": token.created_at,
        "updated": token.created_at,
        "last_used": token.last_used_at,
        "expires": token.expires_at,
    }


def _number(request: Request, name: str, default: int) -> int:
    given = request.query_params.get(name, "")
    if not given:
        return default
    if not (given.isascii() and given.isdecimal() and len(given) <= 4):
        raise Invalid(f"{name} is {given[:20]!r}: it must be a whole number below 10000")
    return int(given)


def _text(body: Body, key: str) -> str:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise Invalid(f"{key} must be text")
    return value or ""


def _flag(body: Body, key: str) -> bool:
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise Invalid(f"{key} must be true or false")
    return bool(value)


def _words(body: Body, key: str) -> list[str]:
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise Invalid(f"{key} must be a list of words")
    return value


def _permission(body: Body, key: str) -> str:
    return terms.permission(_text(body, key) or Token.Permission.READ_ONLY)


def _days(body: Body) -> int:
    value = body.get("expires")
    if value is None:
        return int(settings.MAX_TOKEN_DAYS)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Invalid("expires must be a whole number of days")
    return value
