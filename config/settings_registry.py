"""Settings of `registry`, each documented where it is read: part of `config.settings`."""

from config.env import env, number

# LARDER_PRIVATE_SCOPES: these scopes are ours: people publish into them and no upstream is ever asked for them.
PRIVATE_SCOPES = frozenset(
    scope if scope.startswith("@") else f"@{scope}"
    for scope in (item.strip().lower() for item in env.list("LARDER_PRIVATE_SCOPES", default=[]))
    if scope
)
# LARDER_SIGNUP: `open`: `npm login` with a new name creates the person; `invite`: who has an invitation
# (`manage.py invite`) signs up in the browser; `closed`: an operator creates people.
SIGNUP = env.str("LARDER_SIGNUP", default="closed")
# LARDER_MAX_ATTEMPTS, LARDER_MAX_ATTEMPTS_PER_ADDRESS: how many passwords and one-time passwords may be wrong in 15
# minutes, on one person and from one address. Behind a proxy the address needs LARDER_TRUSTED_PROXIES.
MAX_ATTEMPTS = number("LARDER_MAX_ATTEMPTS", 10)
MAX_ATTEMPTS_PER_ADDRESS = number("LARDER_MAX_ATTEMPTS_PER_ADDRESS", 100)
# LARDER_LOGIN_MINUTES: how long a client waits for its person to sign in, or show a second factor, in a browser.
LOGIN_MINUTES = number("LARDER_LOGIN_MINUTES", 10)

# LARDER_DEFAULT_ACCESS: who may read a new package when its publisher does not say: `public`: everybody who may read
# here; `restricted`: those who have a right to it.
DEFAULT_ACCESS = env.str("LARDER_DEFAULT_ACCESS", default="public")
# LARDER_MAX_TOKEN_DAYS: how long a granular token may live at most, and does when its maker does not say.
MAX_TOKEN_DAYS = max(1, number("LARDER_MAX_TOKEN_DAYS", 365))

# LARDER_UNDO_DAYS: how long an operator can restore what was unpublished; after that its tarballs are deleted.
UNDO_DAYS = number("LARDER_UNDO_DAYS", 30)
# LARDER_CDN_URLS: caches before us (Varnish, nginx, a CDN), separated by commas, that are asked with HTTP PURGE to
# forget what is withheld, unpublished or restricted: https://npm.example.com, or http://127.0.0.1:6081 for one on this
# host. LARDER_CDN_TOKEN: sent to them as a Bearer token, and to nobody else.
CDN_URLS = [url.rstrip("/") for url in env.list("LARDER_CDN_URLS", default=[]) if url]
CDN_TOKEN = env.str("LARDER_CDN_TOKEN", default="")
# LARDER_DOWNLOADERS_DAYS: how long is kept who downloaded a version, by the person of the token or else the address, so
# that they can be told when it turns out to be bad. 0: nobody is noted.
DOWNLOADERS_DAYS = number("LARDER_DOWNLOADERS_DAYS", 30)
# LARDER_REPUBLISH_HOURS: how long the name of an unpublished package is kept for its maintainers.
REPUBLISH_HOURS = number("LARDER_REPUBLISH_HOURS", 24)

# LARDER_MAX_TARBALL_MB, LARDER_MAX_METADATA_MB: the largest tarball and the largest rest of a publish, in MiB.
MAX_TARBALL_BYTES = number("LARDER_MAX_TARBALL_MB", 512) << 20
MAX_METADATA_BYTES = number("LARDER_MAX_METADATA_MB", 64) << 20
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440  # for the admin's forms; publishes are streamed and have the limits above

# LARDER_RING_MB: memory of each web process for documents that are ready to send, in MiB.
RING_BYTES = number("LARDER_RING_MB", 64) << 20
# LARDER_FRONT_DOOR: answer public reads from that memory before Django is asked ("no" sends all through Django).
FRONT_DOOR = env.bool("LARDER_FRONT_DOOR", default=True)
