"""`pnpm publish --recursive --batch`: many versions in one request, all of them or none."""

import io
from collections import Counter

import pytest

from registry import bodies
from registry.bodies import BodyLimits
from registry.errors import TooLarge
from registry.models import Blob, DistTag, Package, Token, User, Version
from tests import tarballs
from tests.actors import CORGI, Person, publish_body
from tests.registry.consistency import assert_consistent
from tests.registry.test_provenance import proven
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)

ADDRESS = "/-/pnpm/v1/publish"


@pytest.fixture(autouse=True)
def _nothing_half_done(transactional_db):
    yield
    Package.objects.update(is_restricted=False)  # everybody may look now
    assert_consistent()


def batch(person: Person, *packages: object, address: str = ADDRESS):
    return person.send("PUT", address, body={"packages": list(packages)})


def refused(answer, status: int, *words: str) -> None:
    assert answer.status == status, answer.body
    error = answer.json()["error"]
    assert all(word in error for word in words), error


# --- All of them ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", [ADDRESS, "/-/pnpr/v0/publish"], ids=["before pnpm 11.28", "since"])
def test_a_batch_is_published(alice, anyone, effects, address):
    alice.publish("@acme/b", "0.9.0")
    effects()
    packed = {name: tarballs.package(name, "1.0.0", {"README.md": f"# {name}"}) for name in ("@acme/b", "a", "@acme/a")}
    answer = batch(alice, *(publish_body(name, "1.0.0", tarball=packed[name]) for name in packed), address=address)
    assert (answer.status, answer.json()["ok"]) == (201, True)
    assert [package["id"] for package in answer.json()["packages"]] == ["@acme/a", "@acme/b", "a"]
    assert sorted(effects()) == [
        *(f"blob of {name}@1.0.0" for name in sorted(packed)),
        *(f"package.version.published package:{name} by alice" for name in sorted(packed)),
    ]
    for name, content in packed.items():
        for accept in ("application/json", CORGI):
            assert anyone.view(name, accept=accept).json()["dist-tags"] == {"latest": "1.0.0"}
        assert anyone.view(name).json()["readme"] == f"# {name}"
        assert anyone.download(name, "1.0.0").raw == content


def test_each_package_has_its_own_tag_access_and_provenance(alice, anyone):
    tagged = publish_body("a", "1.0.0-rc.1", tag="next")
    hidden = publish_body("b", "1.0.0") | {"access": "restricted"}
    assert batch(alice, tagged, hidden, proven("c")).status == 201
    assert anyone.view("a").json()["dist-tags"] == {"latest": "1.0.0-rc.1", "next": "1.0.0-rc.1"}
    assert (anyone.view("b").status, alice.view("b").status) == (404, 200)
    assert anyone.send("GET", "/-/npm/v1/attestations/c@1.0.0").status == 200


def test_two_versions_of_one_package_come_in_their_order(alice, anyone):
    assert batch(alice, publish_body("a", "2.0.0"), publish_body("a", "1.0.0", tag="old")).status == 201
    document = anyone.view("a").json()
    assert list(document["versions"]) == ["2.0.0", "1.0.0"]
    assert document["dist-tags"] == {"latest": "2.0.0", "old": "1.0.0"}


# --- Or none ----------------------------------------------------------------------------------------------------------


def other_name(body):
    body["versions"]["1.0.0"]["name"] = "other"


def no_tarball(body):
    body["_attachments"] = {}


def other_tarball(body):
    body["_attachments"] = publish_body("other", "1.0.0")["_attachments"]
    del body["versions"]["1.0.0"]["dist"]


def a_tag_that_is_a_range(body):
    body["dist-tags"] = {"^1": "1.0.0"}


def an_access_that_is_none(body):
    body["access"] = "everybody"


def provenance_of_something_else(body):
    body["_attachments"] |= {
        key: entry for key, entry in proven("other")["_attachments"].items() if key.endswith(".sigstore")
    }


@pytest.mark.parametrize(
    "spoil",
    [
        other_name,
        no_tarball,
        other_tarball,
        a_tag_that_is_a_range,
        an_access_that_is_none,
        provenance_of_something_else,
    ],
)
def test_one_bad_package_stops_all_and_is_named(alice, effects, spoil):
    for place in range(3):
        packages = [publish_body(name, "1.0.0") for name in ("a", "b", "c")]
        spoil(packages[place])
        refused(batch(alice, *packages), 400, f"{packages[place]['name']}: ")
    assert effects() == []
    assert not Package.objects.exists()


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_version_that_is_there_stops_all(alice, anyone, effects, place):
    names = ["a", "b", "c"]
    alice.publish(names[place], "1.0.0")
    before = anyone.view(names[place]).body
    effects()
    answer = batch(alice, *(publish_body(name, "1.0.0", files={"new": ""}) for name in names))
    refused(answer, 403, f"{names[place]}: You cannot publish over the previously published versions: 1.0.0.")
    assert effects() == []
    assert list(Package.objects.values_list("name", flat=True)) == [names[place]]
    assert anyone.view(names[place]).body == before


def test_one_version_twice_stops_all(alice, effects):
    """This comes to light only once the first of them is written."""
    twice = [publish_body("b", "1.0.0"), publish_body("b", "v1.0.0", files={"x": ""})]
    refused(batch(alice, publish_body("a", "1.0.0"), *twice), 403, "b: You cannot publish over")
    assert effects() == []
    assert not Package.objects.exists()
    assert not DistTag.objects.exists()


