"""Where people may prove who they are besides here: a directory (LDAP), an OpenID provider. Off unless named."""

from dataclasses import dataclass, field

from environ import Env


@dataclass(frozen=True, slots=True)
class Directory:
    """An LDAP directory: who is looked up in it, and how."""

    url: str
    user_base: str
    user_filter: str = "(uid={name})"
    name_attribute: str = "uid"
    bind_dn: str = ""
    bind_password: str = field(default="", repr=False)
    start_tls: bool = False
    ca: str = ""
    admin_group: str = ""


@dataclass(frozen=True, slots=True)
class Provider:
    """An OpenID provider: how it knows us, and what of its claims we read."""

    issuer: str
    client_id: str
    client_secret: str = field(default="", repr=False)
    label: str = "OpenID Connect"
    scopes: str = "openid profile email"
    name_claim: str = "preferred_username"
    groups_claim: str = "groups"
    group: str = ""
    admin_group: str = ""


def directory(env: Env) -> Directory | None:
    """What the variables say of a directory; None without one."""
    # LARDER_LDAP_URL: ldap://host[:389] or ldaps://host[:636]. Empty: no directory.
    if not (url := env.str("LARDER_LDAP_URL", default="")):
        return None
    return Directory(
        url=url,
        # LARDER_LDAP_USER_BASE: the entry below which people are, such as ou=people,dc=example,dc=org.
        user_base=env.str("LARDER_LDAP_USER_BASE", default=""),
        # LARDER_LDAP_USER_FILTER: finds one person; {name} is what they type. It also says who may sign in at all:
        # (&(uid={name})(memberOf=cn=developers,dc=example,dc=org)).
        user_filter=env.str("LARDER_LDAP_USER_FILTER", default="(uid={name})"),
        # LARDER_LDAP_NAME_ATTRIBUTE: what a person is called here; of an address, what is before the "@".
        # Active Directory: sAMAccountName.
        name_attribute=env.str("LARDER_LDAP_NAME_ATTRIBUTE", default="uid"),
        # LARDER_LDAP_BIND_DN, LARDER_LDAP_BIND_PASSWORD: who looks people up. Empty: nobody in particular.
        bind_dn=env.str("LARDER_LDAP_BIND_DN", default=""),
        bind_password=env.str("LARDER_LDAP_BIND_PASSWORD", default=""),
        # LARDER_LDAP_START_TLS: encrypt an ldap:// connection before anything is said on it.
        start_tls=env.bool("LARDER_LDAP_START_TLS", default=False),
        # LARDER_LDAP_CA: file with the certificates to trust, when the system's do not know the directory's.
        ca=env.str("LARDER_LDAP_CA", default=""),
        # LARDER_LDAP_ADMIN_GROUP: the group entry whose members run this registry. Empty: the directory does not say.
        admin_group=env.str("LARDER_LDAP_ADMIN_GROUP", default=""),
    )


def provider(env: Env) -> Provider | None:
    """What the variables say of an OpenID provider; None without one."""
    # LARDER_OIDC_ISSUER: the provider's URL, exactly as it gives it in `issuer`. Empty: no provider.
    if not (issuer := env.str("LARDER_OIDC_ISSUER", default="")):
        return None
    return Provider(
        issuer=issuer,
        # LARDER_OIDC_CLIENT_ID, LARDER_OIDC_CLIENT_SECRET: what the provider gave us when we were registered there.
        client_id=env.str("LARDER_OIDC_CLIENT_ID", default=""),
        client_secret=env.str("LARDER_OIDC_CLIENT_SECRET", default=""),
        # LARDER_OIDC_LABEL: what people call it, on the link to it.
        label=env.str("LARDER_OIDC_LABEL", default="OpenID Connect"),
        # LARDER_OIDC_SCOPES: what we ask to be told.
        scopes=env.str("LARDER_OIDC_SCOPES", default="openid profile email"),
        # LARDER_OIDC_NAME_CLAIM: what a person is called here, at first; of an address, what is before the "@".
        name_claim=env.str("LARDER_OIDC_NAME_CLAIM", default="preferred_username"),
        # LARDER_OIDC_GROUPS_CLAIM: where the groups are.
        groups_claim=env.str("LARDER_OIDC_GROUPS_CLAIM", default="groups"),
        # LARDER_OIDC_GROUP: only who is in this group may sign in. Empty: everybody whom the provider knows.
        group=env.str("LARDER_OIDC_GROUP", default=""),
        # LARDER_OIDC_ADMIN_GROUP: who is in it runs this registry. Empty: the provider does not say.
        admin_group=env.str("LARDER_OIDC_ADMIN_GROUP", default=""),
    )
