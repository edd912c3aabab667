"""`npm unpublish`: what goes, what stays, who may, and what an operator can undo."""

import random
from collections import Counter

import pytest

from audit.models import Event
from registry.models import DistTag, Grant, Maintainer, Member, Package, Scope, Star, Team, User, Version
from tests.actors import CORGI, Person, publish_body
from tests.registry.cast import OWNS, gather
from tests.registry.consistency import assert_consistent
from tests.registry.tombstones import assert_nothing_is_served, long_ago, refused
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)

URL = "/@acme%2fpad"
TAKEN = "You cannot publish over the previously published versions: 1.0.0."


@pytest.fixture(autouse=True)
def _nothing_half_done(transactional_db):
    yield
    assert_consistent()


def statuses(answers) -> list[int]:
    return [answer.status for answer in answers]


def unpublished(version: str, name: str = "@acme/pad", by: str = "alice") -> str:
    assert Event.objects.filter(kind="package.version.unpublished", facts__version=version).count() == 1
    return f"package.version.unpublished package:{name} by {by}"


# --- A version -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["left-pad", "@acme/pad"])
def test_a_version_is_not_there_any_more(alice, anyone, effects, name):
    for version in ("1.0.0", "1.1.0"):
        alice.publish(name, version)
    before = [anyone.view(name, accept=accept) for accept in ("*/*", CORGI)]
    assert anyone.download(name, "1.1.0").status == 200
    effects()
    assert statuses(alice.unpublish(name, "1.1.0")) == [200, 200]
    assert effects() == [unpublished("1.1.0", name)]
    assert Event.objects.latest("id").facts == {"version": "1.1.0", "tags": ["latest"], "latest": "1.0.0"}
    for accept, old in zip(("*/*", CORGI), before, strict=True):
        answer = anyone.view(name, accept=accept)
        document = answer.json()
        assert (list(document["versions"]), document["dist-tags"]) == (["1.0.0"], {"latest": "1.0.0"})
        assert "1.1.0" not in document["time"]
        assert document["time"]["modified"] > old.json()["time"]["modified"]
        assert answer.headers["etag"] != old.headers["etag"]
    assert anyone.download(name, "1.1.0").status == 404
    assert anyone.download(name, "1.0.0").status == 200
    assert anyone.send("GET", f"/{name}/1.1.0").status == 404


def test_either_step_will_do(alice, anyone, pad, effects):
    document = alice.read_to_change(pad)
    rev = document["_rev"]
    assert alice.send("DELETE", f"{URL}/-/pad-1.0.0.tgz/-rev/{rev}").status == 200
    assert effects() == [unpublished("1.0.0")]
    document = alice.read_to_change(pad)
    del document["versions"]["2.0.0-rc.1"]
    assert alice.send("PUT", f"{URL}/-rev/{document['_rev']}", body=document).status == 200
    assert effects() == [unpublished("2.0.0-rc.1")]
    assert list(anyone.view(pad).json()["versions"]) == ["1.1.0"]


def test_asking_twice_is_no_mistake(alice, pad, effects):
    alice.unpublish(pad, "1.0.0")
    effects()
    for rev in ("1-1", "undefined", "x" * 500):
        assert alice.send("DELETE", f"{URL}/-/pad-1.0.0.tgz/-rev/{rev}").status == 200
    assert effects() == []


@pytest.mark.parametrize("name", ["/@acme%2fpad", "/@acme%2Fpad", "/@acme/pad", "/%40acme%2fpad"])
def test_every_spelling_of_the_url_will_do(alice, anyone, pad, name):
    for number in range(4):
        alice.publish(pad, f"0.0.{number}", tag="old")
    paths = ("", "/-/pad-0.0.1.tgz", "/-/@acme/pad-0.0.2.tgz", "/download/pad-0.0.3.tgz")
    for number, path in enumerate(paths):
        document = alice.read_to_change(pad)
        del document["versions"][f"0.0.{number}"]
        method, body = ("DELETE", None) if path else ("PUT", document)
        answer = alice.send(method, f"{name}{path}/-rev/{document['_rev']}", body=body)
        assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store")
        assert anyone.view(pad).json()["versions"].keys() == document["versions"].keys()


def test_several_at_once(alice, anyone, pad, effects):
    assert statuses(alice.unpublish(pad, "1.0.0", "2.0.0-rc.1")) == [200, 200, 200]
    assert effects() == [unpublished("1.0.0"), unpublished("2.0.0-rc.1")]
    assert anyone.view(pad).json()["dist-tags"] == {"latest": "1.1.0"}


