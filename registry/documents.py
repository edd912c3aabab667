"""Packuments as responses: joined from rows, seen through the policies, compressed once."""

import hashlib
import math
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from email.utils import formatdate
from typing import Any

import zstandard
from django.conf import settings

from registry import cache, jsontext, packuments, revisions, semver
from registry.cache import DocumentKey, Ready
from registry.models import DistTag, Package, Stamp, Star, Version
from registry.packuments import FORMAT, Flavour
from registry.policies import Judgement

_GZIP_LEVEL = 6
_GZIP_FORMAT = 16 + zlib.MAX_WBITS  # without a time in its head: equal documents are equal bytes
_ZSTD_LEVEL = 3

# max-age=0: `npm publish && npm install` must see the new version. No must-revalidate, so that clients fall back on
# their copy while we are down; stale-while-revalidate bounds what vlt makes of that.
_CACHE_CONTROL = "public, max-age=0, stale-while-revalidate=60, stale-if-error=86400"

# What a tarball's URL stands for never changes; what is withheld later is purged (`registry.cdn`).
FOR_GOOD = "public, immutable, max-age=31536000"


class Moved(Exception):
    """The package changed while its document was built: some of what was read is old, and some new."""


def etag(key: DocumentKey, stamp: Stamp, judgement: Judgement) -> str:
    """The validator of a document: another one per revision, flavour, base URL and view; under 64 characters (bun)."""
    digest = hashlib.blake2b(f"{key.base}\n{judgement.view}".encode(), digest_size=12).hexdigest()
    return f'W/"{stamp.revision:x}-{FORMAT}{key.flavour.value}-{digest}"'


def build(key: DocumentKey, stamp: Stamp, judgement: Judgement) -> Ready:
    """The document for `key`, from ring 2 or from rows. Raises `Moved`."""
    tag = etag(key, stamp, judgement)
    head = read_head(stamp.id)
    body = None if is_private(stamp) else cache.shared_get(key, tag)
    if body is None:
        body = _compress(_pieces(key, stamp, judgement, head), key.encoding)
        if Package.objects.stamp(key.name) != stamp:
            raise Moved
        if not is_private(stamp):
            cache.shared_put(key, tag, body)
    modified = _modified(head, stamp, judgement)
    headers = [
        ("Content-Type", key.flavour.content_type),
        ("Content-Length", str(len(body))),
        ("ETag", tag),
        ("Last-Modified", formatdate(modified, usegmt=True)),
        ("Vary", "Accept, Accept-Encoding"),
        *caching(stamp, key.name, _CACHE_CONTROL),
    ]
    if key.encoding != "identity":
        headers.append(("Content-Encoding", key.encoding))
    return Ready(
        key.name, stamp.revision, tag, modified, headers, body=body, judged_until=judgement.until,
        is_private=is_private(stamp),
    )  # fmt: skip


def is_private(stamp: Stamp) -> bool:
    """Whether only some people may see the package: no cache outside may keep it."""
    return stamp.is_restricted or not settings.ANONYMOUS_READ


def caching(stamp: Stamp, name: str, control: str) -> list[tuple[str, str]]:
    """The headers for caches between us and the reader; `control` is for what everybody may see."""
    if is_private(stamp):
        return [("Cache-Control", "private, no-store")]
    return [("Cache-Control", control), ("Cache-Tag", f"package/{name}")]


def read_head(package_id: int) -> dict[str, Any]:
    """The top level of the stored packument, in its order."""
    head: dict[str, Any] = jsontext.decode(Package.objects.values_list("head", flat=True).get(pk=package_id))
    return head


def read_tags(package_id: int, hidden: Collection[str]) -> dict[str, str]:
    """The dist-tags that point at versions which are served. `latest` falls back to the best version left."""
    rows = DistTag.objects.filter(package_id=package_id, version__unpublished_at=None).order_by("id")
    tags = {tag: number for tag, number in rows.values_list("tag", "version__number") if number not in hidden}
    if not hidden or "latest" in tags:
        return tags
    numbers = Version.objects.published().filter(package_id=package_id).values_list("number", flat=True)
    best = semver.highest(number for number in numbers if number not in hidden)
    return {**tags, "latest": best} if best else tags


def _pieces(key: DocumentKey, stamp: Stamp, judgement: Judgement, head: dict[str, Any]) -> Iterator[str]:
    if judgement.hidden:
        head = {**head, "policyRestrictions": _restrictions(judgement.hidden)}
    if key.flavour is Flavour.FULL:
        head = _with_stars(head, stamp.id)
        if stamp.origin is None:  # an upstream's own is passed on, like all that it gives
            head = {"_id": key.name, "_rev": revisions.of(stamp, judgement), **head}
    versions = _served(key.flavour, stamp, judgement)
    return packuments.pieces(key.flavour, head, versions, read_tags(stamp.id, judgement.hidden), key.base)


def _with_stars(head: dict[str, Any], package_id: int) -> dict[str, Any]:
    """With those who like the package here beside those of the upstream that it comes from."""
    names = Star.objects.filter(package_id=package_id).order_by("id").values_list("user__username", flat=True)
    here = dict.fromkeys(names, True)
    elsewhere = head.get("users")
    return {**head, "users": {**elsewhere, **here} if isinstance(elsewhere, dict) else here} if here else head


def _served(flavour: Flavour, stamp: Stamp, judgement: Judgement) -> Iterator[tuple[str, str]]:
    column = "manifest" if flavour is Flavour.FULL else "abbreviated"
    rows = Version.objects.published().filter(package_id=stamp.id).values_list("number", column)
    for number, text in rows.iterator(chunk_size=200):
        rewritten = judgement.rewritten.get(number)
        if number in judgement.hidden:
            continue
        if rewritten:
            yield number, rewritten.full if flavour is Flavour.FULL else rewritten.abbreviated
        else:
            yield number, text


def _restrictions(hidden: Mapping[str, str]) -> dict[str, Any]:
    """What npm prints of a version that is named only here.

    From 7 on it looks a version up by the number inside: without one it takes the entry for a manifest, and ends with
    status 0 and nothing installed (8 to 10) or complains of that manifest (11 and 12), and never says why.
    """
    versions = {number: {"version": number} for number in hidden}
    return {"message": "; ".join(sorted(set(hidden.values()))), "versions": versions}


def _compress(pieces: Iterable[str], encoding: str) -> bytes:
    """The pieces as one body. They are compressed as they come: a document of 20 MB is never whole in memory."""
    if encoding == "identity":
        return b"".join(piece.encode() for piece in pieces)
    packer = (
        zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
        if encoding == "zstd"
        else zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    )
    return b"".join([*(packer.compress(piece.encode()) for piece in pieces), packer.flush()])


def _modified(head: Mapping[str, Any], stamp: Stamp, judgement: Judgement) -> int:
    """`time.modified`, rounded up to a second: pnpm takes `Last-Modified` for it. Else when it changed here.

    It changed here also when a policy has a say in it: then a date that an upstream gave says too little.
    """
    changed = math.ceil(stamp.revision / 1_000_000)
    try:
        modified = math.ceil(datetime.fromisoformat(head["time"]["modified"]).timestamp())
    except (KeyError, TypeError, ValueError, OverflowError):
        return changed
    return max(modified, changed) if judgement.hidden or judgement.rewritten else max(modified, 0)
