"""`npm search`: what is found, in which order, by whom, and that it keeps in step with what is here."""

import importlib
import json
import sqlite3
from datetime import datetime
from io import StringIO
from typing import ClassVar
from urllib.parse import urlencode

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.utils import timezone

from audit import drain
from registry import policies
from registry.models import Download, Package, SearchEntry
from registry.models import search as search_models
from registry.names import PackageName
from registry.policies import Judgement
from registry.searching import description, indexing, query
from tests.registry.cast import READS, gather, restrict
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _index_in_step(transactional_db):
    yield
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute("INSERT INTO registry_search_fts (registry_search_fts, rank) VALUES ('integrity-check', 1)")


@pytest.fixture
def shelf(alice) -> None:
    """A few packages that have to do with padding, and one that has not."""
    for name, manifest in {
        "pad": {"version": "1.0.0", "description": "The one."},
        "@acme/pad": {"version": "1.0.0", "keywords": ["string"]},
        "padding": {"version": "0.1.0"},
        "left-pad": {
            "version": "1.0.0",
            "keywords": ["String", "design system"],
            "author": "Jane Doe <j@x.example>",
        },
        "leftpad": {"version": "1.0.0"},
        "strings": {"version": "1.0.0", "description": "To pad them, and more."},
        "colours": {"version": "2.0.0-rc.1", "description": "Köln is grün.", "keywords": "red, green"},
    }.items():
        assert alice.publish(name, **manifest).status == 201


def search(person, text: str, **params: object):
    """What `npm search` sends, after the worker has heard what happened."""
    drain.drain_all()
    answer = person.send("GET", f"/-/v1/search?{urlencode({'text': text, **params})}")
    assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store"), answer.body
    return answer.json()


def found(person, text: str, **params: object) -> list[str]:
    page = search(person, text, **params)
    names = [one["package"]["name"] for one in page["objects"]]
    assert page["total"] == len(names)
    return names


def downloaded(name: str, count: int) -> None:
    Download.objects.create(package=name, version="1.0.0", day=timezone.now().date(), count=count)


# --- What is found ---------------------------------------------------------------------------------------------------


def test_a_result_has_all_that_clients_read(alice, anyone):
    alice.publish(
        "@acme/pad",
        "1.2.3",
        description="Pads.",
        keywords=["string", "pad"],
        author={"name": "Jane", "email": "jane@x.example"},
        license="MIT",
        homepage="https://pad.example/",
        repository={"type": "git", "url": "git+https://code.example/acme/pad.git"},
        bugs="https://code.example/acme/pad/issues",
    )
    downloaded("@acme/pad", 99)
    page = search(anyone, "pad")
    [result] = page["objects"]
    date = result["package"].pop("date")
    assert date == anyone.view("@acme/pad").json()["time"]["1.2.3"]
    assert datetime.fromisoformat(page["time"])
    popularity = result["score"]["final"]
    assert 0 < popularity < 1
    assert page["total"] == 1
    assert result == {
        "package": {
            "name": "@acme/pad",
            "scope": "acme",
            "version": "1.2.3",
            "description": "Pads.",
            "keywords": ["string", "pad"],
            "links": {
                "npm": "http://registry.test/@acme%2fpad",
                "homepage": "https://pad.example/",
                "repository": "https://code.example/acme/pad",
                "bugs": "https://code.example/acme/pad/issues",
            },
            "author": {"name": "Jane", "email": "jane@x.example"},
            "publisher": {"username": "alice", "email": ""},
            "maintainers": [{"username": "alice", "email": ""}],
            "license": "MIT",
        },
        "downloads": {"weekly": 99, "monthly": 99},
        "score": {"final": popularity, "detail": {"quality": 1, "popularity": popularity, "maintenance": 1}},
        "searchScore": 4 + popularity,
        "flags": {"insecure": 0, "unstable": False},
    }


def test_a_mirrored_package_is_found_with_the_date_that_its_upstream_gives(upstream, anyone):
    upstream.publish("left-pad", "1.0.0", description="Pads on the left.")
    assert found(anyone, "left") == []
    anyone.view("left-pad")
    [result] = search(anyone, "left")["objects"]
    assert result["package"]["description"] == "Pads on the left."
    assert isinstance(result["package"]["maintainers"], list)
    assert result["package"]["date"] == anyone.view("left-pad").json()["time"]["1.0.0"]


