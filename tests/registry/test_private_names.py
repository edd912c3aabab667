"""Names that are ours are never asked for elsewhere: who registers them upstream must not get into our installs."""

import pytest

from registry import access, generation
from registry.models import User
from registry.names import PackageName

pytestmark = pytest.mark.django_db(transaction=True)

QUESTIONS = [
    "/@acme%2fsecret",
    "/@acme%2Fsecret",
    "/@acme/secret",
    "/%40acme/secret",
    "/@acme/secret/",
    "/@acme%2fsecret/1.0.0",
    "/@acme/secret/latest",
    "/@acme%2fsecret/-/secret-1.0.0.tgz",
    "/@acme/secret/-/@acme/secret-1.0.0.tgz",
    "/@acme/secret/download/secret-1.0.0.tgz",
    "/-/package/@acme%2fsecret/dist-tags",
]


def test_an_upstream_is_never_asked_for_a_private_scope(anyone, alice, upstream):
    upstream.publish("@acme/secret", "99.0.0")
    for question in QUESTIONS:
        for method in ("GET", "HEAD"):
            assert anyone.send(method, question).status == 404
    assert alice.publish("@acme/secret", "1.0.0").status == 201
    assert [anyone.send("GET", question).status for question in QUESTIONS] == [200] * len(QUESTIONS)
    assert anyone.send("GET", "/@acme%2fsecret/99.0.0").status == 404
    assert upstream.count() == 0


def test_nor_for_a_name_that_was_published_here(anyone, alice, upstream):
    assert alice.publish("our-pad", "1.0.0").status == 201
    asked = upstream.count()  # whether the name was free
    upstream.publish("our-pad", "99.0.0")
    assert list(anyone.view("our-pad").json()["versions"]) == ["1.0.0"]
    assert anyone.send("GET", "/our-pad/99.0.0").status == 404
    assert anyone.download("our-pad", "99.0.0").status == 404
    assert alice.publish("our-pad", "1.0.1").status == 201
    assert upstream.count() == asked


def test_a_scope_is_compared_whole(anyone, upstream):
    upstream.publish("@acme-labs/pad", "1.0.0")
    assert anyone.view("@acme-labs/pad").status == 200


def test_what_was_mirrored_is_refused_once_its_scope_is_ours_also_where_that_is_not_heard_at_once(
    alice, anyone, upstream, settings, monkeypatch
):
    """On another host the scopes that a process knows may be a second old; what it judges by then would be kept."""
    settings.FRONT_DOOR, settings.FRESH_SECONDS = False, 300
    User.objects.filter(username="alice").update(is_superuser=True)
    upstream.publish("@fresh/pad", "1.0.0")
    assert anyone.view("@fresh/pad").status == 200
    monkeypatch.setattr(access, "_KEPT_SECONDS", 3600)
    monkeypatch.setattr(generation, "advance", lambda: None)  # of that host
    assert alice.send("PUT", "/-/org", body={"name": "fresh"}).status == 201
    assert not access.is_private_scope(PackageName.parse("@fresh/pad"))  # it has not heard
    assert [anyone.view("@fresh/pad").status, anyone.download("@fresh/pad", "1.0.0").status] == [451, 451]
    assert alice.send("DELETE", "/-/org/fresh").status == 200
    assert anyone.view("@fresh/pad").status == 200
