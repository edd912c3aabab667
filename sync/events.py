"""What this app says: the kinds of events it records, on one page."""

from audit.kinds import define

SYNC_REFUSED = define("sync.refused", "the sync of {subject} was refused: {reason}")
SYNC_FLAGGED = define("sync.flagged", "the sync of {subject} has failed {attempts} times: {reason}")
SYNC_CANCELLED = define("sync.cancelled", "{actor} cancelled the sync of {subject}: {reason}")
SYNC_RETRIED = define("sync.retried", "{actor} had the sync of {subject} tried again: {reason}")
SYNC_ASKED = define("sync.asked", "{actor} asked for {subject} to be fetched", ["task"])
UPSTREAM_ADDED = define("upstream.added", "{subject} was added: {url}", ["upstream_kind"])
UPSTREAM_CHANGED = define("upstream.changed", "{subject} has another {fields}", ["url"])
UPSTREAM_CREDENTIALS_CHANGED = define("upstream.credentials.changed", "{subject} is sent new credentials: {is_set}")
UPSTREAM_RESET = define("upstream.reset", "{actor} had {subject} asked again at once")
UPSTREAM_MOVED = define("upstream.moved", "{packages} packages of {subject} come from {to} from now on", ["names"])
UPSTREAM_REMOVED = define("upstream.removed", "{subject} was removed", ["to"])
RULE_SET = define("rule.set", "names like {subject} are {mode} now", ["upstreams", "previous"])
RULE_REMOVED = define("rule.removed", "{subject} was removed; it said {mode}", ["upstreams"])
REMOVAL_ASKED = define("removal.asked", "much of {subject} is gone from {upstream}: {answer}")
REMOVAL_BELIEVED = define("removal.believed", "{actor} believes that {subject} is gone: {reason}", ["answer"])
REMOVAL_KEPT = define("removal.kept", "{actor} keeps what is gone of {subject}: {reason}", ["answer", "restored"])
MIGRATION_STARTED = define("migration.started", "{subject} is brought over from {upstream}", ["names", "found"])
MIGRATION_STOPPED = define("migration.stopped", "{actor} brings {subject} over no more: {reason}")
MIGRATION_CUT_OVER = define(
    "migration.cut-over",
    "{subject} is ours now, and {upstream} is not asked any more: {reason}",
    ["names", "differing"],
)
MIGRATION_TAKEN_BACK = define("migration.taken-back", "{subject} comes from {upstream} again: {reason}", ["names"])
BINARY_ADDED = define("binary.added", "{subject} is mirrored from {url}")
BINARY_CHANGED = define("binary.changed", "{subject} has another {fields}", ["url"])
BINARY_REMOVED = define("binary.removed", "{subject} is mirrored no longer")
BINARY_RESET = define("binary.reset", "{actor} had the upstream of {subject} asked again at once")
BINARY_FORGOTTEN = define("binary.forgotten", "{actor} had {files} files of {subject} fetched anew")
BINARY_REFUSED = define("binary.refused", "{subject} is not taken from its upstream: {reason}")
