"""`npm org`: organisations and their people. What is answered here is for who asked alone."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry import orgs
from registry.api.auth import actor_of, writer_of
from registry.errors import Invalid


def answer(data: Any, *, status: int = 200) -> Response:
    """A response that no cache keeps."""
    return Response(data, status=status, headers={"Cache-Control": "private, no-store"})


def text_in(request: Request, key: str, default: str | None = None) -> str:
    """The text that the body has under `key`. Raises `Invalid`."""
    body = request.data if isinstance(request.data, dict) else {}
    value = default if body.get(key) is None else body[key]
    if not isinstance(value, str):
        raise Invalid(f"send a JSON object with {key}, a text")
    return value


class OrgsView(APIView):
    """`/-/org`."""

    def put(self, request: Request) -> Response:
        """PUT: an operator creates an organisation."""
        scope = orgs.create(text_in(request, "name"), actor=writer_of(request))
        return answer({"ok": True, "name": scope.name[1:]}, status=201)


class OrgView(APIView):
    """`/-/org/:org`."""

    def get(self, request: Request, org: str) -> Response:
        """GET: its name, and how many people it has."""
        return answer({"name": orgs.scope_of(org)[1:], "size": len(orgs.members(org, viewer=actor_of(request)))})

    def delete(self, request: Request, org: str) -> Response:
        """DELETE: an operator gives up a scope in which nothing was published."""
        orgs.delete(org, actor=writer_of(request))
        return answer({"ok": True})


class MembersView(APIView):
    """`/-/org/:org/user`, and `/-/org/:org/member` as cnpmcore calls it."""

    def get(self, request: Request, org: str) -> Response:
        """GET: `npm org ls`, roles by name."""
        return answer(orgs.members(org, viewer=actor_of(request)))

    def put(self, request: Request, org: str) -> Response:
        """PUT: `npm org set`. npm prints what it is told."""
        username, role = text_in(request, "user").removeprefix("@"), text_in(request, "role", "developer")
        size = orgs.set_member(org, username, role, actor=writer_of(request))
        return answer(
            {"ok": True, "org": {"name": orgs.scope_of(org)[1:], "size": size}, "user": username, "role": role},
            status=201,
        )

    def delete(self, request: Request, org: str) -> Response:
        """DELETE: `npm org rm`, with a body."""
        orgs.remove_member(org, text_in(request, "user").removeprefix("@"), actor=writer_of(request))
        return answer({"ok": True})


class MemberView(APIView):
    """`/-/org/:org/member/:user`, for proxies that drop the body of a DELETE."""

    def delete(self, request: Request, org: str, username: str) -> Response:
        """DELETE: take them out."""
        orgs.remove_member(org, username, actor=writer_of(request))
        return answer({"ok": True})
