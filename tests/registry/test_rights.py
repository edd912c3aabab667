"""Who may what at every endpoint: the rules of `rights_matrix`, and that what may not be seen shows nowhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.urls import resolve

from registry.api.urls import urlpatterns
from registry.models import Package, User
from tests.actors import Person, escaped, publish_body
from tests.registry import rights_world
from tests.registry.rights_matrix import (
    EVERYBODY,
    LISTS,
    LISTS_OF_OURS,
    OF_A_PACKAGE,
    OF_NONE,
    PACKAGES,
    READS,
    Row,
    Target,
    batch_publisher,
    publisher,
)
from tests.wsgi import Answer

pytestmark = pytest.mark.django_db(transaction=True)

# A name that is nobody's, as long as one that is.
SHUT, MISSING = PACKAGES["shut"], "@acme/none"


@pytest.fixture
def everybody(transactional_db) -> Iterator[dict[str, Person]]:
    """Everybody and all packages. Requests leave the connection open, so that what they do can be undone."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield rights_world.make()
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@contextmanager
def undone() -> Iterator[None]:
    """What is done in here is not done afterwards, so that one world serves a whole table."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def ask(row: Row, person: Person, name: str, rev: str = "1-0") -> Answer:
    method, url = row.filled_in(Target(name, rev, person.name))
    body = row.body(Target(name, rev, person.name)) if row.body else None
    with undone():
        return person.send(method, url, body=body, headers=row.headers)


def outcome(row: Row, answer: Answer) -> int:
    """The status, 200 for any success of a row that says no more."""
    return 200 if row.given == 200 and answer.status < 300 else answer.status


def names(answer: Answer, name: str) -> bool:
    return f'"{name}"' in answer.body.decode()


# --- The matrix -------------------------------------------------------------------------------------------------------


def test_every_endpoint_is_in_the_matrix():
    """A new one is not forgotten: say in a row of `rights_matrix` who may."""
    rows = set()
    for row in [*OF_A_PACKAGE, *OF_NONE]:
        method, url = row.filled_in(Target("@acme/open", "1-0", "me"))
        rows.add((resolve(unquote(urlsplit(url).path)).route, "get" if method == "HEAD" else method.lower()))
    endpoints = {
        (str(pattern.pattern), method)
        for pattern in urlpatterns
        for method in ("get", "put", "post", "delete", "patch")
        if hasattr(pattern.callback.view_class, method)
    }
    assert endpoints - rows == set()


@pytest.mark.parametrize("package", PACKAGES)
def test_who_may_what_with_a_package(everybody, package):
    name = PACKAGES[package]
    rev = everybody["maintainer"].read_to_change(name).get("_rev", "1-0")
    expected, got = {}, {}
    if package == "team":  # it differs from `shut` for people only
        everybody = {who: person for who, person in everybody.items() if "token" not in who}
    for row in OF_A_PACKAGE:
        for who, person in everybody.items():
            cell = (row.request, str(row.headers), who)
            answer, allowed = ask(row, person, name, rev), row.rule(EVERYBODY[who], package)
            expected[cell] = row.given if allowed == 200 else allowed
            got[cell] = outcome(row, answer)
    assert {cell: (status, got[cell]) for cell, status in expected.items() if status != got[cell]} == {}


def test_who_may_what_besides(everybody):
    expected, got = {}, {}
    for row in OF_NONE:
        for who, person in everybody.items():
            allowed = row.rule(EVERYBODY[who], "open")
            expected[row.request, who] = row.given if allowed == 200 else allowed
            got[row.request, who] = outcome(row, ask(row, person, PACKAGES["open"]))
    assert {cell: (status, got[cell]) for cell, status in expected.items() if status != got[cell]} == {}


def test_lists_name_what_their_reader_may_see(everybody):
    wrong = []
    for row in [*LISTS, *LISTS_OF_OURS]:
        for who, person in everybody.items():
            answer = ask(row, person, PACKAGES["open"])
            for package, name in PACKAGES.items():
                is_listed = EVERYBODY[who].sees(package) and (row in LISTS or package != "upstream's")
                if answer.status == 200 and names(answer, name) != is_listed:
                    wrong.append((row.request, who, package))
    assert wrong == []


def test_downloads_of_several_packages_have_null_for_what_is_hidden(everybody):
    wrong = []
    for who, person in everybody.items():
        told = person.send("GET", f"/downloads/point/last-week/{','.join(PACKAGES.values())}").json()
        for package, name in PACKAGES.items():
            if (told[name] is not None) != EVERYBODY[who].sees(package):
                wrong.append((who, package))
    assert wrong == []


# --- What may not be seen ---------------------------------------------------------------------------------------------


def told(answer: Answer, name: str) -> tuple[int, str, dict[str, str], bytes]:
    """All that comes back, with the name taken out of it."""
    headers = {header: value for header, value in answer.headers.items() if header != "x-request-id"}
    return answer.status, answer.reason, headers, answer.body.replace(name.encode(), b"?")


@pytest.mark.parametrize("who", ["anonymous", "stranger", "token for another package", "member of the scope"])
def test_a_hidden_package_and_none_are_the_same(everybody, who):
    """Whatever they try, to the byte. Only who could make a package of that name finds out that it is not free."""
    person, different = everybody[who], []
    finds_out = [publisher, batch_publisher] if "creates" in EVERYBODY[who].traits else []
    for row in [row for row in OF_A_PACKAGE if row.rule not in finds_out]:
        for method in {row.request.partition(" ")[0], "PATCH", "OPTIONS"}:
            tried = Row(row.rule, f"{method} {row.request.partition(' ')[2]}", row.body, row.given, row.headers)
            if told(ask(tried, person, SHUT), SHUT) != told(ask(tried, person, MISSING), MISSING):
                different.append(tried.request)
    assert different == []


def test_what_keeps_somebody_out_comes_before_what_is_withheld(everybody):
    Package.objects.update(blocked_reason="malware")
    rows = [row for row in READS if row.given == 200]
    for row in rows:
        assert ask(row, everybody["stranger"], SHUT).status == 404, row
    withheld = {row.request for row in rows if ask(row, everybody["maintainer"], SHUT).status == 451}
    assert {row.request for row in rows} - withheld == {  # counts are of what was downloaded, whatever became of it
        "GET /downloads/point/last-week/{name}",
        "GET /downloads/range/last-week/{name}",
        "GET /versions/{name}/last-week",
    }


@pytest.mark.parametrize("who", ["stranger", "member of the scope", "newcomer"])
def test_nobody_takes_the_name_of_what_they_may_not_see(everybody, who, effects):
    everybody["newcomer"] = Person("newcomer").login()
    Package.objects.create(name="secret", is_restricted=True)
    effects()
    for name in (SHUT, "secret"):
        for change in ({}, {"access": "public"}):
            answer = everybody[who].send("PUT", f"/{escaped(name)}", body=publish_body(name, "9.0.0") | change)
            assert answer.status in (403, 404), answer.body
        assert Package.objects.get(name=name).is_restricted
    assert effects() == []


# --- Names that are not there yet, and names that are not ours --------------------------------------------------------


def test_a_token_for_a_package_that_is_not_there_yet_publishes_just_that_one(everybody, effects):
    robot = rights_world.with_token("owner", kind="granular", packages=["@acme/new"])
    effects()
    for name in ("@acme/newer", "@acme/ne", "new", PACKAGES["open"]):
        assert robot.publish(name, "2.0.0").status == 403
    assert robot.publish(SHUT, "2.0.0").status == 403
    assert effects() == []
    assert [robot.publish("@acme/new", number).status for number in ("1.0.0", "1.1.0")] == [201, 201]
    assert "package.version.published package:@acme/new by owner" in effects()
    assert [robot.view(name).status for name in ("@acme/new", SHUT)] == [200, 404]


def test_what_comes_from_an_upstream_is_never_restricted_and_nobodys(alice, anyone, upstream, settings, effects):
    settings.DEFAULT_ACCESS = "restricted"
    upstream.publish("pad", "1.0.0")
    User.objects.filter(username="alice").update(is_superuser=True)
    assert anyone.view("pad").status == 200
    effects()
    body = publish_body("pad", "2.0.0") | {"access": "restricted"}
    assert alice.send("PUT", "/pad", body=body).status == 403
    assert alice.send("POST", "/-/package/pad/access", body={"access": "restricted"}).status == 403
    assert alice.send("PUT", "/-/package/pad/owners", body={"user": "alice"}).status == 403
    assert effects() == []
    package = Package.objects.get(name="pad")
    assert (package.origin, package.is_restricted, package.maintainer_set.count()) == ("default", False, 0)
    assert anyone.view("pad").status == 200
