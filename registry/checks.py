"""Contradictions in the settings that concern the registry, each with an id."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004 (Django's name)


@register()
def public_url(**_: Any) -> Iterable[CheckMessage]:
    """`LARDER_PUBLIC_URL` is put into documents as it stands."""
    parts = urlsplit(settings.PUBLIC_URL)
    if settings.PUBLIC_URL and (parts.scheme not in ("http", "https") or not parts.hostname or parts.query):
        yield Error(
            f"LARDER_PUBLIC_URL is {settings.PUBLIC_URL!r}, which clients cannot use.",
            hint="Set it to http(s)://host[/path], without a query.",
            id="registry.E001",
        )


@register()
def signup(**_: Any) -> Iterable[CheckMessage]:
    """`LARDER_SIGNUP` has three values."""
    if settings.SIGNUP not in ("open", "invite", "closed"):
        yield Error(f"LARDER_SIGNUP is {settings.SIGNUP!r}; it is open, invite or closed.", id="registry.E002")


@register()
def default_access(**_: Any) -> Iterable[CheckMessage]:
    """`LARDER_DEFAULT_ACCESS` has two values."""
    if settings.DEFAULT_ACCESS not in ("public", "restricted"):
        yield Error(
            f"LARDER_DEFAULT_ACCESS is {settings.DEFAULT_ACCESS!r}; it is public or restricted.", id="registry.E005"
        )


@register()
def private_scopes(**_: Any) -> Iterable[CheckMessage]:
    """Private scopes must be scopes."""
    for scope in sorted(settings.PRIVATE_SCOPES):
        if "/" in scope or len(scope) < 2:
            yield Error(
                f"LARDER_PRIVATE_SCOPES names {scope!r}; write scopes, as in @acme,@tools.",
                id="registry.E003",
            )


@register()
def acceleration(**_: Any) -> Iterable[CheckMessage]:
    """nginx can only send what is in a folder."""
    if settings.ACCEL_PREFIX and settings.S3_BUCKET:
        yield Error("LARDER_ACCEL_PREFIX needs blobs in a folder, but LARDER_S3_BUCKET is set.", id="registry.E004")


@register()
def attempts(**_: Any) -> Iterable[CheckMessage]:
    """Somebody must be able to sign in."""
    if not (settings.MAX_ATTEMPTS and settings.MAX_ATTEMPTS_PER_ADDRESS):
        yield Error(
            "With no attempts at all nobody can sign in with a password.",
            hint="Set LARDER_MAX_ATTEMPTS and LARDER_MAX_ATTEMPTS_PER_ADDRESS to 1 or more.",
            id="registry.E010",
        )


@register()
def directory(**_: Any) -> Iterable[CheckMessage]:
    """A directory is asked in one way, and its people's names are not for the first comer."""
    ldap = settings.LDAP
    if ldap is None:
        return
    url = urlsplit(ldap.url)
    if url.scheme not in ("ldap", "ldaps") or not url.hostname:
        yield Error(f"LARDER_LDAP_URL is {ldap.url!r}; it is ldap://host or ldaps://host.", id="registry.E020")
    if url.scheme == "ldaps" and ldap.start_tls:
        yield Error("LARDER_LDAP_START_TLS is for ldap://, and LARDER_LDAP_URL is ldaps://.", id="registry.E021")
    if not ldap.user_base or "{name}" not in ldap.user_filter:
        yield Error(
            "The directory's people cannot be looked up.",
            hint="Set LARDER_LDAP_USER_BASE, and put {name} into LARDER_LDAP_USER_FILTER.",
            id="registry.E022",
        )
    if bool(ldap.bind_dn) != bool(ldap.bind_password):
        yield Error("LARDER_LDAP_BIND_DN and LARDER_LDAP_BIND_PASSWORD need each other.", id="registry.E023")
    if settings.SIGNUP == "open":
        yield Error(
            "With LARDER_SIGNUP=open strangers take the names that people have in the directory.",
            hint="Set LARDER_SIGNUP to invite or closed: people of the directory come in all the same.",
            id="registry.E024",
        )
    if url.scheme == "ldap" and not ldap.start_tls and not _is_loopback(url.hostname):
        yield Warning(
            "Passwords go to the directory in the clear.",
            hint="Use ldaps://, or set LARDER_LDAP_START_TLS.",
            id="registry.W020",
        )


@register()
def openid(**_: Any) -> Iterable[CheckMessage]:
    """A provider is trusted with everybody's account, so it must be known to be the one."""
    provider = settings.OPENID
    if provider is None:
        return
    issuer = urlsplit(provider.issuer)
    if not issuer.hostname or (issuer.scheme != "https" and not _is_loopback(issuer.hostname)):
        yield Error(f"LARDER_OIDC_ISSUER is {provider.issuer!r}; it is an https:// URL.", id="registry.E025")
    if not (provider.client_id and provider.client_secret):
        yield Error("LARDER_OIDC_ISSUER needs LARDER_OIDC_CLIENT_ID and _CLIENT_SECRET.", id="registry.E026")
    if "openid" not in provider.scopes.split():
        yield Error("LARDER_OIDC_SCOPES lacks openid: no identity comes back without it.", id="registry.E027")


def _is_loopback(host: str | None) -> bool:
    return host in ("localhost", "127.0.0.1", "::1")


@register()
def hosts(**_: Any) -> Iterable[CheckMessage]:
    """Without a public URL nobody knows which hosts are ours."""
    if "*" in settings.ALLOWED_HOSTS:
        yield Warning(
            "Requests for any host are answered, because HOST is not loopback and LARDER_PUBLIC_URL is not set.",
            hint="Set LARDER_PUBLIC_URL or LARDER_ALLOWED_HOSTS.",
            id="registry.W001",
        )


@register(deploy=True)
def secret_key(**_: Any) -> Iterable[CheckMessage]:
    """A key that is made at each start ends everybody's sessions."""
    if settings.SECRET_KEY_IS_EPHEMERAL:
        yield Warning("LARDER_SECRET_KEY is not set: a new one is made at each start.", id="registry.W002")
