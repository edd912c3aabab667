"""Whatever is sent, the registry answers in words and stays in one piece.

`LARDER_FUZZ=many` tries thousands of requests of each kind.
"""

import json
import os
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry.models import Package, Version
from registry.semver import clean
from tests import tarballs, wsgi
from tests.actors import Person, escaped, publish_body
from tests.registry.consistency import assert_consistent, assert_told
from tests.registry.damage import NASTY, broken, damaged, nearly, paths, queries, values
from tests.registry.honest import BOX, HONEST, World, ways_to_write
from tests.wsgi import Answer

pytestmark = pytest.mark.django_db(transaction=True)

MANY = os.environ.get("LARDER_FUZZ") == "many"


def tried(examples: int):
    """Settings of `hypothesis`. One database for all examples of a test: fixtures are made once."""
    return settings(
        max_examples=examples * (20 if MANY else 1),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )


@pytest.fixture(autouse=True)
def _guesses_are_not_counted(settings) -> None:
    settings.MAX_ATTEMPTS = settings.MAX_ATTEMPTS_PER_ADDRESS = 1_000_000_000


def assert_in_words(answer: Answer, method: str = "") -> None:
    """That the registry does not fail, and says what it refuses."""
    assert answer.status < 500, answer.body
    if answer.status >= 400 and method != "HEAD":
        error = answer.json()["error"]
        assert isinstance(error, str)
        assert 0 < len(error.encode()) < 5_000


# --- Every way to write -----------------------------------------------------------------------------------------------


def test_honest_requests_succeed_on_every_way_to_write():
    assert {request.endpoint for request in HONEST} == set(ways_to_write())
    world = World()
    for request in HONEST:
        world.restore()
        answer = world.send(world.alice, request)
        assert answer.status < 300, (request, answer.body)


def test_whatever_is_damaged_in_them_the_registry_stays_in_one_piece():
    world = World()

    @tried(200)
    @given(request=nearly(HONEST), name=st.sampled_from(["alice", "alice", "alice", "bob", ""]))
    def send(request, name):
        world.restore()
        answer = world.send(Person(name), request)
        assert_in_words(answer)
        if answer.status < 400:
            assert_consistent(world.alice)
            assert_told(world.alice)

    send()


# --- Publishing -------------------------------------------------------------------------------------------------------

NAMES = [
    "@acme/lid", "left-pad", "@acme/.lid", "@acme/..", "@acme/../lid", "..", ".", "-", "_lid", "@acme/_lid",
    "@ACME/lid", "@acme/Lid", "@acme/lid/lid", "@acme", "@/lid", "acme/lid", "node_modules", "favicon.ico",
    "@acme/node_modules", "@acme/lid%2f", "@acme/l id", "@acme/lid\n", "@acme/lid\0", "@acme/\ud800", "@acme/é",
    "@acme/💥", "@acme/~", "~", "@other/lid", "constructor", "__proto__", "-/lid", "@acme/-", "@acme/" + "x" * 208,
    "@acme/" + "x" * 209, "x" * 3000, "http://acme.example/", "@acme/lid@1.0.0", "", None, 1, ["@acme/lid"],
]  # fmt: skip
NUMBERS = [
    "v1.0.0", "=1.0.0", " 1.0.0 ", "1.0.0\n", "1.0.0\0", "1", "1.0", "1.0.0.0", "01.0.0", "1.0.0-", "1.0.0-01",
    "1.0.0-a..b", "1.0.0+build", "1.0.0-rc.1+build.5", "1.0.0-" + "a" * 240, "1.0.0-" + "a" * 256,
    "1.0.0-" + "1." * 120 + "1", "9007199254740991.0.0", "9007199254740992.0.0", "9" * 300 + ".0.0",
    "1.0.0-" + "9" * 200, "-1.0.0", "1.0.0é", "\uff11.0.0", "1.0.0\ud800", "latest", "^1.0.0", "*", "..", "__proto__",
    "", None, 1, 1.0, True, [1, 0, 0], {"raw": "1.0.0"},
]  # fmt: skip


