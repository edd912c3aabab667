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
