"""The base score of a CVSS 3 vector, by the formula of its specification (https://www.first.org/cvss/v3.1, 7.1)."""

from math import ceil

_EXPLOITABILITY = {
    "AV": {"N": 0.85, "A": 0.62, "L": 0.55, "P": 0.2},
    "AC": {"L": 0.77, "H": 0.44},
    "UI": {"N": 0.85, "R": 0.62},
}
_PRIVILEGES = {"U": {"N": 0.85, "L": 0.62, "H": 0.27}, "C": {"N": 0.85, "L": 0.68, "H": 0.5}}
_IMPACT = {"H": 0.56, "L": 0.22, "N": 0.0}


def score(vector: str) -> float | None:
    """From 0.0 to 10.0; None for what is no whole vector of version 3."""
    version, _, rest = vector.partition("/")
    metrics = dict(part.partition(":")[::2] for part in rest.split("/"))
    if not version.startswith("CVSS:3."):
        return None
    try:
        return _base(metrics, is_changed=metrics["S"] == "C", privileges=_PRIVILEGES[metrics["S"]][metrics["PR"]])
    except KeyError:
        return None


def severity(score: float) -> str:
    """npm's word for a score: that of the specification, and `moderate` for its `medium`."""
    steps = ((9.0, "critical"), (7.0, "high"), (4.0, "moderate"), (0.1, "low"))
    return next((word for least, word in steps if score >= least), "info")


def _base(metrics: dict[str, str], *, is_changed: bool, privileges: float) -> float:
    safe = (1 - _IMPACT[metrics["C"]]) * (1 - _IMPACT[metrics["I"]]) * (1 - _IMPACT[metrics["A"]])
    share = 1 - safe
    impact = 7.52 * (share - 0.029) - 3.25 * (share - 0.02) ** 15 if is_changed else 6.42 * share
    exploitability = 8.22 * privileges
    for metric, weights in _EXPLOITABILITY.items():
        exploitability *= weights[metrics[metric]]
    if impact <= 0:
        return 0.0
    return _rounded_up(min((1.08 if is_changed else 1.0) * (impact + exploitability), 10))


def _rounded_up(value: float) -> float:
    """To one decimal, in whole numbers, as the specification has it since 3.1."""
    whole = round(value * 100_000)
    return whole / 100_000 if whole % 10_000 == 0 else ceil(whole / 10_000) / 10