FINDS = [
    ("green", ["colours"]),
    ("köln", ["colours"]),
    ("KO\u0308LN", ["colours"]),  # the same letter, written as two
    ("left pad", ["left-pad", "leftpad"]),
    ("doe", ["left-pad"]),
    ("eft", ["left-pad", "leftpad"]),  # inside of a name
    ("ain", []),  # inside of a word that is no name
    ("pad -left", ["pad", "@acme/pad", "padding", "strings"]),
    ("pad -left-pad -leftpad", ["pad", "@acme/pad", "padding", "strings"]),
    ("pad -left-ding", ["pad", "@acme/pad", "padding", "left-pad", "leftpad", "strings"]),
    ("keywords:string", ["@acme/pad", "left-pad"]),
    ("keywords:red,string", ["@acme/pad", "left-pad", "colours"]),
    ("keywords:string keywords:design-system", ["left-pad"]),
    ('keywords:"Design System"', ["left-pad"]),
    ("keywords:str", []),
    ("-keywords:string pad", ["pad", "padding", "leftpad", "strings"]),
    ('author:"jane doe"', ["left-pad"]),
    ("author:alice maintainer:alice keywords:red", ["colours"]),
    ("maintainer:bob", []),
    ("scope:acme", ["@acme/pad"]),
    ("scope:@acme", ["@acme/pad"]),
    ("scope:unscoped keywords:string", ["left-pad"]),
    ("is:unstable", ["padding", "colours"]),
    ("not:unstable pad", ["pad", "@acme/pad", "left-pad", "leftpad", "strings"]),
    ("is:insecure", []),
    ("pad not:insecure scope:acme", ["@acme/pad"]),
    ("@acme/pad", ["@acme/pad"]),
    ("@ACME/Pad", ["@acme/pad"]),
    ("nothing-like-it", []),
]


@pytest.mark.usefixtures("shelf")
def test_words_labels_and_what_must_not_be(anyone):
    for text, names in FINDS:
        assert found(anyone, text) == names, text


@pytest.mark.usefixtures("shelf")
def test_without_a_text_all_is_found(anyone):
    assert search(anyone, "")["total"] == 7
    assert anyone.send("GET", "/-/v1/search").json()["total"] == 7


HOSTILE = [
    '"', '""', '"pad', "*", "pad*", "NEAR(", 'NEAR("pad" "left", 5)', "pad AND", "OR", "NOT", "-", "--", "-*", "^pad",
    "{name}:pad", "name:pad", "pad:*", "'pad'", "pad\\", "%", "_", "p_d", "pad'); DROP TABLE registry_package; --",
    "& | !", "<-> pad", "keywords:", "keywords:,", "keywords:'", "keywords:\\", "keywords:%", "author:\"", "is:*",
    "a\0b", "keywords:a\0b", "💥", "İ", "(" * 500,
]  # fmt: skip


@pytest.mark.usefixtures("shelf")
def test_no_syntax_of_any_database_is_ours(anyone):
    for text in HOSTILE:
        assert search(anyone, text)["total"] < 7, text
    for raw in ("text=%00", "text=%ff%fe", "text=%ed%a0%80", "text=\xe9", "text[]=pad", "text=pad&text=left", "&&="):
        assert anyone.send("GET", f"/-/v1/search?{raw}").status == 200
    assert found(anyone, "& pad |")[:2] == ["pad", "@acme/pad"]
    assert found(anyone, "_") == []
    assert found(anyone, "keywords:%") == []


@pytest.mark.parametrize("text", ["x" * 513, " ".join(map(str, range(40))), "keywords:" + ",".join("abcdefghij" * 4)])
def test_what_nobody_means_is_refused_in_words(anyone, text):
    answer = anyone.send("GET", f"/-/v1/search?{urlencode({'text': text})}")
    assert answer.status == 400
    assert "search for" in answer.json()["error"]