def test_a_number_is_given_once_and_for_all(alice, pad, effects):
    alice.unpublish(pad, "1.0.0")
    effects()
    for sent in ("1.0.0", "v1.0.0", "1.0.0+other"):
        answer = alice.publish(pad, sent, files={"new.js": "2"})
        assert (answer.status, answer.json()["error"]) == (403, TAKEN)
    assert effects() == []
    assert Version.objects.count() == 3


def test_the_document_shows_the_version_that_is_latest_now(alice, anyone):
    alice.publish("@acme/pad", "1.0.0", description="One.", keywords=["one"], readme="# One")
    alice.publish("@acme/pad", "2.0.0", description="Two.", license="MIT", readme="# Secrets")
    alice.unpublish("@acme/pad", "2.0.0")
    document = anyone.view("@acme/pad").json()
    assert (document["description"], document["keywords"]) == ("One.", ["one"])
    assert ("license" in document, document["readme"]) == (False, "# One")


def test_nothing_else_in_the_document_is_believed(alice, anyone, pad, effects):
    document = alice.read_to_change(pad)
    kept = anyone.view(pad).json()["versions"]["1.1.0"]
    del document["versions"]["1.0.0"]
    document["versions"]["1.1.0"] |= {"deprecated": "old", "dist": {}}
    document |= {"dist-tags": {"latest": "1.1.0", "next": "1.1.0"}, "maintainers": [{"name": "eve"}]}
    assert alice.send("PUT", f"{URL}/-rev/{document['_rev']}", body=document).status == 200
    after = anyone.view(pad).json()
    assert after["dist-tags"] == {"latest": "1.1.0", "next": "2.0.0-rc.1"}
    assert [one["name"] for one in after["maintainers"]] == ["alice"]
    assert after["versions"]["1.1.0"] == kept
    assert effects() == [unpublished("1.0.0")]


# --- Tags ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "gone", "latest"),
    [
        ("1.0.0 2.0.0 10.0.0 11.0.0", "11.0.0", "10.0.0"),  # numbers are no text
        ("1.0.0 2.0.0-rc.1 3.0.0", "3.0.0", "1.0.0"),  # stable before prerelease
        ("1.0.0 2.0.0! 3.0.0", "3.0.0", "1.0.0"),  # what nobody is warned of before what is deprecated
        ("1.0.0! 2.0.0! 3.0.0-rc.1 4.0.0", "4.0.0", "2.0.0"),
        ("1.0.0-rc.2 1.0.0-rc.10 1.0.0", "1.0.0", "1.0.0-rc.10"),
        ("2.0.0 1.0.0", "2.0.0", "1.0.0"),  # it stands
        ("1.0.0 1.1.0 2.0.0", "1.0.0 2.0.0", "1.1.0"),
    ],
)
def test_latest_falls_to_the_best_version_left(alice, anyone, published, gone, latest):
    for number in published.split():
        alice.publish("@acme/pad", number.rstrip("!"))
        if number.endswith("!"):
            alice.deprecate("@acme/pad", "old", number.rstrip("!"))
    alice.unpublish("@acme/pad", *gone.split())
    assert anyone.view("@acme/pad").json()["dist-tags"] == {"latest": latest}


def test_other_tags_go_with_their_version(alice, anyone, pad):
    alice.publish(pad, "0.9.0", tag="lts")
    alice.unpublish(pad, "2.0.0-rc.1")
    assert anyone.view(pad).json()["dist-tags"] == {"latest": "1.1.0", "lts": "0.9.0"}
    assert set(DistTag.objects.values_list("tag", flat=True)) == {"latest", "lts"}


# --- The state that the client read ----------------------------------------------------------------------------------


def test_a_rev_changes_with_every_change_and_with_nothing_else(alice, bob, anyone, pad):
    revs = [anyone.view(pad).json()["_rev"]]
    assert alice.read_to_change(pad)["_rev"] == revs[0]
    for change in (
        lambda: alice.publish(pad, "1.2.0"),
        lambda: alice.deprecate(pad, "old", "1.0.0"),
        lambda: alice.unpublish(pad, "1.0.0"),
    ):
        etag = anyone.send("GET", f"{URL}?write=true").headers["etag"]
        change()
        answer = anyone.send("GET", f"{URL}?write=true", headers={"If-None-Match": etag})
        assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
        revs.append(answer.json()["_rev"])
    assert len(set(revs)) == 4
    assert "_rev" not in anyone.view(pad, accept=CORGI).json()


