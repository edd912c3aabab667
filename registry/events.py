"""What this app says: the kinds of events it records, on one page."""

from audit.kinds import define

VERSION_PUBLISHED = define("package.version.published", "{version} of {subject} was published", ["tags"])
PACKAGE_MIRRORED = define(
    "package.mirrored", "{subject} was brought up to date: {added} added, {edited} edited", ["removed"]
)
USER_CREATED = define("user.created", "{subject} was created", ["is_admin"])
TOKEN_CREATED = define("token.created", "{prefix}…, a {token_kind} token of {subject}, was made")
TOKEN_REVOKED = define("token.revoked", "{prefix}…, a token of {subject}, was revoked")