@pytest.mark.usefixtures("shelf")
def test_without_an_index_the_same_is_found(anyone, monkeypatch):
    texts = ["pad", "left pad", "keywords:string", "pad -left", "not:unstable", "köln", "eft", "p"]
    with_index = [found(anyone, text) for text in texts]
    if connection.vendor == "sqlite":
        monkeypatch.setattr(search_models, "_has_fts", lambda alias: False)
    else:
        monkeypatch.setattr(search_models.Part, "as_postgresql", search_models.Part.as_sql)
        monkeypatch.setattr(search_models.Term, "as_postgresql", search_models.Part.as_sql)
    assert [found(anyone, text) for text in texts] == with_index
    assert all(with_index)


def test_what_the_index_cannot_be_made_of_leaves_nothing_half_made(capsys):
    migration = importlib.import_module("registry.migrations.0004_search")
    with transaction.atomic():
        migration._try(connection, ["CREATE TABLE half_made (id int)", "CREATE NONSENSE"])
        assert "half_made" not in connection.introspection.table_names()
    assert "without an index for search" in capsys.readouterr().out


def test_the_index_is_made_where_it_can_be():
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            assert sqlite3.sqlite_version_info >= (3, 34), "this SQLite has no trigrams"
            assert "registry_search_fts" in connection.introspection.table_names(cursor)
        else:
            indexes = connection.introspection.get_constraints(cursor, "registry_searchentry")
            assert {"registry_search_terms", "registry_search_name"} <= indexes.keys()


# --- In which order --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("shelf")
def test_the_name_itself_comes_first_then_what_begins_so_then_what_has_it_then_what_is_about_it(anyone):
    ordered = ["pad", "@acme/pad", "padding", "left-pad", "leftpad", "strings"]
    assert found(anyone, "pad") == ordered
    assert found(anyone, "PAD") == ordered
    scores = [one["searchScore"] for one in search(anyone, "pad")["objects"]]
    assert scores == sorted(scores, reverse=True)


@pytest.mark.usefixtures("shelf")
def test_among_equals_the_more_downloaded_comes_first(anyone):
    assert found(anyone, "keywords:string") == ["@acme/pad", "left-pad"]
    downloaded("left-pad", 10)
    downloaded("strings", 10_000)
    indexing.rank()
    assert found(anyone, "keywords:string") == ["left-pad", "@acme/pad"]
    assert found(anyone, "pad")[-1] == "strings", "closeness comes before popularity"
    Download.objects.update(day="2001-01-01")
    indexing.rank()
    assert found(anyone, "keywords:string") == ["@acme/pad", "left-pad"]


def test_pages_hold_everything_once(alice, anyone):
    names = {f"box-{number}" for number in range(7)}
    for name in sorted(names):
        alice.publish(name, "1.0.0")
    pages = [search(anyone, "box", size=3, **{"from": start}) for start in (0, 3, 6, 9)]
    assert [len(page["objects"]) for page in pages] == [3, 3, 1, 0]
    assert {page["total"] for page in pages} == {7}
    assert {one["package"]["name"] for page in pages for one in page["objects"]} == names


BENT = [
    ({"size": 251}, 7),
    ({"size": 10**30}, 7),
    ({"size": "9" * 5000}, 7),
    ({"size": 0}, 0),
    ({"size": -1}, 0),
    ({"size": "many", "from": "there"}, 7),
    ({"size": ""}, 7),
    ({"from": -5}, 7),
    ({"from": 10**30}, 0),
    ({"quality": "NaN", "popularity": "-1", "maintenance": "x"}, 7),
]


@pytest.mark.usefixtures("shelf")
def test_bad_numbers_are_bent_and_not_refused(anyone):
    for params, count in BENT:
        page = search(anyone, "", **params)
        assert (len(page["objects"]), page["total"]) == (count, 7), params


# --- By whom ---------------------------------------------------------------------------------------------------------


