"""What an upstream's signers say of a version, fetched when somebody asks and kept by `registry.provenance`."""

from typing import Any

from registry import jsontext
from registry.errors import Unavailable
from registry.names import PackageName
from sync import breaker, kinds, routing
from sync.http import Refused, UpstreamError
from sync.kinds.registry import Registry

_MOST_BYTES, _MOST = 8 << 20, 50
_LONGEST_TYPE = 255


def attestations(name: PackageName, number: str) -> list[tuple[str, str]]:
    """Types of predicates and bundles, as they came but for white space. Raises `Unavailable`."""
    upstream = routing.route(name).upstream
    source = kinds.source(upstream) if upstream else None
    if upstream is None or not isinstance(source, Registry):
        return []
    if breaker.resting(upstream):
        raise Unavailable(f"{upstream} cannot be asked for attestations now: try again", retry_after=10)
    routing.require(name, upstream)
    url = f"{upstream.url}/-/npm/v1/attestations/{name.url}@{number}"
    try:
        with source.get(url, {"accept": "application/json"}) as response:
            if response.status != 200:
                return []
            return _read(response.read_all(_MOST_BYTES))
    except Refused:
        return []
    except UpstreamError as error:
        breaker.failed(upstream, error)
        raise Unavailable(f"{error.sentence}: try again", retry_after=10) from error


def _read(body: bytes) -> list[tuple[str, str]]:
    try:
        document = jsontext.decode(body)
    except ValueError:
        return []
    rows = document.get("attestations") if isinstance(document, dict) else None
    pairs = [_pair(row) for row in rows[:_MOST]] if isinstance(rows, list) else []
    return [pair for pair in pairs if pair is not None]


def _pair(row: Any) -> tuple[str, str] | None:
    kind, bundle = (row.get("predicateType"), row.get("bundle")) if isinstance(row, dict) else (None, None)
    if not isinstance(kind, str) or len(kind) > _LONGEST_TYPE or not kind.isprintable() or not isinstance(bundle, dict):
        return None
    return kind, jsontext.encode(bundle)