def packed(*members: tarballs.Member, package_json: str = json.dumps({"name": BOX, "version": "1.0.0"})) -> bytes:
    return tarballs.tarball({"package.json": package_json}, extra=members)


ARCHIVES = [
    b"", b"\x1f\x8b", b"PK\x03\x04", packed(), packed()[:-9], packed() + b"more", packed() * 2,
    *map(tarballs.zipped, [b"", b"not tar" * 100, bytes(1024), packed()]),
    *map(packed, [
        tarballs.file("package/zeros", bytes(30 << 20)),
        tarballs.link("package/x", "/etc/passwd"),
        tarballs.link("package/x", "package.json", hard=True),
        tarballs.file("package/../../x"),
        tarballs.file("package\\..\\x"),
        tarballs.file("/etc/passwd"),
        tarballs.file("package/a\0b"),
        tarballs.file("package/" + "x/" * 60),
        tarballs.file("package/package.json", '{"name": "other"}'),
        tarballs.device("package/x"),
        tarballs.pipe("package/x"),
    ]),
    *(packed(package_json=text) for text in [
        "", "[" * 5000, '{"a":' * 800 + "1" + "}" * 800, '{"name":' + "[" * 800 + "]" * 800 + "}", '{"name": NaN}',
        '{"name": "@acme/box", "version": "1.0.0", "version": "2.0.0"}', '{"name": "@acme/box", "version": "\\ud800"}',
    ]),
]  # fmt: skip


@st.composite
def submissions(draw) -> dict:
    """What npm sends for one version. Name and number may be bad everywhere in it, or only here and there."""
    name = draw(st.just(BOX) | st.sampled_from(NAMES))
    number = draw(st.integers(0, 30).map("1.{}.0".format) | st.sampled_from(NUMBERS))
    honest = publish_body(str(name), str(number), scripts={"install": "x"}, bin={}, readme="# Box", keywords=["box"])
    body = json.loads(json.dumps(honest)) | {"_id": name, "name": name}
    body["versions"][str(number)] |= {"name": name, "version": number}
    return draw(damaged(body))


def test_publish_documents_of_every_bad_kind(alice):
    @tried(300)
    @given(body=submissions(), url=st.sampled_from([None, BOX, "@acme/lid"]))
    def publish(body, url):
        name = body.get("name") if isinstance(body, dict) else None
        path = escaped(url or str(name)[:1000].encode(errors="replace").decode())
        assert_in_words(alice.send("PUT", f"{wsgi.BASE}/{path}", body=json.dumps(body)))

    publish()
    assert_consistent()
    assert_told()
    for package in Package.objects.all():
        package.parsed_name.check_new()
    assert all(clean(number) == number for number in Version.objects.values_list("number", flat=True))


def test_attachments_of_every_bad_kind(alice):
    manifests = st.dictionaries(st.sampled_from(["name", "version", "scripts", "bin", "x"]), values, max_size=4)
    archives = (
        st.sampled_from(ARCHIVES)
        | st.binary(max_size=60).map(tarballs.zipped)
        | manifests.map(lambda manifest: packed(package_json=json.dumps(manifest)))
        | broken(packed())
    )
    wrong = {"dist": {"integrity": "sha512-", "shasum": "0" * 40}, "length": 1}

    @tried(150)
    @given(archive=archives, claims=st.just({}) | damaged(wrong), data=st.data())
    def publish(archive, claims, data):
        body = publish_body(BOX, "1.0.0", tarball=archive)
        [attachment] = body["_attachments"].values()
        if data.draw(st.booleans()):
            attachment["data"] = data.draw(broken(attachment["data"].encode())).decode("latin-1")
        if isinstance(claims, dict):
            attachment["length"] = claims.pop("length", None)
            body["versions"]["1.0.0"] |= claims
        assert_in_words(alice.send("PUT", f"/{escaped(BOX)}", body=body))

    publish()
    assert_consistent()


