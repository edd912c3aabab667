"""Settings of `bugversions`, each documented where it is read: part of `config.settings`."""

from config.env import env, number

# LARDER_ADVISORIES_URL: a zip of OSV entries about npm that `npm audit` is answered from, fetched when it has changed,
# for instance https://osv-vulnerabilities.storage.googleapis.com/npm/all.zip. Empty: nothing is fetched;
# `manage.py advisories import` brings them in. LARDER_ADVISORIES_SECONDS: how often it is looked at.
ADVISORIES_URL = env.str("LARDER_ADVISORIES_URL", default="")
ADVISORIES_SECONDS = max(60, number("LARDER_ADVISORIES_SECONDS", 6 * 3600))
# LARDER_MAX_ADVISORIES, LARDER_MAX_ADVISORIES_MB, LARDER_MAX_ADVISORY_KB: the most files of a dump, the most MiB that
# it may have, packed and unpacked, and the most KiB that one of its files may have.
MAX_ADVISORIES = number("LARDER_MAX_ADVISORIES", 1_000_000)
MAX_ADVISORIES_BYTES = number("LARDER_MAX_ADVISORIES_MB", 4096) << 20
MAX_ADVISORY_BYTES = number("LARDER_MAX_ADVISORY_KB", 2048) << 10
# LARDER_MAX_AUDIT_MB: the most MiB that the body of an audit may have, packed and unpacked. pnpm 8 to 10 repeat what
# several packages need: theirs are the largest.
MAX_AUDIT_BYTES = number("LARDER_MAX_AUDIT_MB", 32) << 20
# LARDER_MAX_AUDIT_NAMES: how many packages an audit may ask about. LARDER_MAX_AUDIT_NODES, LARDER_MAX_AUDIT_DEPTH: how
# many packages, counted where they lie, a tree may have that an older client sends, and how deep it may be.
MAX_AUDIT_NAMES = number("LARDER_MAX_AUDIT_NAMES", 50_000)
MAX_AUDIT_NODES = number("LARDER_MAX_AUDIT_NODES", 200_000)
MAX_AUDIT_DEPTH = number("LARDER_MAX_AUDIT_DEPTH", 200)
# LARDER_BUG_VERSIONS: whose npm package `bug-versions` is imported when a new version of it arrives: `upstream`: the
# one that comes from an upstream; `here`: one that is published here; `none`: nobody's (`manage.py bugversions import`
# is always there).
BUG_VERSIONS = env.str("LARDER_BUG_VERSIONS", default="upstream")
# LARDER_MAX_RULES: how many entries such a list may have; a longer one is refused whole.
MAX_RULES = number("LARDER_MAX_RULES", 20_000)
