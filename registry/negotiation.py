"""What a request's headers ask for: pure functions of text, forgiving as clients need it."""

from email.utils import parsedate_to_datetime
from functools import lru_cache

from registry.packuments import Flavour

ENCODINGS = ("zstd", "gzip")  # those that documents are kept in, the better first


@lru_cache(maxsize=512)
def flavour(accept: str) -> Flavour:
    """The document that `Accept` asks for: abbreviated when it is named and not liked less than plain JSON."""
    weights = _weights(accept)
    wanted = weights.get("application/vnd.npm.install-v1+json", 0.0)
    return Flavour.ABBREVIATED if wanted > 0 and wanted >= weights.get("application/json", 0.0) else Flavour.FULL


@lru_cache(maxsize=512)
def encoding(accept_encoding: str) -> str:
    """`zstd`, `gzip` or `identity`; what is malformed counts as not said (bun sends `gzip/deflate` on whoami)."""
    weights = _weights(accept_encoding)
    liked = [(weights.get(name, 0.0), -index, name) for index, name in enumerate(ENCODINGS)]
    weight, _, name = max(liked)
    return name if weight > 0 else "identity"


def is_current(etag: str, modified: int, if_none_match: str | None, if_modified_since: str | None) -> bool:
    """Whether the client's copy is the current one (RFC 9110, 13.1): weak comparison, lists, `*`; ETags win.

    A date must be the very one that we gave (as with nginx): when a rule ends, a document has an earlier one again.
    """
    if if_none_match is not None:
        tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
        return "*" in tags or etag.removeprefix("W/") in tags
    if not if_modified_since:
        return False
    try:
        return modified == parsedate_to_datetime(if_modified_since).timestamp()
    except (ValueError, OverflowError):
        return False


def _weights(header: str) -> dict[str, float]:
    weights = {}
    for item in header.split(",")[:64]:
        name, *parameters = item.split(";")
        weight = 1.0
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if key.strip().lower() == "q":
                weight = _quality(value)
        weights[name.strip().lower()] = weight
    return weights


def _quality(text: str) -> float:
    """The number after `q=`; what is none, or not above zero (NaN is neither above nor below), counts as zero."""
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if quality > 0 else 0.0