# --- Reading ----------------------------------------------------------------------------------------------------------

READ = [
    f"/{escaped(BOX)}", f"/{escaped(BOX)}/latest", f"/{escaped(BOX)}/-/box-1.0.0.tgz", "/-/v1/search", "/-/whoami", "/",
    f"/-/package/{escaped(BOX)}/dist-tags", f"/-/package/{escaped(BOX)}/collaborators", "/-/user/alice/package",
    "/-/org/acme/package", f"/downloads/point/last-week/{escaped(BOX)}", "/downloads/range/2026-01-01:2026-01-31",
    f"/versions/{escaped(BOX)}/last-week", f"/-/npm/v1/attestations/{escaped(BOX)}@1.0.0", "/-/v1/login/done/x",
    "/-/npm/v1/tokens", "/-/_view/starredByUser", "/-/user/alice/stars", "/-/all", "/-/web/login/x", "/-/web/sign-up/x",
]  # fmt: skip
HEADERS = [
    "Accept", "Accept-Encoding", "If-None-Match", "If-Modified-Since", "If-Range", "Range", "Authorization", "npm-otp",
    "npm-auth-type", "X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "Host", "Content-Type", "Cookie",
]  # fmt: skip


def test_paths_queries_and_headers_of_every_bad_kind(alice):
    assert alice.publish(BOX, "1.0.0").status == 201

    @tried(400)
    @given(
        method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH", "OPTIONS", "BREW"]),
        path=st.sampled_from(READ).flatmap(paths),
        query=queries,
        headers=st.dictionaries(
            st.sampled_from(HEADERS), st.text(st.characters(max_codepoint=255), max_size=20), max_size=2
        ),
        person=st.sampled_from([alice, Person()]),
    )
    def ask(method, path, query, headers, person):
        answer = person.send(method, f"{wsgi.BASE}{path}?{query}", headers=headers)
        is_page = path.startswith(("/-/web/", "/-/admin"))
        assert answer.status < 500 if is_page else assert_in_words(answer, method) is None

    ask()
    assert_consistent()


LANGUAGE = [
    *NASTY, "author:", "maintainer:alice", "keywords:", "scope:acme", "is:unstable", "not:deprecated", "-box", '"',
    '"box', "boost-exact:false", "'", "''", "\\", "%", "_", "&", "|", "!", "(", ":*", "box:*", "<->", "*", "NEAR(",
    "AND", "--", "ﬁ", "İ", "ß", "a" * 120, "é" * 100,
]  # fmt: skip


def test_searches_and_periods_of_every_bad_kind(alice):
    assert alice.publish(BOX, "1.0.0").status == 201
    numbers = st.sampled_from(["", "-1", "0", "250", "1e3", "٣", "9" * 30, "9" * 5000, "NaN", "0x10", "1_0", " 1"])
    dates = st.dates().map(str) | st.sampled_from(
        ["last-day", "last-year", "0000-00-00", "2026-02-30", "9999-12-31", *NASTY]
    )

    def quoted(text: str) -> str:
        return quote(text.encode(errors="surrogatepass"), safe="")

    @tried(200)
    @given(words=st.lists(st.sampled_from(LANGUAGE) | st.text(max_size=9), max_size=6), size=numbers, start=numbers)
    def search(words, size, start):
        query = f"text={quoted(' '.join(words))}&size={quoted(size)}&from={quoted(start)}"
        assert_in_words(alice.send("GET", f"/-/v1/search?{query}"))

    @tried(100)
    @given(days=st.lists(dates, max_size=3), names=st.lists(st.sampled_from([BOX, *filter(str, NASTY)]), max_size=3))
    def count(days, names):
        path = f"{quoted(':'.join(days))}/{','.join(map(quoted, names))}"
        assert_in_words(alice.send("GET", f"/downloads/range/{path}"))

    search()
    count()