def test_somebody_elses_package_stops_all(alice, bob, effects):
    bob.publish("b", "1.0.0")
    bob.send("PUT", "/c", body=publish_body("c", "1.0.0") | {"access": "restricted"})
    Package.objects.filter(name="c").update(is_restricted=True)
    effects()
    refused(batch(alice, publish_body("a", "1.0.0"), publish_body("b", "1.0.1")), 403, "b: ", "maintainers")
    # 404 would tell pnpm that there are no batches here.
    refused(batch(alice, publish_body("a", "1.0.0"), publish_body("c", "1.0.1")), 403, "c: ", "not in this registry")
    assert effects() == []
    assert not Package.objects.filter(name="a").exists()


def test_who_is_nobody_and_who_only_reads_publish_nothing(alice, anyone, effects):
    refused(batch(anyone, publish_body("a", "1.0.0")), 401, "npm login")
    Token.objects.update(kind=Token.Kind.READ_ONLY)
    assert batch(alice, publish_body("a", "1.0.0")).status == 403
    assert effects() == []


def test_a_token_for_one_package_does_not_publish_another(alice, effects):
    Token.objects.update(kind=Token.Kind.GRANULAR, packages=["a"], scopes=[])
    refused(batch(alice, publish_body("a", "1.0.0"), publish_body("b", "1.0.0")), 403, "b: ", "token")
    assert effects() == []
    assert batch(alice, publish_body("a", "1.0.0")).status == 201


def test_a_name_that_the_upstream_has_stops_all(alice, upstream, effects):
    upstream.publish("b", "1.0.0")
    refused(batch(alice, publish_body("a", "1.0.0"), publish_body("b", "9.0.0")), 403, "b: ", "upstream")
    assert effects() == ["package.mirrored package:b by default"]
    assert not Package.objects.filter(name="a").exists()


def test_what_is_no_batch_is_refused_in_words(alice, effects):
    nothing_attached = {"name": "a", "versions": {"1.0.0": {"name": "a", "version": "1.0.0"}}}
    for packages in [
        None, {}, [], "a", [7], [[]], [{}], [{"name": 7}], [{"name": "a"}, None], [{"name": "../a"}],
        [{"name": "a\0"}], [{"name": "a\ud83d"}], [nothing_attached],
    ]:  # fmt: skip
        refused(alice.send("PUT", ADDRESS, body={"packages": packages}), 400)
    for body in ({}, [], "packages", publish_body("a", "1.0.0")):
        refused(alice.send("PUT", ADDRESS, body=body), 400)
    assert effects() == []


def test_a_batch_is_put(alice):
    assert {alice.send(method, ADDRESS).status for method in ("GET", "POST", "DELETE")} == {405}


# --- How much ---------------------------------------------------------------------------------------------------------


def test_tarballs_have_a_limit_each(alice, settings, effects):
    settings.MAX_TARBALL_BYTES = 1_000
    large = publish_body("b", "1.0.0", files={f"{number}.js": "" for number in range(400)})
    refused(batch(alice, publish_body("a", "1.0.0"), large), 413, "1,000 bytes")
    assert effects() == []


def test_tarballs_have_a_limit_together(tmp_path):
    """Else 200 of them could fill the disk before anybody looks at one."""
    data = [f'{{"_attachments": {{"{name}.tgz": {{"data": "AAAA"}}}}}}' for name in "abc"]
    body = f'{{"packages": [{", ".join(data)}]}}'.encode()
    with bodies.read_document(io.BytesIO(body), spool_dir=tmp_path, limits=BodyLimits(all_attachments_bytes=9)) as read:
        assert [len(read.attachments_at("packages", place)) for place in range(3)] == [1, 1, 1]
    with pytest.raises(TooLarge, match="more than 8 bytes together"):
        bodies.read_document(io.BytesIO(body), spool_dir=tmp_path, limits=BodyLimits(all_attachments_bytes=8))
    assert list(tmp_path.iterdir()) == []


# --- Many at once -----------------------------------------------------------------------------------------------------


def at_once(work, items) -> list:
    with PassingThreads(8) as threads:
        return [future.result() for future in [threads.submit(work, item) for item in items]]


def test_batches_in_opposite_orders_do_not_wait_for_each_other(alice, anyone):
    names = [f"@acme/{letter}" for letter in "abcdef"]

    def release(number: int):
        order = names if number % 2 else names[::-1]
        return batch(alice, *(publish_body(name, f"1.{number}.0") for name in order))

    assert Counter(answer.status for answer in at_once(release, range(8))) == {201: 8}
    for name in names:
        assert set(anyone.view(name).json()["versions"]) == {f"1.{number}.0" for number in range(8)}


def test_of_batches_that_share_a_version_one_wins_whole(alice, anyone):
    """Each has a package of its own and one that all have; the losers' own packages must not appear."""

    def release(number: int):
        own, shared = f"@acme/own-{number}", "@acme/shared"
        order = [own, shared] if number % 2 else [shared, own]
        return batch(alice, *(publish_body(name, "1.0.0", files={"who": str(number)}) for name in order))

    answers = at_once(release, range(8))
    assert Counter(answer.status for answer in answers) == {201: 1, 403: 7}
    [winner] = [number for number, answer in enumerate(answers) if answer.status == 201]
    assert set(Package.objects.values_list("name", flat=True)) == {f"@acme/own-{winner}", "@acme/shared"}
    assert Version.objects.count() == Blob.objects.exclude(version=None).count() == 2
    assert User.objects.count() == 1
