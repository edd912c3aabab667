"""What upstreams want to see before they answer: kept sealed, shown to nobody, and sent to their own origin only.

Who is asked decides `sync.http`: an `Origin` carries the header, and no other host gets it, whether a document names
that host or a redirect leads there.
"""

import base64
import re

from django.conf import settings

from registry import secrecy
from registry.errors import Invalid, Unavailable
from sync.http import ForbiddenTarget, Origin, Refused
from sync.models import Upstream

_LONGEST = 4096
_TOKEN = re.compile(rf"[!-~]{{1,{_LONGEST}}}")


def sealed(secret: str) -> str:
    """A token, or `user:password`, as its row keeps it; nothing for nothing. Raises `Invalid` for what is neither."""
    if not secret:
        return ""
    if settings.SECRET_KEY_IS_EPHEMERAL:
        raise Unavailable("credentials would be lost when this registry restarts: set LARDER_SECRET_KEY first")
    if not (_TOKEN.fullmatch(secret) or (":" in secret and secret.isprintable() and len(secret) <= _LONGEST)):
        raise Invalid("credentials are a token, without the word Bearer and without spaces, or user:password")
    return secrecy.seal(secret)


def authorization(upstream: Upstream) -> str | None:
    """The header that the upstream's own origin gets. Raises `Refused` when it cannot be read any more.

    To ask without it would be worse than not to ask: what is private there would seem not to exist.
    """
    if not upstream.credentials:
        return None
    try:
        secret = secrecy.unseal(upstream.credentials)
    except secrecy.Unreadable as error:
        raise Refused(f"the credentials of {upstream} cannot be read ({error}): set them again") from error
    if ":" in secret:
        return f"Basic {base64.b64encode(secret.encode()).decode()}"
    return f"Bearer {secret}"


def kept(upstream: Upstream, url: str) -> str:
    """What stays of the credentials when the upstream is at `url` from now on: nothing at another origin."""
    try:
        return upstream.credentials if Origin.of(upstream.url) == Origin.of(url) else ""
    except ForbiddenTarget:
        return ""
