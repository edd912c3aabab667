"""Search: which packages somebody may mean, the likeliest first."""

import math
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

from django.db.models import Case, Exists, IntegerField, OuterRef, Q, When

from audit.actors import Actor
from registry import access, downloads, jsontext
from registry.downloads import Recent
from registry.models import Package, SearchEntry
from registry.names import PackageName
from registry.searching.query import Clause, Query

MAX_SIZE = 250
_FURTHEST = 100_000  # nobody pages this far, and databases count no further than 64 bits
_NOTHING = Q(pk__in=[])
_CLOSENESSES = 5


@dataclass(frozen=True, slots=True)
class Found:
    """One page of results as npm reads them, and how many there are in all."""

    objects: list[dict[str, Any]]
    total: int


def find(text: str, *, size: int = 20, start: int = 0, base: str, viewer: Actor) -> Found:
    """The packages here that `viewer` may see and that fit `text`: named so, then beginning so, then about it.

    Among equals those come first that are downloaded more, then those that were here before. `base` is the registry's
    URL. Raises `Unauthenticated` and `Invalid`.
    """
    access.require_reader(viewer)
    query = Query.parse(text)
    rows = SearchEntry.objects.filter(_is_visible(viewer), *map(_condition, query.clauses))
    ordered = rows.annotate(closeness=_closeness(query)).order_by("closeness", "-weekly", "pk")
    first = min(max(start, 0), _FURTHEST)
    page = list(ordered[first : first + min(max(size, 0), MAX_SIZE)])
    recent = downloads.recent(entry.name for entry in page)
    return Found([_result(entry, entry.closeness, recent[entry.name], base) for entry in page], rows.count())


def _is_visible(viewer: Actor) -> Exists:
    """Asked of each row that fits: a list of all packages that somebody may see would be long."""
    rows = Package.objects.filter(access.readable(viewer), pk=OuterRef("pk"), unpublished_at=None)
    return Exists(rows.exclude(blocked_reason__gt=""))


def _condition(clause: Clause) -> Q:
    parts = [_has(needle) for needle in clause.needles]
    found = reduce(or_, parts, _NOTHING) if clause.is_any else reduce(and_, parts)
    return ~found if clause.is_negated else found


def _has(needle: str) -> Q:
    """A label is there or not; a word begins one of the package's, or stands in its name: `pad` in `leftpad`."""
    found = Q(terms__term=needle)
    return found if needle.endswith(" ") else found | Q(name__part=needle[1:])


def _closeness(query: Query) -> Case:
    """How far a name is from what was written, from 0: that name itself, or in a scope, or beginning so, or with it."""
    text = query.text
    return Case(
        When(name__iexact=text, then=0),
        When(name__iendswith=f"/{text}", then=1),
        When(Q(name__istartswith=text) | Q(name__icontains=f"/{text}"), then=2),
        When(reduce(and_, [Q(name__part=word) for word in query.words], Q(pk__isnull=False)), then=3),
        default=_CLOSENESSES - 1,
        output_field=IntegerField(),
    )


def _result(entry: SearchEntry, closeness: int, recent: Recent, base: str) -> dict[str, Any]:
    package = jsontext.decode(entry.shown)
    package["links"] = {"npm": f"{base}/{PackageName.parse(entry.name).url}", **package["links"]}
    popularity = min(1.0, math.log10(1 + recent.weekly) / 8)
    return {
        "package": package,
        "downloads": {"weekly": recent.weekly, "monthly": recent.monthly},
        # Quality and maintenance are matters of opinion, and this registry has none.
        "score": {"final": popularity, "detail": {"quality": 1, "popularity": popularity, "maintenance": 1}},
        "searchScore": _CLOSENESSES - closeness + popularity,
        "flags": {"insecure": 0, "unstable": " :is:unstable " in entry.terms},
    }
