"""What this app says: the kinds of events it records, on one page."""

from audit.kinds import define

RULE_ADDED = define("bugversion.added", "{actor} made a rule: {action} {subject}: {reason}", ["rule"])
RULE_CHANGED = define("bugversion.changed", "{actor} changed a rule: {action} {subject}: {reason}", ["rule", "before"])
RULE_RETIRED = define("bugversion.retired", "{actor} retired a rule: {action} {subject}: {reason}", ["rule"])
RULE_UNDONE = define("bugversion.undone", "{actor} took back what was done to a rule of {subject}: {reason}", ["event"])
TARBALL_REPACKED = define("bugversion.repacked", "{version} of {subject} was repacked by a rule", ["sha512"])
RULES_IMPORTED = define(
    "bugversions.imported",
    "rules of {source} were imported: {added} added, {changed} changed, {removed} removed",
    ["packages", "diff"],
)
IMPORT_REFUSED = define("bugversions.refused", "what {source} says was refused: {reason}")
HOLD_SET = define("hold.set", "{actor} holds {subject} for {seconds} s: {reason}", ["allowed", "upstream"])
HOLD_ENDED = define("hold.ended", "{actor} does not hold {subject} any more: {reason}")
FROZEN = define("freeze.began", "{actor} serves nothing that was published after {since}: {reason}")
THAWED = define("freeze.lifted", "{actor} lifted the freeze: {reason}")
ADVISORIES_IMPORTED = define(
    "advisories.imported",
    "{actor} imported advisories from {subject}: {added} added, {changed} changed, {removed} removed, {same} as before",
    ["unreadable"],
)
ADVISORIES_REFUSED = define("advisories.refused", "the advisories of {subject} are not taken: {reason}")
