"""What is forbidden comes by no road: each route that answers a GET is asked for it, also one that is still to come."""

import json
from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

import pytest
from django.urls import URLPattern, URLResolver, get_resolver, resolve

from registry import counting
from tests.actors import CORGI, Person
from tests.bugversions.conftest import WHY
from tests.sync.test_migrating import work

pytestmark = pytest.mark.django_db(transaction=True)

TARBALLS = ["/axios/-/axios-1.14.1.tgz", "/axios/-/@x/axios-1.14.1.tgz", "/axios/download/axios-1.14.1.tgz"]
# A package whole, where its number may be read: why it is withheld, how often it was downloaded.
TOLD = [
    "/axios", "/axios?write=true", "/axios?cache=0", "/versions/axios/last-week", "/axios/1.14.1", "/axios/^1.14.1",
    "/axios/=1.14.1", *TARBALLS,
]  # fmt: skip
UNTOLD = [
    "/axios/latest", "/axios/beta", "/axios/^1.0.0", "/axios/*", "/axios/>=1.14.0", "/-/package/axios/dist-tags",
    "/-/v1/search?text=axios", "/-/v1/search?text=maintainer:evil", "/-/all", "/-/all/since?stale=update_after",
    "/-/npm/v1/attestations/axios@1.14.1", "/_changes", "/downloads/point/last-week/axios",
    "/downloads/range/last-week", "/axios/sync",
    "/-/package/axios/collaborators", "/-/package/axios/visibility", "/-/package/axios/access",
    "/-/package/axios/owners", "/-/package/axios/dist-tags/latest", "/-/user/package/axios/star",
    "/-/package/axios/syncs/1", "/-/package/axios/syncs/1/log", "/axios/sync/log/1",
    "/-/repacked/axios/00000000000000000000000000000000/axios-1.14.1.tgz",
    # These know no package.
    "/-/ping", "/-/whoami", "/-/user/org.couchdb.user:alice", "/-/user/org.couchdb.user:alice/-rev/1", "/-/admin",
    "/-/web/sign-up", "/-/web/sign-up/x", "/-/web/login/x", "/-/v1/login/done/x", "/-/npm/v1/user",
    "/-/npm/v1/tokens", "/-/npm/v1/tokens/gat", "/-/npm/v1/tokens/token/x", "/-/_view/starredByUser?key=%22alice%22",
    "/-/user/v1/star", "/-/user/alice/stars", "/-/-/package", "/-/user/alice/package", "/-/org/acme/package",
    "/-/org/acme", "/-/org/acme/user", "/-/org/acme/member/alice/team", "/-/org/acme/team", "/-/team/acme/developers",
    "/-/team/acme/developers/user", "/-/team/acme/developers/package", "/-/safe-node", "/-/binary/", "/-/binary/node/",
    "/-/binary/node/index.json",
]  # fmt: skip


def routes(patterns: list[URLPattern | URLResolver], above: str = "") -> Iterator[tuple[str, URLPattern]]:
    """Every route of the registry's protocol, none of the admin's."""
    for one in patterns:
        place = above + str(one.pattern)
        if isinstance(one, URLPattern):
            yield place, one
        elif one.app_name != "admin":
            yield from routes(one.url_patterns, place)


def test_every_route_is_asked():
    asked = {resolve(unquote(urlsplit(path).path)).route for path in [*TOLD, *UNTOLD]}
    there = {
        place
        for place, route in routes(get_resolver().url_patterns)
        if hasattr(getattr(route.callback, "view_class", None), "get")
    }
    assert there - asked == set(), "say in the lists above how it is asked for a version that is withheld"


@pytest.fixture
def bad(axios, anyone, rule, heard):
    """Everything about the version that nobody should get; it is what `latest` and `beta` point at."""
    axios.set_tag("axios", "beta", "1.14.1")
    shown = anyone.view("axios").json()["versions"]["1.14.1"]
    assert anyone.download("axios", "1.14.1").status == 200
    work()
    counting.flush()
    rule("axios", "1.14.1", "forbid")
    heard()
    return shown


@pytest.mark.parametrize("accept", ["application/json", CORGI])
def test_nothing_of_it_comes_by_any(alice, anyone, bad, accept):
    for person in (alice, anyone):
        for path in [*TOLD, *UNTOLD]:
            for method in ("GET", "HEAD"):
                answer = person.send(method, path, headers={"Accept": accept})
                assert gives(answer.body, bad) == [], f"{method} {path}: {answer.status}"
                assert path not in TARBALLS or answer.status == 451
            assert path in TOLD or b"1.14.1" not in answer.body.replace(path.encode(), b""), path


def gives(body: bytes, bad: dict) -> list[str]:
    """What of the version is in a body."""
    text = body.decode(errors="replace")
    return [word for word in (bad["dist"]["integrity"], bad["dist"]["shasum"], "steal.js", "evil") if word in text]


def test_why_is_told(anyone: Person, bad):
    for path in ("/axios", "/axios/1.14.1", *TARBALLS):
        assert WHY in json.dumps(anyone.send("GET", path).json()), path
