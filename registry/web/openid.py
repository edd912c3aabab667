"""Sign-in by OpenID Connect: the browser goes to the provider, comes back with a code, and we trade it for claims."""

import ipaddress
import logging
import socket
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import requests
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.django_client import DjangoIntegration, DjangoOAuth2App
from authlib.integrations.requests_client import OAuth2Session
from django.conf import settings
from django.contrib.auth import authenticate, login
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET
from joserfc.errors import JoseError

from registry import identities, second_factor
from registry.errors import Forbidden, RegistryError, Unavailable
from registry.identities import Claims
from registry.models import User
from registry.signin import Provider
from registry.web.login import message

logger = logging.getLogger(__name__)

_SECONDS = 10
_ILL = (requests.RequestException, OSError, ValueError, KeyError, RuntimeError)
_AGAIN = "signing in did not work out, or took too long: go back and begin again"


class ProviderBackend(ModelBackend):
    """Knows people by claims that a provider made and we have verified."""

    def authenticate(
        self,
        request: object,
        username: str | None = None,
        password: str | None = None,
        claims: Claims | None = None,
        **_: Any,
    ) -> User | None:
        """The person; None for a password, which is for others to judge."""
        return identities.person_of(claims) if claims else None


def other_ways(request: HttpRequest) -> dict[str, Any]:
    """For templates: how else people can sign in than with a password, as labels and URLs."""
    if settings.OPENID is None:
        return {"other_ways": []}
    here = request.GET.get("next") or request.get_full_path()
    return {"other_ways": [(settings.OPENID.label, f"{reverse('openid')}?{urlencode({'next': here})}")]}


@require_GET
@never_cache
def begin(request: HttpRequest) -> HttpResponse:
    """`/-/web/openid`: sends the browser to the provider, and remembers where it wants to be after that."""
    back = _address_of(request, "openid-callback")
    try:
        client = _client(_provider())
        made = client.create_authorization_url(back)
    except RegistryError as refusal:
        return _refuse(request, refusal)
    except _ILL as error:
        return _refuse(request, _ill(error))
    client.save_authorize_data(request, redirect_uri=back, next=_own(request.GET.get("next", "")), **made)
    return HttpResponseRedirect(made["url"])


@require_GET
@never_cache
def callback(request: HttpRequest) -> HttpResponse:
    """`/-/web/openid/callback`: the provider sent the browser back; signs its person in."""
    try:
        client = _client(_provider())
        begun = client.framework.get_state_data(request.session, request.GET.get("state", "")) or {}
        user = cast(User, authenticate(request, claims=_claims(client, request)))
        _require_one_factor(user)
    except RegistryError as refusal:
        return _refuse(request, refusal)
    login(request, user)
    return HttpResponseRedirect(_own(begun.get("next", "")))


# --- The provider ---------------------------------------------------------------------------------------------------


class _Session(OAuth2Session):  # type: ignore[misc]
    """Asks the provider, and nobody else: its documents cannot send us into our own network."""

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """The answer, which is a JSON object and never a redirect."""
        _require_reachable(url)
        options.update(timeout=_SECONDS, allow_redirects=False)
        answer: requests.Response = super().request(method, url, **options)
        if answer.is_redirect:
            raise requests.TooManyRedirects(f"{url} redirects, which it must not")
        if not isinstance(answer.json(), dict):
            raise requests.exceptions.InvalidJSONError(f"{url} does not answer with an object")
        return answer


class _Client(DjangoOAuth2App):  # type: ignore[misc]
    """Authlib's client, on sessions of ours."""

    client_cls = _Session


@lru_cache(maxsize=1)
def _client(provider: Provider) -> DjangoOAuth2App:
    """Remembers the provider's endpoints and keys."""
    return _Client(
        DjangoIntegration("openid"),
        name="openid",
        client_id=provider.client_id,
        client_secret=provider.client_secret,
        server_metadata_url=f"{provider.issuer.rstrip('/')}/.well-known/openid-configuration",
        client_kwargs={"scope": provider.scopes, "code_challenge_method": "S256"},
    )


def _provider() -> Provider:
    if settings.OPENID is None:
        raise Forbidden("this registry has no OpenID provider: sign in with a password")
    return settings.OPENID


def _require_reachable(url: str) -> None:
    """Private addresses are for the host that the operator named; others must be public."""
    host = urlsplit(url).hostname or ""
    if host == urlsplit(_provider().issuer).hostname:
        return
    found = {ipaddress.ip_address(address[4][0]) for address in socket.getaddrinfo(host, None)}
    if urlsplit(url).scheme != "https" or not all(address.is_global for address in found):
        raise requests.ConnectionError(f"{url} is neither at the issuer's host nor public")


def _claims(client: DjangoOAuth2App, request: HttpRequest) -> Claims:
    """Trade the code for what the provider says. Who it is is in the signed token only; the rest may be beside it."""
    provider = _provider()
    options = {"iss": {"essential": True, "value": provider.issuer}}
    try:
        token = client.authorize_access_token(request, claims_options=options)
        said = token["userinfo"]
        if client.server_metadata.get("userinfo_endpoint"):
            more = client.userinfo(token=token)
            if more.get("sub") != said["sub"]:
                raise Forbidden("the provider spoke of two people at once: tell an operator")
            said = {**more, **said}
    except (AuthlibBaseError, JoseError) as error:
        logger.warning("a sign-in by OpenID Connect was refused: %s", error)
        raise Forbidden(_AGAIN) from error
    except _ILL as error:
        raise _ill(error) from error
    return _read(provider, said)


def _read(provider: Provider, said: dict[str, Any]) -> Claims:
    groups = said.get(provider.groups_claim) or []
    groups = groups if isinstance(groups, list) else [groups]
    if provider.group and provider.group not in groups:
        raise Forbidden(f"only people of {provider.group} may sign in here: ask an operator")
    email = said.get("email") if said.get("email_verified") is not False else ""
    return Claims(
        provider.issuer,
        str(said["sub"]),
        str(said.get(provider.name_claim) or ""),
        str(email or ""),
        provider.admin_group in groups if provider.admin_group else None,
    )


def _ill(error: Exception) -> Unavailable:
    logger.error("the OpenID provider failed: %s", error)
    return Unavailable("the provider that you sign in with does not answer: try again later")


# --- Pages ----------------------------------------------------------------------------------------------------------


def _require_one_factor(user: User) -> None:
    """Ours would not be asked for on this way."""
    if second_factor.is_on(user):
        raise Forbidden("you have a second factor here, which this way does not ask for: ask an operator to remove it")


def _address_of(request: HttpRequest, view: str) -> str:
    base = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
    return base + reverse(view)


def _own(url: str) -> str:
    """The URL if it is one of our pages, else the first of them: nobody is sent elsewhere from here."""
    return url if url.startswith(("/-/web/", "/-/admin/")) else reverse("home")


def _refuse(request: HttpRequest, refusal: RegistryError) -> HttpResponse:
    status = 503 if isinstance(refusal, Unavailable) else 403
    return message(request, "Not signed in", refusal.sentence, status=status)
