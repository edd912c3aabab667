"""What this app says: the kinds of events it records, on one page."""

from audit.kinds import define

VERSION_PUBLISHED = define("package.version.published", "{version} of {subject} was published", ["tags"])
VERSION_UNPUBLISHED = define(
    "package.version.unpublished", "{version} of {subject} was unpublished", ["tags", "latest"]
)
VERSION_RESTORED = define("package.version.restored", "{version} of {subject} was restored", ["latest"])
PACKAGE_UNPUBLISHED = define("package.unpublished", "{subject} was unpublished", ["versions"])
PACKAGE_RESTORED = define("package.restored", "{subject} was restored", ["versions"])
PACKAGE_DEPRECATED = define("package.deprecated", "versions of {subject} were deprecated: {message}", ["versions"])
PACKAGE_UNDEPRECATED = define("package.undeprecated", "versions of {subject} are not deprecated any more", ["versions"])
VIEW_CHANGED = define("package.rules.changed", "what readers see of {subject} changed by a rule")
PACKAGE_MIRRORED = define(
    "package.mirrored", "{subject} was brought up to date: {added} added, {edited} edited", ["removed"]
)
TARBALLS_REPLACED = define(
    "package.tarballs.replaced", "{versions} of {subject} have another tarball than before, by what {actor} says"
)
USER_CHANGED = define("user.changed", "{actor} changed {fields} of {subject}", ["is_active", "is_operator"])
USER_CREATED = define("user.created", "{subject} was created", ["is_admin"])
PASSWORD_CHANGED = define("user.password.changed", "{subject} has a new password", ["revoked"])
PROFILE_CHANGED = define("user.profile.changed", "{subject} changed {fields} of their profile")
IDENTITY_LINKED = define("user.identity.linked", "{subject} signs in by {source} from now on")
OPERATOR_CHANGED = define("user.operator.changed", "whether {subject} runs this registry: {is_admin}")
SECOND_FACTOR_CHANGED = define("user.second-factor.changed", "the second factor of {subject} is {mode} now")
RECOVERY_CODE_USED = define("user.recovery-code.used", "{subject} used a recovery code; {left} are left")
TOKEN_CREATED = define("token.created", "{prefix}…, a {token_kind} token of {subject}, was made")
TOKEN_REVOKED = define("token.revoked", "{prefix}…, a token of {subject}, was revoked")
BROWSER_ALLOWED = define("browser.allowed", "{subject} allowed a {purpose} of {hostname} at {address}, in a browser")
INVITATION_MADE = define("invitation.made", "{subject} was made, good for {days} days", ["note"])
INVITATION_USED = define("invitation.used", "{subject} was used by {user}")
TAG_SET = define("package.tag.set", "{tag} of {subject} points at {version} now", ["previous"])
TAG_REMOVED = define("package.tag.removed", "{tag} of {subject} was removed; it pointed at {version}")
OWNER_ADDED = define("package.owner.added", "{owner} owns {subject} now")
OWNER_REMOVED = define("package.owner.removed", "{owner} does not own {subject} any more")
PACKAGE_STARRED = define("package.starred", "{actor} likes {subject}")
PACKAGE_UNSTARRED = define("package.unstarred", "{actor} does not like {subject} any more")
ACCESS_CHANGED = define("package.access.changed", "{subject} is {access} now")
SECOND_FACTOR_RULE_CHANGED = define(
    "package.second-factor.changed", "who publishes {subject} needs a second factor: {rule}"
)
ORG_CREATED = define("org.created", "{subject} was created")
ORG_DELETED = define("org.deleted", "{subject} was given up")
ORG_MEMBER_SET = define("org.member.set", "{user} is {role} of {subject} now", ["previous"])
ORG_MEMBER_REMOVED = define("org.member.removed", "{user} was taken out of {subject}", ["teams"])
TEAM_CREATED = define("team.created", "the team {team} of {subject} was created")
TEAM_DELETED = define("team.deleted", "the team {team} of {subject} was removed")
TEAM_MEMBER_ADDED = define("team.member.added", "{user} is in the team {team} of {subject} now")
TEAM_MEMBER_REMOVED = define("team.member.removed", "{user} was taken out of the team {team} of {subject}")
TEAM_PACKAGE_GRANTED = define("team.package.granted", "{team} has {permission} rights on {subject} now", ["previous"])
TEAM_PACKAGE_REVOKED = define("team.package.revoked", "{team} has no rights of its own on {subject} any more")