def test_who_read_another_state_is_told_to_try_again(alice, anyone, pad, effects):
    document = alice.read_to_change(pad)
    alice.publish(pad, "1.2.0")
    del document["versions"]["1.0.0"]
    effects()
    for rev in (document["_rev"], "undefined", "1-1", "x" * 1000):
        for method, path, body in (
            ("PUT", "", document),
            ("PUT", "", {"maintainers": [{"name": "alice"}]}),
            ("DELETE", "", None),
            ("DELETE", "/-/pad-1.0.0.tgz", None),
        ):
            refused(alice.send(method, f"{URL}{path}/-rev/{rev}", body=body), 409, "changed", "try again")
    assert effects() == []
    assert len(anyone.view(pad).json()["versions"]) == 4


def test_versions_that_a_policy_hides_are_not_taken_for_left_out(alice, anyone, pad, judge):
    hidden = {"1.1.0": "it is younger than a week"}
    judge(hidden=hidden)
    document = alice.read_to_change(pad)
    assert list(document["versions"]) == ["1.0.0", "2.0.0-rc.1"]
    del document["versions"]["2.0.0-rc.1"]
    judge(at_once=False)
    refused(alice.send("PUT", f"{URL}/-rev/{document['_rev']}", body=document), 409)  # now 1.1.0 seems left out
    judge(at_once=False, hidden=hidden)
    assert alice.send("PUT", f"{URL}/-rev/{document['_rev']}", body=document).status == 200
    judge()
    assert list(anyone.view(pad).json()["versions"]) == ["1.0.0", "1.1.0"]


# --- A package -------------------------------------------------------------------------------------------------------


def test_a_whole_package_is_not_there_any_more(alice, anyone, pad, effects):
    anyone.view(pad)
    anyone.download(pad, "1.0.0")
    assert statuses(alice.unpublish(pad)) == [200]
    assert effects() == ["package.unpublished package:@acme/pad by alice"]
    assert Event.objects.latest("id").facts == {"versions": ["1.0.0", "1.1.0", "2.0.0-rc.1"]}
    assert_nothing_is_served(anyone, pad, "1.0.0", "1.1.0", "2.0.0-rc.1")
    assert_nothing_is_served(alice, pad, "1.0.0")


def test_the_last_version_takes_the_package_with_it(alice, anyone, effects):
    alice.publish("left-pad", "1.0.0")
    effects()
    rev = alice.read_to_change("left-pad")["_rev"]
    assert alice.send("DELETE", f"/left-pad/-/left-pad-1.0.0.tgz/-rev/{rev}").status == 200
    assert effects() == ["package.unpublished package:left-pad by alice"]
    assert_nothing_is_served(anyone, "left-pad", "1.0.0")
    refused(alice.send("DELETE", f"/left-pad/-/left-pad-1.0.0.tgz/-rev/{rev}"), 404)
    refused(alice.send("DELETE", f"/left-pad/-rev/{rev}"), 404)


def test_a_document_with_all_versions_changes_nothing(alice, anyone, pad, effects):
    document, etag = alice.read_to_change(pad), anyone.view(pad).headers["etag"]
    document["versions"]["1.0.0"]["deprecated"] = "old"
    assert alice.send("PUT", f"{URL}/-rev/{document['_rev']}", body=document).status == 200
    assert effects() == []
    assert anyone.view(pad).headers["etag"] == etag


def test_a_document_without_versions_is_no_way_to_take_all(alice, pad, effects):
    document = {**alice.read_to_change(pad), "versions": {}}
    refused(alice.send("PUT", f"{URL}/-rev/{document['_rev']}", body=document), 400, "--force")
    assert effects() == []


def test_its_maintainers_publish_the_name_again_at_once(alice, anyone, pad, effects):
    alice.unpublish(pad)
    effects()
    refused(alice.publish(pad, "1.0.0"), 403, TAKEN)
    assert alice.publish(pad, "3.0.0", tag="next", description="New.").status == 201
    document = anyone.view(pad).json()
    assert document["dist-tags"] == {"latest": "3.0.0", "next": "3.0.0"}
    assert (list(document["versions"]), document["description"]) == (["3.0.0"], "New.")
    assert set(document["time"]) == {"created", "modified", "3.0.0"}
    assert [one["name"] for one in document["maintainers"]] == ["alice"]


