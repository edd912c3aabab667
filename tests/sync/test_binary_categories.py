"""Operators keep categories of binaries, in the admin."""

import pytest
from django.core.checks import run_checks
from django.test import Client

from audit.actors import Actor
from audit.models import Event
from registry.errors import Forbidden, Invalid, NotFound
from registry.models import User
from sync.binaries import categories
from sync.models import BinaryCategory, BinaryFile
from tests.node_dist import NodeDist

pytestmark = pytest.mark.django_db(transaction=True)

OPERATOR = Actor.system("a test")
PROGRAM = "v22.1.0/node-v22.1.0-linux-x64.tar.gz"


@pytest.fixture
def dist(upstream) -> NodeDist:
    dist = NodeDist(upstream)
    dist.release("22.1.0")
    return dist


@pytest.fixture
def browser() -> Client:
    """An operator's, signed in to the admin."""
    browser = Client(SERVER_NAME="registry.test")
    browser.force_login(User.objects.create_superuser("root"))
    return browser


def form(**change) -> dict:
    return {"name": "nightly", "address": "https://dist.example/nightly", "layout": "node", "is_enabled": "on"} | change


def test_a_category_is_added_changed_and_removed(dist, browser, anyone, effects):
    assert browser.post("/-/admin/sync/binarycategory/add/", form(address=f"{dist.url}/")).status_code == 302
    assert anyone.send("GET", f"/-/binary/nightly/{PROGRAM}").raw == dist.text(PROGRAM)
    row = BinaryCategory.objects.get()
    assert row.url == dist.url
    effects()

    url = f"/-/admin/sync/binarycategory/{row.pk}"
    browser.post(f"{url}/change/", form(description="Every night"))
    assert effects() == ["binary.changed binary:nightly by root"]
    assert Event.objects.last().facts["fields"] == ["description", "url"]
    assert [one["description"] for one in anyone.send("GET", "/-/binary/").json()] == ["Every night"] * 2
    browser.post(f"{url}/change/", form(description="Every night"))
    assert effects() == []  # nothing changed

    assert "nightly: 3 files" in browser.get(f"{url}/delete/").content.decode()
    browser.post(f"{url}/delete/", {"post": "yes"})
    assert effects() == ["binary.removed binary:nightly by root"]
    assert anyone.send("GET", f"/-/binary/nightly/{PROGRAM}").status == 404


@pytest.mark.parametrize(
    ("name", "facts", "sentence"),
    [
        ("Node", {}, "a category's name has lower-case"),
        ("a/b", {}, "a category's name has lower-case"),
        ("other-safe", {}, "does not end in -safe"),
        ("other", {"url": "ftp://dist.example"}, "is not an http or https URL"),
        ("other", {"url": "https://me:secret@dist.example"}, "carries a name and password"),
        ("other", {"url": "https://dist.example/?a=b"}, "the URL ends with its path"),
        ("other", {"layout": "maze"}, "there is no layout 'maze'"),
        ("other", {"description": "two\nlines"}, "a description is one line"),
        ("nightly", {}, "there is a category nightly already"),
        ("node", {}, "there is a category node already"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(transactional_db, settings, name, facts, sentence):
    categories.add("nightly", actor=OPERATOR, url="https://dist.example")
    settings.NODE_DIST_URL = "https://dist.example/dist"
    categories.default_category()
    with pytest.raises(Invalid, match=sentence):
        categories.add(name, actor=OPERATOR, **({"url": "https://dist.example"} | facts))
    assert set(BinaryCategory.objects.values_list("name", flat=True)) == {"nightly", "node"}


def test_the_url_of_node_is_a_setting(transactional_db, settings):
    settings.NODE_DIST_URL = "https://dist.example/dist"
    with pytest.raises(Invalid, match="LARDER_NODE_DIST_URL"):
        categories.change("node", actor=OPERATOR, url="https://elsewhere.example")
    with pytest.raises(Invalid, match="LARDER_NODE_DIST_URL"):
        categories.remove("node", actor=OPERATOR)


@pytest.mark.parametrize(
    "url", ["dist.example", "ftp://dist.example", "https://dist.example/?x", "http://localhost:8000"]
)
def test_a_setting_that_makes_no_sense_is_told_at_the_start(settings, url):
    settings.NODE_DIST_URL = url
    assert [found.id for found in run_checks() if "LARDER_NODE_DIST_URL" in found.msg] == ["sync.E005"]


def test_only_operators_decide(alice, transactional_db):
    someone = Actor.user("alice", user_id=User.objects.get(username="alice").pk)
    with pytest.raises(Forbidden):
        categories.add("other", actor=someone, url="https://dist.example")
    with pytest.raises(NotFound):
        categories.change("other", actor=OPERATOR, description="x")


def test_one_that_is_switched_off_serves_what_is_here(dist, anyone):
    categories.add("nightly", actor=OPERATOR, url=dist.url)
    anyone.send("GET", f"/-/binary/nightly/{PROGRAM}")
    categories.change("nightly", actor=OPERATOR, is_enabled=False)
    assert anyone.send("GET", f"/-/binary/nightly/{PROGRAM}").raw == dist.text(PROGRAM)
    answer = anyone.send("GET", "/-/binary/nightly/index.tab")
    assert answer.status == 503
    assert answer.json()["error"] == "index.tab is not here, and nightly is switched off: an operator decides"


def test_an_upstream_that_is_well_again_is_asked_at_once(dist, upstream, anyone, browser):
    categories.add("nightly", actor=OPERATOR, url=dist.url)
    upstream.fault("/dist/*", "status", code=500)
    for _ in range(6):
        assert anyone.send("GET", "/-/binary/nightly/index.json").status == 503
    upstream.heal()
    row = BinaryCategory.objects.get()
    assert row.resting_until is not None
    browser.post("/-/admin/sync/binarycategory/", {"action": "reset", "_selected_action": [row.pk]})
    assert anyone.send("GET", "/-/binary/nightly/index.json").raw == dist.text("index.json")


def test_an_operator_believes_checksums_that_have_changed(dist, anyone, browser, effects):
    categories.add("nightly", actor=OPERATOR, url=dist.url)
    anyone.send("GET", f"/-/binary/nightly/{PROGRAM}")
    dist.release("22.1.0", files={PROGRAM.partition("/")[2]: b"built again"})
    anyone.send("GET", "/-/binary/nightly/v22.1.0/SHASUMS256.txt")
    refused = BinaryFile.objects.exclude(refusal="").get()
    page = browser.get("/-/admin/sync/binaryfile/").content.decode()
    assert "it gives another checksum than before, or none" in page
    assert anyone.send("GET", f"/-/binary/nightly/{PROGRAM}").raw != b"built again"
    effects()
    browser.post("/-/admin/sync/binaryfile/", {"action": "forget", "_selected_action": [refused.pk]})
    assert effects() == ["binary.forgotten binary:nightly/v22.1.0 by root"]
    assert anyone.send("GET", f"/-/binary/nightly/{PROGRAM}").raw == b"built again"
