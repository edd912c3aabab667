"""Who owns a package: `npm owner`, `pnpm owner`."""

import pytest

from registry import owners
from registry.errors import Invalid, NotFound
from registry.models import Maintainer, Package, User
from registry.names import PackageName
from tests.actors import Person, escaped
from tests.registry.cast import OWNS, READS, acting, gather
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)

PAD = PackageName.parse("@acme/pad")


def url(name: str, user: str | None = None) -> str:
    return f"/-/package/{escaped(name)}/owners" + (f"/{user}" if user else "")


def add(person: Person, name: str, user: object):
    """`pnpm owner add name user`."""
    return person.send("PUT", url(name), body={"user": user})


def remove(person: Person, name: str, user: str):
    """`pnpm owner rm name user`."""
    return person.send("DELETE", url(name, user))


def listed(person: Person, name: str) -> list[str]:
    """`npm owner ls name`: from the packument."""
    return [one["name"] for one in person.view(name).json()["maintainers"]]


def test_an_owner_comes_and_may_publish_and_goes_and_may_not(alice, bob, anyone, pad, effects):
    before = anyone.view(pad)
    assert add(alice, pad, "bob").json() == {"ok": True}
    after = anyone.view(pad)
    assert listed(anyone, pad) == ["alice", "bob"]
    assert after.headers["etag"] != before.headers["etag"]
    assert after.json()["time"]["modified"] > before.json()["time"]["modified"]
    assert effects() == [f"package.owner.added package:{pad} by alice"]
    assert bob.publish(pad, "3.0.0").status == 201
    assert listed(anyone, pad) == ["alice", "bob"]
    effects()

    assert remove(bob, pad, "bob").json() == {"ok": True}
    assert listed(anyone, pad) == ["alice"]
    assert bob.publish(pad, "3.0.1").status == 403
    assert effects() == [f"package.owner.removed package:{pad} by bob"]


def test_the_list_of_owners(alice, anyone, pad):
    User.objects.update(email="alice@acme.example")
    answer = anyone.send("GET", url(pad))
    assert answer.json() == anyone.view(pad).json()["maintainers"] == [{"name": "alice", "email": ""}]
    assert answer.headers["cache-control"] == "private, no-store"


def test_what_changes_nothing_is_no_news(alice, pad, effects):
    revision = Package.objects.get().revision
    assert add(alice, pad, "alice").status == 200
    assert remove(alice, pad, "nobody").status == 200
    owners.replace(PAD, ["alice", "alice"], actor=acting(alice))
    assert Package.objects.get().revision == revision
    assert effects() == []


def test_npms_way_sends_all_owners(alice, bob, anyone, pad, effects):
    def send(rev: str, maintainers: object):
        body = {"_id": pad, "_rev": rev, "maintainers": maintainers}
        return alice.send("PUT", f"/{escaped(pad)}/-rev/{rev}", body=body)

    document = alice.view(pad).json()
    both = [*document["maintainers"], {"name": "bob", "email": "bob@acme.example"}]
    assert send(document["_rev"], both).status == 200
    assert listed(anyone, pad) == ["alice", "bob"]
    assert effects() == [f"package.owner.added package:{pad} by alice"]
    assert send(document["_rev"], document["maintainers"]).status == 409
    rev = alice.view(pad).json()["_rev"]
    for nobody in (None, [], [{}], ["bob"], [{"name": 1}], {"name": "bob"}):
        assert send(rev, nobody).status == 400, nobody
    assert effects() == []


def test_all_owners_at_once(alice, bob, anyone, pad, effects):
    owners.replace(PAD, ["bob", "alice"], actor=acting(alice))
    assert listed(anyone, pad) == ["alice", "bob"]
    owners.replace(PAD, ["bob"], actor=acting(alice))
    assert listed(anyone, pad) == ["bob"]
    assert effects() == [
        f"package.owner.added package:{pad} by alice",
        f"package.owner.removed package:{pad} by alice",
    ]


