"""`npm team` and `npm access grant|revoke`: teams, their people, and what they may do with packages."""

from typing import Any

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from registry import orgs, teams
from registry.api.auth import actor_of, writer_of
from registry.api.orgs import answer, text_in
from registry.models import Team
from registry.names import PackageName


class TeamsView(APIView):
    """`/-/org/:org/team`."""

    def get(self, request: Request, org: str) -> Response:
        """GET: `npm team ls acme`."""
        return answer(_told(request, org, teams.listed(org, viewer=actor_of(request))))

    def put(self, request: Request, org: str) -> Response:
        """PUT: `npm team create acme:testers`."""
        name, description = text_in(request, "name"), text_in(request, "description", "")
        teams.create(org, name, description=description, actor=writer_of(request))
        return answer({"ok": True, "name": name}, status=201)


class TeamsOfMemberView(APIView):
    """`/-/org/:org/member/:user/team`."""

    def get(self, request: Request, org: str, username: str) -> Response:
        """GET: the organisation's teams that somebody is in."""
        return answer(_told(request, org, teams.listed(org, viewer=actor_of(request), username=username)))


class TeamView(APIView):
    """`/-/team/:org/:team`."""

    def get(self, request: Request, org: str, team: str) -> Response:
        """GET: what it is for."""
        return answer(_described(teams.find(org, team, viewer=actor_of(request))))

    def delete(self, request: Request, org: str, team: str) -> Response:
        """DELETE: `npm team destroy`. npm 6 reads the answer as JSON."""
        teams.delete(org, team, actor=writer_of(request))
        return answer({"ok": True})


class TeamMembersView(APIView):
    """`/-/team/:org/:team/user`."""

    def get(self, request: Request, org: str, team: str) -> Response:
        """GET: `npm team ls acme:testers`."""
        names = teams.members(org, team, viewer=actor_of(request))
        return answer(names if _is_npm(request) else [{"name": name} for name in names])

    def put(self, request: Request, org: str, team: str) -> Response:
        """PUT: `npm team add`."""
        username = text_in(request, "user").removeprefix("@")
        teams.add_member(org, team, username, actor=writer_of(request))
        return answer({"ok": True}, status=201)

    def delete(self, request: Request, org: str, team: str) -> Response:
        """DELETE: `npm team rm`, with a body."""
        username = text_in(request, "user").removeprefix("@")
        teams.remove_member(org, team, username, actor=writer_of(request))
        return answer({"ok": True})


class TeamPackagesView(APIView):
    """`/-/team/:org/:team/package`."""

    def get(self, request: Request, org: str, team: str) -> Response:
        """GET: `npm access list packages acme:testers`, permissions by package."""
        return answer(teams.packages(org, team, viewer=actor_of(request)))

    def put(self, request: Request, org: str, team: str) -> Response:
        """PUT: `npm access grant`."""
        name, permission = PackageName.parse(text_in(request, "package")), text_in(request, "permissions")
        teams.grant(org, team, name, permission, actor=writer_of(request))
        return answer({"ok": True}, status=201)

    def delete(self, request: Request, org: str, team: str) -> Response:
        """DELETE: `npm access revoke`, with a body."""
        name = PackageName.parse(text_in(request, "package"))
        teams.revoke(org, team, name, actor=writer_of(request))
        return answer({"ok": True})


def _is_npm(request: Request) -> bool:
    """Whether names alone are wanted: npm asks for lists with `?format=cli`; pnpm does not, and reads objects."""
    return request.GET.get("format") == "cli"


def _told(request: Request, org: str, found: list[Team]) -> list[Any]:
    if _is_npm(request):
        return [f"{orgs.scope_of(org)[1:]}:{team.name}" for team in found]
    return [_described(team) for team in found]


def _described(team: Team) -> dict[str, str]:
    return {"name": team.name, "description": team.description}