def test_others_wait_for_a_day(alice, bob, anyone, pad, effects):
    alice.unpublish(pad)
    effects()
    refused(bob.publish(pad, "3.0.0"), 403, "24 hours", "maintainers")
    long_ago(0.9)
    refused(bob.publish(pad, "3.0.0"), 403, "24 hours")
    assert effects() == []
    assert_nothing_is_served(anyone, pad, "3.0.0")


@pytest.mark.parametrize("access", [None, "public", "restricted"])
def test_after_a_day_others_begin_anew(alice, bob, pad, effects, access):
    bob.send("PUT", URL, body={"users": {"bob": True}})
    scope = Scope.objects.create(name="@acme")
    Member.objects.create(scope=scope, user=User.objects.get(username="bob"))
    team = Team.objects.create(scope=scope, name="theirs")
    Grant.objects.create(team=team, package=Package.objects.get(), permission=Grant.Permission.WRITE)
    alice.unpublish(pad)
    Package.objects.update(is_restricted=True, second_factor="publish")
    long_ago(1.1)
    effects()
    body = {**publish_body(pad, "3.0.0"), "access": access}
    assert bob.send("PUT", URL, body=body).status == 201
    assert effects() == ["blob of @acme/pad@3.0.0", "package.version.published package:@acme/pad by bob"]
    document = bob.view(pad).json()
    assert [one["name"] for one in document["maintainers"]] == ["bob"]
    assert set(document["time"]) == {"created", "modified", "3.0.0"}
    row = Package.objects.get()
    assert (row.is_restricted, row.second_factor) == (access == "restricted", "none")
    assert not Star.objects.exists()
    assert not Grant.objects.exists()
    assert not Maintainer.objects.exclude(user__username="bob").exists()
    refused(bob.publish(pad, "1.0.0"), 403, TAKEN)
    assert alice.publish(pad, "3.0.1").status == 403
    Package.objects.update(is_restricted=False)


def test_a_name_that_was_ours_is_never_taken_from_upstream(alice, anyone, upstream):
    alice.publish("left-pad", "1.0.0")
    upstream.publish("left-pad", "9.9.9")
    alice.unpublish("left-pad")
    assert_nothing_is_served(anyone, "left-pad", "9.9.9")
    assert upstream.count("/left-pad") == 1  # asked when the name was new here


# --- It may not be ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_restricted", [False, True], ids=["public", "restricted"])
def test_only_owners_unpublish(effects, is_restricted):
    cast = gather(is_restricted=is_restricted)
    for number in range(len(OWNS)):
        cast["maintainer"].publish("@acme/pad", f"2.0.{number}")
    document = cast["maintainer"].read_to_change("@acme/pad")
    effects()
    for number, (who, expected) in enumerate(OWNS.items()):
        rev = document["_rev"]
        answer = cast[who].send("DELETE", f"{URL}/-/pad-2.0.{number}.tgz/-rev/{rev}")
        assert answer.status == expected[is_restricted], (who, answer.body)
        assert len(effects()) == (answer.status == 200), who
        if answer.status != 200:
            for method, body in (("PUT", {"versions": {"1.0.0": {}}}), ("DELETE", None)):
                assert cast[who].send(method, f"{URL}/-rev/{rev}", body=body).status == expected[is_restricted], who
        document = cast["maintainer"].read_to_change("@acme/pad")
    assert effects() == []
    if is_restricted:
        hidden, missing = (cast["stranger"].send("DELETE", f"/@acme%2f{name}/-rev/1-1") for name in ("pad", "no"))
        assert hidden.body.replace(b"@acme/pad", b"@acme/no") == missing.body
    Package.objects.update(is_restricted=False)


def test_a_mirrored_package_is_not_ours_to_unpublish(alice, upstream, effects):
    upstream.publish("left-pad", "1.0.0")
    upstream.publish("left-pad", "1.1.0")
    document = alice.view("left-pad").json()
    effects()
    del document["versions"]["1.0.0"]
    for method, path, body in (
        ("PUT", "/left-pad/-rev/1-1", document),
        ("DELETE", "/left-pad/-rev/1-1", None),
        ("DELETE", "/left-pad/-/left-pad-1.0.0.tgz/-rev/1-1", None),
    ):
        refused(alice.send(method, path, body=body), 403, "upstream")
    assert effects() == []


def test_what_is_not_here_cannot_be_unpublished(alice, pad):
    for path in ("/nothing/-rev/1-1", "/nothing/-/nothing-1.0.0.tgz/-rev/1-1"):
        refused(alice.send("DELETE", path), 404, "nothing")
    for file in ("pad-9.9.9.tgz", "other-1.0.0.tgz", "pad-.tgz", f"pad-{'9' * 5_000}.tgz"):
        refused(alice.send("DELETE", f"{URL}/-/{file}/-rev/1-1"), 404)


