"""Settings of `sync`, each documented where it is read: part of `config.settings`."""

from config.env import env, number

# LARDER_UPSTREAM_URL: the registry that packages are fetched from. bin/run writes the one that it finds in the npm
# client's configuration into .env. "none": nothing is ever fetched.
UPSTREAM_URL = env.str("LARDER_UPSTREAM_URL", default="https://registry.npmmirror.com").rstrip("/")
# LARDER_UPSTREAM_CA: file with the certificates to trust for the upstream, when the system's do not know it.
UPSTREAM_CA = env.str("LARDER_UPSTREAM_CA", default="")
# LARDER_FRESH_SECONDS: how long what an upstream said of a package is taken for current.
FRESH_SECONDS = number("LARDER_FRESH_SECONDS", 300)
# LARDER_MISSING_SECONDS: how long an upstream's "no such package" is taken for current.
MISSING_SECONDS = number("LARDER_MISSING_SECONDS", 30)
# LARDER_UPSTREAM_BUDGET_SECONDS: how long a reader waits for an upstream when we could answer from what is here.
UPSTREAM_BUDGET_SECONDS = number("LARDER_UPSTREAM_BUDGET_SECONDS", 3)
# LARDER_UPSTREAM_TIMEOUT_SECONDS: how long one document may take in all when nothing is here.
UPSTREAM_TIMEOUT_SECONDS = number("LARDER_UPSTREAM_TIMEOUT_SECONDS", 60)
# LARDER_TARBALL_TIMEOUT_SECONDS: how long one tarball may take in all.
TARBALL_TIMEOUT_SECONDS = number("LARDER_TARBALL_TIMEOUT_SECONDS", 1800)
# LARDER_MAX_PACKUMENT_MB: the largest document that is taken from an upstream, decoded, in MiB.
MAX_PACKUMENT_BYTES = number("LARDER_MAX_PACKUMENT_MB", 128) << 20
# LARDER_SYNC_AT_ONCE: sync tasks that one worker process runs at once.
SYNC_AT_ONCE = max(1, number("LARDER_SYNC_AT_ONCE", 4))
# LARDER_SYNC_LEASE_SECONDS: how long after the death of a worker its sync tasks are taken up by others.
SYNC_LEASE_SECONDS = max(1, number("LARDER_SYNC_LEASE_SECONDS", 60))
# LARDER_SYNC_FLAG_AFTER: after how many attempts a task is flagged for a human. It goes on being tried.
SYNC_FLAG_AFTER = max(1, number("LARDER_SYNC_FLAG_AFTER", 10))
SYNC = {"WAKE": "sync.tasks.ask_for_a_run"}  # the nudge after somebody asked for a package: a message to a worker
# LARDER_SYNC_BY: who may ask over HTTP that a package be fetched (`cnpm sync`): `people`: whoever is signed in;
# `everybody`: whoever may read here; `operators`. LARDER_SYNC_PER_MINUTE: how often in a minute, each of them.
SYNC_BY = env.str("LARDER_SYNC_BY", default="people")
SYNC_PER_MINUTE = number("LARDER_SYNC_PER_MINUTE", 30)
# LARDER_FEED_SECONDS: how often the changes feed of an upstream is looked at that is followed.
FEED_SECONDS = max(1, number("LARDER_FEED_SECONDS", 30))
# LARDER_CONFIRM_SECONDS: how long a version or a package must be gone from its upstream before that is believed here.
CONFIRM_SECONDS = number("LARDER_CONFIRM_SECONDS", 3600)
# LARDER_MIGRATE_SECONDS: how often an old registry without a changes feed is asked what is new, while it is left.
MIGRATE_SECONDS = max(1, number("LARDER_MIGRATE_SECONDS", 300))
# LARDER_TASK_DAYS: how long tasks that have ended can be read; a day those that a feed made and that went well.
TASK_DAYS = number("LARDER_TASK_DAYS", 30)
# LARDER_MASS_REMOVAL: when so many packages of one upstream are gone, or went within a day, a human decides on more.
MASS_REMOVAL = number("LARDER_MASS_REMOVAL", 20)
# LARDER_NODE_DIST_URL: where the releases of Node are fetched from that /-/binary/node/ has. "none": they are not
# mirrored. More trees of such a layout are added in the admin.
NODE_DIST_URL = env.str("LARDER_NODE_DIST_URL", default="https://nodejs.org/dist").rstrip("/")
# LARDER_MAX_BINARY_MB, LARDER_MAX_BINARY_INDEX_MB: the largest file, and the largest index or list of checksums, that
# is taken from the upstream of a binary mirror, in MiB.
MAX_BINARY_BYTES = number("LARDER_MAX_BINARY_MB", 1024) << 20
MAX_BINARY_INDEX_BYTES = number("LARDER_MAX_BINARY_INDEX_MB", 8) << 20
