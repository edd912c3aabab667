"""`npm profile`: what people say of themselves, their password and their second factor.

Every change is a POST to one URL, told apart by what the body has.
"""

from typing import Any, cast
from urllib.parse import urlsplit

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from audit.actors import Actor
from registry import access, lifecycle, people, profile, second_factor
from registry.api.auth import actor_of
from registry.api.content import base_url
from registry.errors import Invalid
from registry.models import SecondFactor, User
from registry.profile import NewPassword

_PRIVATE = {"Cache-Control": "private, no-store"}
_TFA = 'send tfa as {"password": …, "mode": "auth-only", "auth-and-writes" or "disable"}, or as [<code of the app>]'


class ProfileView(APIView):
    """`/-/npm/v1/user`."""

    def get(self, request: Request) -> Response:
        """GET: the profile of who asks."""
        access.require_account(actor_of(request))
        return Response(_shown(cast(User, request.user)), headers=_PRIVATE)

    def post(self, request: Request) -> Response:
        """POST: change it. Answers the whole profile, but for the steps of switching a second factor on."""
        actor = actor_of(request)
        access.require_account(actor)
        user, body = cast(User, request.user), request.data
        if not isinstance(body, dict):
            raise Invalid("send the fields of the profile as a JSON object")
        tfa = body.get("tfa")
        if isinstance(tfa, list):
            answer = _confirm(user, tfa, actor)
        elif tfa is not None:
            answer = _switch(user, tfa, actor, issuer=urlsplit(base_url(request)).hostname or "Larder")
        else:
            answer = _change(user, body, actor)
        return Response(answer, headers=_PRIVATE)


def _confirm(user: User, codes: list[Any], actor: Actor) -> dict[str, Any]:
    if len(codes) != 1 or not isinstance(codes[0], str):
        raise Invalid(_TFA)
    return {"tfa": second_factor.confirm(user, codes[0], actor=actor)}


def _switch(user: User, tfa: Any, actor: Actor, *, issuer: str) -> dict[str, Any]:
    """Switch the second factor off, to another mode, or on: then the answer is what the app scans, and a code follows.

    For another mode npm to 10 wants to read `tfa: null`, npm 11 and later the mode. It is told the mode: older ones
    say then that the answer is unknown to them, but what they asked for is done.
    """
    if not isinstance(tfa, dict) or not isinstance(tfa.get("password"), str):
        raise Invalid(_TFA)
    mode = tfa.get("mode")
    if mode != "disable" and mode not in SecondFactor.Mode.values:
        raise Invalid(_TFA)
    second_factor.require_for_account(actor)
    people.confirm_password(tfa["password"], actor=actor)
    if mode == "disable":
        second_factor.switch_off(user, actor=actor)
    elif second_factor.is_on(user):
        second_factor.set_mode(user, mode, actor=actor)
    else:
        return {"tfa": second_factor.begin(user, mode, issuer=issuer)}
    return _shown(user)


def _change(user: User, body: dict[str, Any], actor: Actor) -> dict[str, Any]:
    """Change what the body names. npm sends all that can be set back with what it changes, and null for nothing."""
    fields = {name: body[name] or "" for name in profile.WRITABLE if name in body}
    password = _new_password(body.get("password"))
    email = fields.get("email")
    proof = None
    if isinstance(email, dict):  # npm 6 asks for the password with it
        fields["email"], proof = email.get("email") or "", email.get("password")
        if not isinstance(proof, str):
            raise Invalid("send the password with the e-mail address")
    if not all(isinstance(value, str) for value in fields.values()):
        raise Invalid(f"{', '.join(profile.WRITABLE)} must be text or null")
    second_factor.require_for_account(actor)
    if proof is not None:
        people.confirm_password(proof, actor=actor)
    return _shown(profile.change(user, fields, actor=actor, password=password))


def _new_password(sent: Any) -> NewPassword | None:
    if sent is None:
        return None
    if not isinstance(sent, dict) or not isinstance(sent.get("old"), str) or not isinstance(sent.get("new"), str):
        raise Invalid('send password as {"old": …, "new": …}')
    return NewPassword(sent["old"], sent["new"])


def _shown(user: User) -> dict[str, Any]:
    """The profile. npm knows no empty text in it: what is not set is null."""
    factor = SecondFactor.objects.filter(user=user).first()
    kept, created = user.profile or {}, lifecycle.moment(user.date_joined)
    return {
        "name": user.username,
        "email": user.email or None,
        "email_verified": False,
        **{name: kept.get(name) for name in profile.KEPT},
        "created": created,
        "updated": kept.get("updated") or created,
        "tfa": {"mode": factor.mode, "pending": factor.is_pending} if factor else None,
        "cidr_whitelist": None,
    }