def test_whoever_may_read_a_package_finds_it_and_nobody_else(alice):
    cast = gather("@acme/pad")
    alice.publish("padding", "1.0.0")
    for is_restricted in (False, True):
        restrict("@acme/pad", is_restricted=is_restricted)
        for who, person in cast.items():
            names = ["@acme/pad", "padding"] if READS[who][is_restricted] == 200 else ["padding"]
            assert found(person, "pad") == names, who
            assert search(person, "pad", size=1)["total"] == len(names), who


def test_a_token_that_is_no_good_finds_what_everybody_finds(anyone, alice, pad):
    alice.publish("padding", "1.0.0")
    restrict(pad)
    headers = {"Authorization": "Bearer larder_nonsense"}
    assert found(anyone, "pad") == ["padding"]
    assert anyone.send("GET", "/-/v1/search?text=pad", headers=headers).json()["total"] == 1


def test_a_closed_registry_tells_nobody_what_it_has(alice, anyone, pad, settings):
    settings.ANONYMOUS_READ = False
    assert anyone.send("GET", "/-/v1/search?text=pad").status == 401
    assert found(alice, "pad") == [pad]


# --- In step with what is here ---------------------------------------------------------------------------------------


def test_the_newest_latest_is_shown(alice, anyone, pad):
    shown = search(anyone, "pad")["objects"][0]["package"]
    assert shown["version"] == "1.1.0"
    alice.publish(pad, "1.2.0", description="Better.")
    alice.publish(pad, "3.0.0-beta.1", tag="beta", description="Worse.")
    shown = search(anyone, "pad")["objects"][0]["package"]
    assert (shown["version"], shown["description"]) == ("1.2.0", "Better.")
    assert SearchEntry.objects.count() == 1


def test_what_is_deprecated_can_be_left_out(alice, anyone, pad):
    assert found(anyone, "pad not:deprecated") == [pad]
    alice.deprecate(pad, "use padding", "1.1.0")
    assert found(anyone, "pad not:deprecated") == []
    assert found(anyone, "pad is:deprecated") == [pad]


def test_what_is_unpublished_is_not_found(alice, anyone, pad):
    assert found(anyone, "pad") == [pad]
    Package.objects.update(unpublished_at=timezone.now())  # the worker has not heard of it yet
    assert found(anyone, "pad") == []
    Package.objects.update(unpublished_at=None)
    assert all(answer.status == 200 for answer in alice.unpublish(pad))
    assert found(anyone, "pad") == []
    assert not SearchEntry.objects.exists()


def test_what_is_blocked_is_not_found(anyone, pad):
    assert found(anyone, "pad") == [pad]
    Package.objects.update(blocked_reason="malware")
    assert found(anyone, "pad") == []
    indexing.index(pad)
    assert not SearchEntry.objects.exists()
    Package.objects.update(blocked_reason=None)
    indexing.index(pad)
    assert found(anyone, "pad") == [pad]


class Hiding:
    """A policy that hides versions."""

    hidden: ClassVar[dict[str, str]] = {}

    def judge(self, name: str, stamp: object) -> Judgement:
        return Judgement(hidden=self.hidden)


def test_a_version_that_a_policy_hides_is_not_shown(alice, anyone, pad, settings, monkeypatch):
    settings.REGISTRY = {**settings.REGISTRY, "POLICIES": [f"{__name__}.Hiding"]}
    policies._policies.cache_clear()
    for hidden, shown in [(["1.1.0"], ["1.0.0"]), (["1.1.0", "1.0.0", "2.0.0-rc.1"], [])]:
        monkeypatch.setattr(Hiding, "hidden", dict.fromkeys(hidden, "it mines coins"))
        indexing.index(pad)
        assert [one["package"]["version"] for one in search(anyone, "pad")["objects"]] == shown


def test_a_scope_that_became_ours_hides_what_came_from_elsewhere(upstream, anyone, settings):
    upstream.publish("@theirs/pad", "1.0.0")
    anyone.view("@theirs/pad")
    assert found(anyone, "pad") == ["@theirs/pad"]
    settings.PRIVATE_SCOPES = frozenset({"@theirs"})
    call_command("reindex", stdout=StringIO())
    assert found(anyone, "pad") == []


