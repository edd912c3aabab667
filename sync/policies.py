"""What rules say about what is here already: `registry.policies.Policy`."""

from collections.abc import Collection, Mapping

from registry.models import Stamp
from registry.names import PackageName
from registry.policies import Judgement
from sync import routing


class Rules:
    """Names that a rule keeps for us, or keeps out: what came from elsewhere before is not served any more."""

    def judge(self, name: str, stamp: Stamp) -> Judgement:
        """Refuse a foreign package under a name that must not come from elsewhere."""
        rule = routing.barring_now(PackageName.parse(name)) if stamp.origin is not None else None
        if rule is None:
            return Judgement()
        return Judgement(
            refused_whole=f"{name} came from the upstream {stamp.origin}, and by now the rule for {rule.pattern} "
            f"says {rule.mode}: ask an operator"
        )

    def refused_whole(self, stamps: Mapping[str, Stamp]) -> Collection[str]:
        """Foreign packages under names that must not come from elsewhere."""
        return routing.barred_now(name for name, stamp in stamps.items() if stamp.origin is not None)
