"""`npm access`: who may see a package, who needs a second factor, who works on it."""

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry import visibility
from registry.api.auth import actor_of, viewer_of, writer_of
from registry.api.content import private
from registry.api.install import OpenView
from registry.errors import Invalid, Unauthenticated
from registry.models import SecondFactorRule
from registry.names import PackageName

_IS_RESTRICTED = {"public": False, "restricted": True}


class VisibilityView(OpenView):
    """`/-/package/:pkg/visibility`."""

    def get(self, request: Request, name: str) -> Response:
        """GET: `npm access get status`, and `npm publish --provenance` before it publishes."""
        return private({"public": visibility.is_public(PackageName.parse(name), viewer=viewer_of(request))})


class AccessView(OpenView):
    """`/-/package/:pkg/access`."""

    def get(self, request: Request, name: str) -> Response:
        """GET: `pnpm access get status`."""
        is_public = visibility.is_public(PackageName.parse(name), viewer=viewer_of(request))
        return private({"access": "public" if is_public else "restricted"})

    def post(self, request: Request, name: str) -> Response:
        """POST: `npm access set status=…` and `set mfa=…`."""
        actor = writer_of(request)
        body = request.data if isinstance(request.data, dict) else {}
        if not body.keys() & {"access", "publish_requires_tfa"}:
            raise Invalid("say what is to change: access, or publish_requires_tfa")
        visibility.change(
            PackageName.parse(name), is_restricted=_is_restricted(body), second_factor=_rule(body), actor=actor
        )
        return private({"ok": True})


class CollaboratorsView(OpenView):
    """`/-/package/:pkg/collaborators`."""

    def get(self, request: Request, name: str) -> Response:
        """GET: `npm access list collaborators`; with `?user=` one person's right only."""
        people = visibility.collaborators(PackageName.parse(name), viewer=viewer_of(request))
        only = request.GET.get("user")
        return private({user: right for user, right in people.items() if only in (None, user)})


class OwnPackagesView(APIView):
    """`/-/-/package`."""

    def get(self, request: Request) -> Response:
        """GET: `pnpm access list packages`."""
        actor = actor_of(request)
        if actor.user_id is None:
            raise Unauthenticated("you must be signed in to list your packages: run npm login")
        return private(visibility.packages_of(actor.name, viewer=actor))


class UserPackagesView(OpenView):
    """`/-/user/:user/package`."""

    def get(self, request: Request, username: str) -> Response:
        """GET: `npm access list packages <user>`."""
        return private(visibility.packages_of(username, viewer=viewer_of(request)))


class ScopePackagesView(OpenView):
    """`/-/org/:scope/package`. npm asks here first, whatever it was given, and goes on to the user upon 404."""

    def get(self, request: Request, scope: str) -> Response:
        """GET: `npm access list packages @scope`."""
        return private(visibility.packages_in("@" + scope.removeprefix("@").lower(), viewer=viewer_of(request)))


def _is_restricted(body: dict[str, object]) -> bool | None:
    word = body.get("access")
    if word is None:
        return None
    if not isinstance(word, str) or word not in _IS_RESTRICTED:
        raise Invalid('access is "public" or "restricted"')
    return _IS_RESTRICTED[word]


def _rule(body: dict[str, object]) -> SecondFactorRule | None:
    required = body.get("publish_requires_tfa")
    overridden = body.get("automation_token_overrides_tfa", False)
    if required is None:
        return None
    if not isinstance(required, bool) or not isinstance(overridden, bool):
        raise Invalid("publish_requires_tfa and automation_token_overrides_tfa are true or false")
    if not required:
        return SecondFactorRule.NONE
    return SecondFactorRule.AUTOMATION if overridden else SecondFactorRule.PUBLISH
