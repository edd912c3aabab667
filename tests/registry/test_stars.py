"""Packages that people like: `star`, `unstar`, `stars` of npm and pnpm."""

import json

import pytest

from audit.actors import Actor
from registry import stars
from registry.errors import Unauthenticated
from registry.models import Package, Star
from registry.names import PackageName
from tests.actors import CORGI, Person, escaped
from tests.registry.cast import LIKES, READS, gather
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)

OWN = "/-/user/v1/star"


def star(person: Person, name: str, method: str = "PUT"):
    """`pnpm star name`; `DELETE`: `pnpm unstar name`."""
    return person.send(method, OWN, body={"name": name, "package": name})


def starred_by(reader: Person, user: str) -> list[str]:
    """`npm stars user`, and pnpm's ways, which must say the same."""
    answer = reader.send("GET", f"/-/_view/starredByUser?key=%22{user}%22")
    assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store")
    names = [row["value"] for row in answer.json()["rows"]]
    assert list(reader.send("GET", f"/-/user/{user}/stars").json()) == names
    if reader.name == user:
        assert reader.send("GET", OWN).json() == names
    return names


def test_a_star_comes_and_goes(alice, bob, anyone, pad, effects):
    before = bob.view(pad)
    assert "users" not in before.json()
    assert star(bob, pad).json() == {"ok": True}
    after = bob.view(pad)
    assert after.json()["users"] == {"bob": True}
    assert after.headers["etag"] != before.headers["etag"]
    assert after.json()["time"] == before.json()["time"]
    assert "users" not in anyone.view(pad, accept=CORGI).json()
    assert effects() == [f"package.starred package:{pad} by bob"]
    star(alice, pad)
    assert anyone.view(pad).json()["users"] == {"bob": True, "alice": True}
    assert starred_by(anyone, "bob") == starred_by(bob, "bob") == [pad]
    effects()

    assert star(bob, pad, "DELETE").json() == {"ok": True}
    assert bob.view(pad).json()["users"] == {"alice": True}
    assert starred_by(bob, "bob") == []
    assert effects() == [f"package.unstarred package:{pad} by bob"]


def test_npms_way_sends_all_who_like_it(alice, bob, anyone, pad, effects):
    star(alice, pad)
    effects()
    for liked, users in ((True, {"alice": True, "bob": True}), (False, {"alice": True})):
        document = bob.view(pad).json()
        body = {"_id": pad, "_rev": document["_rev"], "users": users}
        assert bob.send("PUT", f"/{escaped(pad)}", body=body).status == 200
        assert anyone.view(pad).json()["users"] == users
        assert starred_by(anyone, "bob") == [pad] * liked
    assert starred_by(anyone, "alice") == [pad]
    assert effects() == [f"package.starred package:{pad} by bob", f"package.unstarred package:{pad} by bob"]


def test_the_other_path_of_pnpm(alice, pad, effects):
    for method in ("PUT", "DELETE"):
        assert alice.send(method, f"/-/user/package/{escaped(pad)}/star").json() == {"ok": True}
    assert effects() == [f"package.starred package:{pad} by alice", f"package.unstarred package:{pad} by alice"]


def test_what_changes_nothing_is_no_news(alice, pad, effects):
    star(alice, pad)
    revision = Package.objects.get().revision
    effects()
    assert star(alice, pad).status == 200
    star(alice, pad, "DELETE")
    effects()
    revision = Package.objects.get().revision
    assert star(alice, pad, "DELETE").status == 200
    assert Package.objects.get().revision == revision
    assert effects() == []


def test_a_package_of_the_upstream_can_be_liked_too(alice, anyone, upstream, effects):
    upstream.publish("left-pad", "1.0.0")
    assert star(alice, "left-pad").status == 200
    assert anyone.view("left-pad").json()["users"]["alice"] is True
    assert starred_by(anyone, "alice") == ["left-pad"]
    assert "package.starred package:left-pad by alice" in effects()


def test_stars_of_the_upstream_stay_beside_ours(alice, anyone, upstream):
    upstream.publish("left-pad", "1.0.0")
    anyone.view("left-pad")
    upstream.stop()
    head = Package.objects.get().head
    Package.objects.update(head=head[:-1] + ',"users":{"isaac":true}}')
    star(alice, "left-pad")
    assert anyone.view("left-pad").json()["users"] == {"isaac": True, "alice": True}


def test_what_is_not_there_cannot_be_liked(alice, effects):
    for method in ("PUT", "DELETE"):
        assert star(alice, "@acme/nothing", method).status == 404
    assert effects() == []


def test_a_body_that_names_no_package(alice, effects):
    bodies = ["", "null", "[]", "{}", '{"package": 1}', '{"package": null}', "{", '"left-pad"']
    bodies += [json.dumps({"package": name}) for name in ("", "..", "a\0", "\ud800", "@acme", "x" * 300)]
    for body in bodies:
        for method in ("PUT", "DELETE"):
            assert alice.send(method, OWN, body=body).status == 400, body
    assert effects() == []


@pytest.mark.parametrize("user", ["nobody", "%00", "%FF", "", "%22", "x" * 5000])
def test_the_stars_of_nobody(anyone, user):
    assert anyone.send("GET", f"/-/_view/starredByUser?key=%22{user}%22").status == 404
    assert anyone.send("GET", f"/-/user/{user or '%20'}/stars").status == 404


def test_who_is_nobody_has_no_stars(anyone):
    assert anyone.send("GET", OWN).status == 401
    assert anyone.send("GET", "/-/_view/starredByUser").status == 404


@pytest.mark.parametrize("is_restricted", [False, True])
def test_whoever_may_read_may_star(is_restricted):
    cast = gather(is_restricted=is_restricted)
    got = {
        who: (star(person, "@acme/pad").status, star(person, "@acme/pad", "DELETE").status)
        for who, person in cast.items()
    }
    assert got == {who: (LIKES[who][is_restricted],) * 2 for who in cast}


def test_a_star_tells_nobody_of_a_package_that_they_may_not_read():
    cast = gather(is_restricted=True)
    star(cast["team reader"], "@acme/pad")
    seen = {who: starred_by(person, "team-reader") == ["@acme/pad"] for who, person in cast.items()}
    assert seen == {who: READS[who][True] == 200 for who in cast}


def test_a_closed_registry_tells_nothing_to_who_is_not_signed_in(alice, bob, anyone, pad, settings):
    star(alice, pad)
    settings.ANONYMOUS_READ = False
    assert anyone.send("GET", "/-/_view/starredByUser?key=%22alice%22").status == 401
    assert starred_by(bob, "alice") == [pad]


def test_the_verb_itself_asks_for_somebody_who_may_write():
    gather()
    with pytest.raises(Unauthenticated):
        stars.star(PackageName.parse("@acme/pad"), actor=Actor.anonymous())


def test_stars_at_once_are_all_kept(alice, pad):
    fans = [Person(f"fan-{number}").login() for number in range(8)]
    with PassingThreads(8) as threads:
        answers = [threads.submit(star, fan, pad) for fan in [*fans, *fans]]
        assert [answer.result().status for answer in answers] == [200] * 16
    assert Star.objects.count() == 8
    assert set(alice.view(pad).json()["users"]) == {fan.name for fan in fans}
