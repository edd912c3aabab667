"""What is not for everybody stays out of every cache, and a closed registry answers nobody whom it does not know."""

from collections.abc import Iterator

import pytest

from audit import drain
from registry import cache
from registry.models import Package, User
from tests.actors import CORGI, Person
from tests.browser import Browser
from tests.registry import rights_world
from tests.registry.rights_matrix import DOORS, LISTS, LISTS_OF_OURS, PACKAGES, READS, SCOPES, SHARED_READS, Row, Target
from tests.wsgi import Answer

pytestmark = pytest.mark.django_db(transaction=True)

READERS = [row for row in [*READS, *LISTS, *LISTS_OF_OURS, *SCOPES, *SHARED_READS] if row.request[0] in "GH"]


@pytest.fixture
def everybody(transactional_db) -> dict[str, Person]:
    return rights_world.make()


@pytest.fixture
def _no_shared_cache() -> Iterator[None]:
    """It is an error to put anything into ring 2, or to look for it there, until the test is over."""

    def fail(*_args):
        raise AssertionError("ring 2")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "shared_get", fail)
        patch.setattr(cache, "shared_put", fail)
        yield


def ask(row: Row, person: Person, package: str = "open") -> Answer:
    method, url = row.filled_in(Target(PACKAGES[package], "1-0", person.name))
    return person.send(method, url, headers=row.headers)


# --- Caches -----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_either_way", "_no_shared_cache")
def test_no_cache_keeps_what_is_not_for_everybody(everybody, settings):
    for _ in range(2):
        assert_private(everybody["maintainer"], "shut")
    settings.ANONYMOUS_READ = False
    for _ in range(2):
        assert_private(everybody["stranger"], "open")


def assert_private(person: Person, package: str) -> None:
    for row in READS:
        answer = ask(row, person, package)
        assert answer.status == row.given, row
        assert answer.headers["cache-control"] == "private, no-store", row
        assert "cache-tag" not in answer.headers, row


@pytest.mark.parametrize("has_front_door", [True, False])
def test_what_was_for_everybody_is_not_given_any_more_once_it_is_closed(alice, anyone, pad, settings, has_front_door):
    settings.FRONT_DOOR = has_front_door
    warm = seen(anyone, pad)
    assert {answer.status for answer in warm} == {200}
    assert [answer.headers["cache-tag"] for answer in seen(anyone, pad)] == [f"package/{pad}"] * len(warm)
    for access, status in [("restricted", 404), ("public", 200), ("restricted", 404), ("public", 200)]:
        assert alice.send("POST", f"/-/package/{pad}/access", body={"access": access}).status == 200
        for _ in range(2):
            assert {answer.status for answer in seen(alice, pad)} == {200}
            assert {answer.status for answer in seen(anyone, pad)} == {status}
        known = warm[0].headers["etag"]
        assert anyone.view(pad, if_none_match=known).status == status
        drain.drain_all()  # what warms the documents warms no private one for others
        assert {answer.status for answer in seen(anyone, pad)} == {status}


def seen(person: Person, name: str) -> list[Answer]:
    documents = [person.view(name, accept=accept, accept_encoding="gzip") for accept in ("*/*", CORGI)]
    return [*documents, person.download(name, "1.0.0"), person.download(name, "1.0.0")]


# --- A closed registry ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["anonymous", "expired token", "revoked token", "token of another network"])
def test_a_closed_registry_answers_nobody_whom_it_does_not_know(everybody, settings, who):
    warm = [ask(row, everybody["anonymous"]).status for row in READERS]  # nor what it has in memory
    settings.ANONYMOUS_READ = False
    refused = [ask(row, everybody[who]) for row in READERS]
    assert 200 in warm
    assert [(row.request, answer.status) for row, answer in zip(READERS, refused, strict=True)] == [
        (row.request, 401) for row in READERS
    ]
    challenge = "ipaddress" if who == "token of another network" else "Bearer"
    assert {answer.headers["www-authenticate"] for answer in refused} == {challenge}


@pytest.mark.parametrize("credentials", ["Bearer nonsense", "Basic !", "Basic b3duZXI6d3Jvbmc="])
def test_nor_whom_it_does_not_believe(everybody, settings, credentials):
    settings.ANONYMOUS_READ = False
    answer = Person().send("GET", "/@acme%2fopen", headers={"Authorization": credentials})
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_name_that_is_not_there_is_no_other_answer(everybody, settings):
    settings.ANONYMOUS_READ = False
    for name in ("@acme%2fopen", "@acme%2fshut", "@acme%2fnone", "none"):
        answer = Person().send("GET", f"/{name}")
        assert (answer.status, answer.json()["error"]) == (
            401,
            "this registry is closed to anonymous readers: run npm login",
        )


@pytest.mark.parametrize("who", ["stranger", "token for another package", "read-only token"])
def test_whoever_is_known_reads_as_ever(everybody, settings, who):
    cells = [(row, package) for row in READS for package in ("open", "shut")]
    before = [ask(row, everybody[who], package).status for row, package in cells]
    settings.ANONYMOUS_READ = False
    assert [ask(row, everybody[who], package).status for row, package in cells] == before


def test_its_doors_stay_open(everybody, settings):
    settings.ANONYMOUS_READ = False
    for row in DOORS:
        answer = Person().send(
            *row.filled_in(Target("", "", "")), body=row.body(Target("", "", "")) if row.body else None
        )
        assert answer.status == row.given, row
    newcomer = Person("newcomer").login()
    assert newcomer.view(PACKAGES["open"]).status == 200
    assert newcomer.send("GET", "/-/whoami").json() == {"username": "newcomer"}
    for page in ("/-/web/sign-up", "/-/admin/login/"):
        assert Browser().open(page).status == 200


# --- Pages ------------------------------------------------------------------------------------------------------------


def test_the_front_page_counts_what_its_reader_may_see(everybody):
    page = Browser().open("/-/web/")
    assert (page.status, page.headers["cache-control"]) == (200, "private, no-store")
    assert "<dd>1 package</dd>" in page.body.decode()
    Package.objects.update(is_restricted=False)
    assert "<dd>3 packages</dd>" in Browser().open("/-/web/").body.decode()


def test_the_root_tells_nothing_of_packages(everybody, settings):
    settings.ANONYMOUS_READ = False
    assert Person().send("GET", "/").json() == {"registry": "larder"}


def test_the_front_page_of_a_closed_registry_says_how_to_come_in(everybody, settings):
    settings.ANONYMOUS_READ = False
    page = Browser().open("/-/web/")
    assert (page.status, page.headers["www-authenticate"]) == (401, "Bearer")
    text = page.body.decode()
    assert "This registry is closed to anonymous readers: run npm login." in text
    assert "npm config set registry" in text
    assert "Published here" not in text


def test_who_signed_in_to_the_pages_sees_what_they_may(everybody, settings):
    settings.ANONYMOUS_READ = False
    Person("boss").login()
    User.objects.filter(username="boss").update(is_staff=True, is_superuser=True)
    browser = Browser()
    browser.open("/-/admin/login/")
    assert browser.fill(username="boss", password="correct horse battery").status == 302
    page = browser.open("/-/web/")
    assert (page.status, page.headers["cache-control"]) == (200, "private, no-store")
    assert "<dd>3 packages</dd>" in page.body.decode()