@pytest.mark.usefixtures("shelf")
def test_reindex_makes_it_all_anew(anyone):
    before = search(anyone, "pad")
    SearchEntry.objects.all().delete()
    assert found(anyone, "pad") == []
    downloaded("pad", 5)
    out = StringIO()
    call_command("reindex", stdout=out)
    assert out.getvalue().strip() == "7 packages were indexed"
    assert found(anyone, "pad") == [one["package"]["name"] for one in before["objects"]]
    assert SearchEntry.objects.get(name="pad").weekly == 5


def test_indexing_twice_or_at_once_or_what_is_not_there_does_no_harm(pad):
    drain.drain_all()
    before = SearchEntry.objects.values().get()
    with PassingThreads(4) as crowd:
        list(crowd.map(indexing.index, [pad] * 8))
    indexing.index("nobody/knows")
    assert SearchEntry.objects.values().get() == before


# --- Manifests of strangers ------------------------------------------------------------------------------------------

ANYTHING = [None, True, 0, 1.5, "", "x", "\ud800 \0", [], ["x", None, {}], {}, {"name": 1}, {"url": []}, [[["x"]]]]


def test_whatever_stands_in_a_manifest_clients_get_the_types_they_expect():
    fields = ("description", "keywords", "author", "_npmUser", "license", "homepage", "repository", "bugs")
    name = PackageName.parse("pad")
    for value in ANYTHING:
        shown = description.describe(name, "1.0.0", dict.fromkeys(fields, value), {"maintainers": value}, "")
        assert isinstance(shown["description"], str)
        assert all(isinstance(keyword, str) for keyword in shown["keywords"])
        people = [*shown["maintainers"], shown.get("publisher", {"username": "", "email": ""})]
        assert all(isinstance(text, str) for one in people for text in (one["username"], one["email"]))
        assert isinstance(shown.get("author", {"name": ""})["name"], str)
        assert all(url.startswith("http") for url in shown["links"].values())
        assert description.terms(name, shown, is_deprecated=False).startswith(" pad ")


def test_a_strange_manifest_is_stored_and_found(upstream, anyone):
    upstream.publish(
        "odd", "1.0.0", description={"text": "x"}, keywords=["a b", "\ud800", "nul\0nul", 7, "it's \\ 100%"],
        author="Jörg <j@x.example> (https://x.example)", maintainers="nobody", repository="javascript:alert(1)",
    )  # fmt: skip
    assert anyone.view("odd").status == 200
    [result] = search(anyone, 'odd keywords:"a b"')["objects"]
    assert result["package"]["author"] == {"name": "Jörg", "email": "j@x.example", "url": "https://x.example"}
    assert result["package"]["links"].keys() == {"npm"}
    assert found(anyone, 'author:JÖRG keywords:"it\'s \\ 100%"') == ["odd"]


def test_endless_manifests_are_cut():
    manifest = {
        "description": "word " * 100_000,
        "keywords": [f"{number} " + "x" * 9000 for number in range(5000)],
        "author": " " * 50_000 + ")",
    }
    maintainers = [{"name": f"{number}" + "y" * 9000} for number in range(5000)]
    shown = description.describe(PackageName.parse("pad"), "1.0.0", manifest, {"maintainers": maintainers}, "")
    assert len(json.dumps(shown)) < 100_000
    assert len(description.terms(PackageName.parse("pad"), shown, is_deprecated=True)) < 100_000


def test_a_query_is_read_as_it_was_written():
    parsed = query.Query.parse('Left-Pad -x keywords:a,"B c" not:unstable')
    assert parsed.text == "left-pad"
    assert parsed.words == ("left", "pad")
    assert [tuple(clause) for clause in parsed.clauses] == [
        ((" left", " pad"), False, False),
        ((" x",), False, True),
        ((" :keywords:a ", " :keywords:b-c "), True, False),
        ((" :is:unstable ",), True, True),
    ]


# --- What was before -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/-/all", "/-/all/", "/-/all/since?stale=update_after&startkey=1"])
def test_the_list_of_all_packages_is_gone_and_says_what_to_use(anyone, path):
    answer = anyone.send("GET", path)
    assert answer.status == 410
    assert "/-/v1/search" in answer.json()["error"]