NO_DOCUMENTS = [
    "", "{", "null", "[]", "{}", '{"versions": null}', '{"versions": ["1.0.0"]}', '{"versions": {"1.0.0": 1}}',
    '{"versions": {"1.0.0": NaN}}', '{"maintainers": null}', '{"maintainers": {}}', '{"maintainers": [1]}',
    '{"maintainers": [{"name": null}]}', '{"maintainers": []}', '{"users": {"alice": true}}',
]  # fmt: skip


def test_what_is_no_document_is_refused_in_words(alice, pad, effects):
    rev = alice.read_to_change(pad)["_rev"]
    for body in NO_DOCUMENTS:
        answer = alice.send("PUT", f"{URL}/-rev/{rev}", body=body)
        refused(answer, 400)
        assert len(answer.json()["error"]) > 20
    assert effects() == []


def test_versions_that_never_were_are_not_kept(alice, pad, effects):
    for number in ("9.9.9", "a\0b", "\ud83d", "x" * 10_000):
        document = alice.read_to_change(pad)
        document["versions"][number] = document["versions"].pop("1.0.0")
        refused(alice.send("PUT", f"{URL}/-rev/{document['_rev']}", body=document), 404, "no version")
    assert effects() == []


def test_only_maintainers_are_the_owners(alice, bob, anyone, pad, effects):
    """npm reads the document and sends the owners alone; yarn 1 looks for `success`."""
    document = alice.read_to_change(pad)
    body = {"_id": pad, "_rev": document["_rev"], "maintainers": [*document["maintainers"], {"name": "bob"}]}
    answer = alice.send("PUT", f"{URL}/-rev/{document['_rev']}", body=body)
    assert (answer.status, answer.json()) == (200, {"ok": True, "success": True})
    assert effects() == ["package.owner.added package:@acme/pad by alice"]
    assert [one["name"] for one in anyone.view(pad).json()["maintainers"]] == ["alice", "bob"]
    assert statuses(bob.unpublish(pad, "1.0.0")) == [200, 200]


# --- Many at once ----------------------------------------------------------------------------------------------------


def test_publishes_and_unpublishes_at_once_lose_nothing(alice, anyone, pad):
    old, new = [f"0.1.{number}" for number in range(6)], [f"3.0.{number}" for number in range(6)]
    for number in old:
        alice.publish(pad, number, tag="old")

    def unpublish(number: str) -> None:
        while alice.unpublish(pad, number)[0].status == 409:
            pass

    def publish(number: str) -> int:
        return alice.publish(pad, number).status

    work = [*((unpublish, number) for number in old), *((publish, number) for number in new)]
    random.Random(4).shuffle(work)
    with PassingThreads(4) as threads:
        outcomes = Counter(future.result() for future in [threads.submit(do, number) for do, number in work])
    assert outcomes == {None: 6, 201: 6}
    document = anyone.view(pad).json()
    assert set(document["versions"]) == {"1.0.0", "1.1.0", "2.0.0-rc.1", *new}
    assert set(document["time"]) == {"created", "modified", *document["versions"]}


def test_a_package_is_published_while_it_is_unpublished(alice, anyone):
    """Whoever comes first, what was acknowledged last holds."""
    for turn in range(4):
        number = f"1.{turn}.0"
        alice.publish("@acme/pad", f"0.{turn}.0")
        rev = alice.read_to_change("@acme/pad")["_rev"]
        with PassingThreads(2) as threads:
            taken = threads.submit(alice.send, "DELETE", f"{URL}/-rev/{rev}")
            given = threads.submit(alice.publish, "@acme/pad", number)
        assert given.result().status == 201
        assert taken.result().status in (200, 409)
        numbers = set(anyone.view("@acme/pad").json()["versions"])
        assert number in numbers
        assert (f"0.{turn}.0" in numbers) == (taken.result().status == 409)


def test_two_who_take_over_a_name_at_once(alice, bob, anyone, pad):
    carol = Person("carol").login()
    alice.unpublish(pad)
    long_ago(1.1)
    with PassingThreads(2) as threads:
        answers = [threads.submit(who.publish, pad, f"3.0.{i}") for i, who in enumerate((bob, carol))]
        assert sorted(answer.result().status for answer in answers) == [201, 403]
    assert len(anyone.view(pad).json()["maintainers"]) == 1
