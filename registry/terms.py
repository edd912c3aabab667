"""The terms of a token: what it may at most, from where, and until when; and how they are read from people's words.

A list of names that is there and empty allows nothing. Only `None` is no restriction, and only who makes the terms
says `None`: words never become it, but for networks, of which clients send an empty list when they mean any.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from django.utils import timezone

from registry.errors import Forbidden, Invalid
from registry.models import Token
from registry.names import PackageName

_MOST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Terms:
    """What a token is made with; the fields are those of its row."""

    kind: str = Token.Kind.PUBLISH
    name: str = ""
    description: str = ""
    is_admin: bool = False
    packages: list[str] | None = None
    scopes: list[str] | None = None
    orgs: list[str] | None = None
    permission: str = Token.Permission.READ_WRITE
    orgs_permission: str = Token.Permission.READ_WRITE
    cidrs: list[str] | None = None
    bypasses_2fa: bool = False
    expires_at: datetime | None = None

    def within(self, token: Token) -> "Terms":
        """These terms, drawn in to the networks and the time of the token that asks for a new one.

        Raises `Forbidden` for a network that it may not be used from itself.
        """
        ends = [end for end in (self.expires_at, token.expires_at) if end is not None]
        return replace(
            self,
            is_admin=self.is_admin and token.is_admin,
            cidrs=_within(self.cidrs, token.cidrs),
            expires_at=min(ends, default=None),
        )


def text(words: str, *, most: int) -> str:
    """One line of at most `most` characters, as it can be kept and shown on a terminal."""
    if len(words) > most or not words.isprintable():
        raise Invalid(f'"{words[:40]}" cannot be used: write one line of {most} characters at most')
    return words


def package_names(words: Iterable[str]) -> list[str]:
    """Names of packages, which need not exist yet."""
    return _some({str(PackageName.parse(word)) for word in words})


def scope_names(words: Iterable[str]) -> list[str]:
    """Names of scopes, with their `@` and in lower case as npm has them; `acme` and `@acme` are one."""
    return _some({_scope(word) for word in words})


def networks(words: Iterable[str]) -> list[str] | None:
    """Networks such as `10.0.0.0/8` or `2001:db8::/32`; None, which is any, when there are no words."""
    return _some({str(_network(word)) for word in words}) or None


def permission(word: str) -> str:
    """A permission by its name."""
    if word not in Token.Permission.values:
        raise Invalid(f'"{word[:40]}" is not a permission here: use {", ".join(Token.Permission.values)}')
    return word


def end_after(days: int, *, most: int) -> datetime:
    """When a token ends that lives for `days`."""
    if not 1 <= days <= most:
        raise Invalid(f"a token can be made for 1 to {most} days")
    return timezone.now() + timedelta(days=days)


def admits(cidrs: Sequence[str] | None, origin: str) -> bool:
    """Whether a token for these networks may be used from the address `origin`; one that is not known is in none."""
    if cidrs is None:
        return True
    if not origin:
        return False
    address = ip_address(origin)
    if isinstance(address, IPv6Address) and address.ipv4_mapped:  # an IPv4 client of a socket that speaks both
        address = address.ipv4_mapped
    return any(address in ip_network(one) for one in cidrs)


def _within(wanted: list[str] | None, limit: list[str] | None) -> list[str] | None:
    if wanted is None or limit is None:
        return limit if wanted is None else wanted
    for one in wanted:
        if not any(_holds(ip_network(other), ip_network(one)) for other in limit):
            raise Forbidden(f"{one} is outside the networks of the token that you use: log in to make one for it")
    return wanted


def _holds(outer: IPv4Network | IPv6Network, inner: IPv4Network | IPv6Network) -> bool:
    return inner.network_address in outer and inner.broadcast_address in outer


def _scope(word: str) -> str:
    try:
        return PackageName.parse(f"@{word.removeprefix('@')}/any").scope.lower()
    except Invalid as error:
        raise Invalid(f'"{word[:80]}" is not a scope: write it as in @acme') from error


def _network(word: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(word.strip(), strict=False)
    except ValueError as error:
        raise Invalid(f'"{word[:80]}" is not a network: write it as in 10.0.0.0/8 or 2001:db8::/32') from error


def _some(names: set[str]) -> list[str]:
    if len(names) > _MOST_WORDS:
        raise Invalid(f"a token can name {_MOST_WORDS} of a kind at most: name scopes instead of packages")
    return sorted(names)
