"""Sign-in with the password that a person has in a directory (LDAP).

One who looks people up finds the entry; then the password is tried on that entry. People who have a password here are
never looked up: theirs is not sent anywhere, and whoever gets their name in the directory is somebody else.
"""

import logging
import ssl
from typing import Any

import ldap3
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from ldap3.core import exceptions
from ldap3.utils.conv import escape_filter_chars

from registry import identities
from registry.errors import Unavailable
from registry.identities import Claims
from registry.models import User
from registry.signin import Directory

logger = logging.getLogger(__name__)

SOURCE = "ldap"

_SECONDS = 5

# How directories say no to a password, or to any for now.
_REFUSALS = (
    exceptions.LDAPInvalidCredentialsResult,
    exceptions.LDAPInappropriateAuthenticationResult,
    exceptions.LDAPUnwillingToPerformResult,
    exceptions.LDAPInsufficientAccessRightsResult,
    exceptions.LDAPNoSuchObjectResult,
)


class DirectoryBackend(ModelBackend):
    """Knows people by their name and password in the directory."""

    def authenticate(
        self, request: object, username: str | None = None, password: str | None = None, **_: Any
    ) -> User | None:
        """The person; None when the directory does not know them so. Raises `Unavailable` when it does not answer."""
        # A bind without a password succeeds as nobody. A name that is not ASCII may be another spelling of one that is,
        # to a directory, and limits on guessing count by name.
        if settings.LDAP is None or not username or not password or not username.isascii():
            return None
        local = User.objects.filter(username=username.strip().lower()).first()
        if local is not None and local.has_usable_password():
            return None
        try:
            claims = _claims(settings.LDAP, username.strip(), password)
        except exceptions.LDAPException as error:
            logger.error("the directory failed: %s", error)  # noqa: TRY400 (a fact)
            raise Unavailable("the directory that knows your password does not answer: try again later") from error
        return claims and identities.person_of(claims)


def _claims(directory: Directory, name: str, password: str) -> Claims | None:
    """What the directory says of the person whose password this is."""
    with _connection(directory, directory.bind_dn, directory.bind_password) as lookup:
        entry = _entry(directory, lookup, name)
        if entry is None or not _is_password(directory, entry["dn"], password):
            return None
        called = _first(entry, directory.name_attribute)
        is_admin = _is_member(lookup, directory.admin_group, entry["dn"], called) if directory.admin_group else None
    return Claims(SOURCE, called.lower(), called, _first(entry, "mail"), is_admin)


def _connection(directory: Directory, dn: str, password: str) -> ldap3.Connection:
    tls = ldap3.Tls(validate=ssl.CERT_REQUIRED, ca_certs_file=directory.ca or None)
    server = ldap3.Server(directory.url, tls=tls, connect_timeout=_SECONDS, get_info=ldap3.NONE)
    return ldap3.Connection(
        server,
        user=dn or None,
        password=password or None,
        auto_bind=ldap3.AUTO_BIND_TLS_BEFORE_BIND if directory.start_tls else ldap3.AUTO_BIND_NO_TLS,
        auto_referrals=False,  # they would carry the password to wherever they point
        read_only=True,
        receive_timeout=_SECONDS,
        raise_exceptions=True,
    )


def _entry(directory: Directory, lookup: ldap3.Connection, name: str) -> dict[str, Any] | None:
    """The one entry that the filter finds, if it has a name."""
    wanted = directory.user_filter.replace("{name}", escape_filter_chars(name))
    attributes = [directory.name_attribute, "mail"]
    try:
        lookup.search(directory.user_base, wanted, attributes=attributes, size_limit=2)
    except exceptions.LDAPSizeLimitExceededResult:
        return None
    found = [entry for entry in lookup.response if entry["type"] == "searchResEntry"]
    if len(found) != 1:
        return None
    return found[0] if _first(found[0], directory.name_attribute) else None


def _is_password(directory: Directory, dn: str, password: str) -> bool:
    try:
        with _connection(directory, dn, password):
            return True
    except _REFUSALS:
        return False


def _is_member(lookup: ldap3.Connection, group: str, dn: str, name: str) -> bool:
    """Whether the group has the person, in any of the three ways in which groups have members."""
    entry, called = escape_filter_chars(dn), escape_filter_chars(name)
    wanted = f"(|(member={entry})(uniqueMember={entry})(memberUid={called}))"
    try:
        lookup.search(group, wanted, search_scope=ldap3.BASE, attributes=[ldap3.NO_ATTRIBUTES])
    except exceptions.LDAPNoSuchObjectResult:
        return False
    return any(entry["type"] == "searchResEntry" for entry in lookup.response)


def _first(entry: dict[str, Any], attribute: str) -> str:
    """The first value of an attribute, or nothing. Directories spell names of attributes as they like."""
    spelt = {name.lower(): values for name, values in entry["raw_attributes"].items()}
    values = spelt.get(attribute.lower()) or [b""]
    return bytes(values[0]).decode(errors="replace")