def test_a_package_keeps_an_owner(alice, anyone, pad, effects):
    answer = remove(alice, pad, "alice")
    assert (answer.status, "must keep an owner" in answer.json()["error"]) == (400, True)
    with pytest.raises(Invalid, match="must keep an owner"):
        owners.replace(PAD, [], actor=acting(alice))
    assert listed(anyone, pad) == ["alice"]
    assert effects() == []


def test_somebody_who_is_nobody(alice, bob, pad, effects):
    for user in ("nobody", "", "a\0", "\ud800", "x" * 5000, "Bob"):
        answer = add(alice, pad, user)
        assert (answer.status, "there is no user" in answer.json()["error"]) == (404, True), user
    assert effects() == []


def test_somebody_who_left(alice, bob, pad, effects):
    User.objects.filter(username="bob").update(is_active=False)
    assert add(alice, pad, "bob").status == 404
    assert effects() == []


def test_one_unknown_name_spoils_them_all(alice, bob, anyone, pad, effects):
    with pytest.raises(NotFound, match="there is no user nobody"):
        owners.replace(PAD, ["alice", "bob", "nobody"], actor=acting(alice))
    with pytest.raises(Invalid, match="at once"):
        owners.replace(PAD, ["alice", *map(str, range(2000))], actor=acting(alice))
    assert listed(anyone, pad) == ["alice"]
    assert effects() == []


def test_a_request_that_names_nobody(alice, pad, effects):
    for body in ("", "null", "[]", '"bob"', '{"user": null}', '{"user": []}', "{", '{"user": NaN}'):
        assert alice.send("PUT", url(pad), body=body).status == 400, body
    for user in ("%FF", "%20", "a%0Ab", "%ED%A0%80"):
        assert remove(alice, pad, user).status == 200, user
    assert effects() == []


def test_a_package_of_the_upstream_has_its_owners_there(alice, anyone, upstream, effects):
    upstream.publish("left-pad", "1.0.0")
    names = [one["name"] for one in anyone.send("GET", url("left-pad")).json()]
    assert names == [one["name"] for one in anyone.view("left-pad").json().get("maintainers", [])]
    effects()
    answer = add(alice, "left-pad", "alice")
    assert (answer.status, "upstream" in answer.json()["error"]) == (403, True)
    assert effects() == []


def test_a_package_that_is_not_there(alice, anyone):
    assert anyone.send("GET", url("@acme/pad")).status == 404
    assert add(alice, "@acme/pad", "alice").status == 404
    assert remove(alice, "@acme/pad", "alice").status == 404


@pytest.mark.parametrize("is_restricted", [False, True])
def test_who_may_see_and_change_owners(is_restricted):
    cast = gather(is_restricted=is_restricted)
    got = {
        who: (
            person.send("GET", url("@acme/pad")).status,
            add(person, "@acme/pad", "maintainer").status,
            remove(person, "@acme/pad", "nobody").status,
        )
        for who, person in cast.items()
    }
    assert got == {who: (READS[who][is_restricted], *[OWNS[who][is_restricted]] * 2) for who in cast}


def test_who_may_not_see_a_package_is_told_that_there_is_none():
    stranger = gather(is_restricted=True)["stranger"]
    hidden, missing = (add(stranger, name, "stranger") for name in ("@acme/pad", "@acme/no"))
    assert hidden.body.replace(b"@acme/pad", b"@acme/no") == missing.body


def test_owners_who_come_at_once_all_stay(alice, anyone, pad):
    names = [f"user-{number}" for number in range(12)]
    for name in names:
        Person(name).login()
    with PassingThreads(8) as threads:
        answers = [threads.submit(add, alice, pad, name) for name in names]
        assert [answer.result().status for answer in answers] == [200] * 12
    assert sorted(listed(anyone, pad)) == sorted(["alice", *names])


def test_of_two_who_remove_each_other_one_stays(alice, bob, anyone, pad):
    add(alice, pad, "bob")
    with PassingThreads(2) as threads:
        answers = [threads.submit(remove, alice, pad, "bob"), threads.submit(remove, bob, pad, "alice")]
        assert sorted(answer.result().status for answer in answers) == [200, 403]
    assert Maintainer.objects.count() == 1
    assert listed(anyone, pad) == list(Maintainer.objects.values_list("user__username", flat=True))
