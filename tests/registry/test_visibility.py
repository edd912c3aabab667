"""Who may see a package, and who works on it: `npm access`."""

import itertools
from dataclasses import replace

import pytest

from audit.actors import Actor
from audit.models import Event
from registry import access
from registry.models import Member, Package, Scope, SecondFactorRule, Team, Token, User
from tests.actors import Person, escaped
from tests.registry.cast import OWNS, READS, acting, gather, restrict

pytestmark = pytest.mark.django_db(transaction=True)

PAD = "@acme/pad"
EVERYBODY = {
    "maintainer": "read-write",
    "scope-owner": "read-write",
    "team-reader": "read-only",
    "team-writer": "read-write",
}


def ask(person: Person, path: str):
    """The answer of an endpoint that no cache may keep."""
    answer = person.send("GET", path)
    assert answer.status != 200 or answer.headers["cache-control"] == "private, no-store"
    return answer


def package_url(word: str, name: str = PAD) -> str:
    return f"/-/package/{escaped(name)}/{word}"


def change(person: Person, name: str = PAD, **body: object):
    """`npm access set status=…` or `set mfa=…`."""
    return person.send("POST", package_url("access", name), body=body)


# --- Who may see it --------------------------------------------------------------------------------------------------


def test_a_package_is_closed_and_opened(alice, bob, anyone, pad, effects):
    assert ask(anyone, package_url("visibility")).json() == {"public": True}
    assert ask(anyone, package_url("access")).json() == {"access": "public"}
    tarball = anyone.download(pad, "1.0.0")
    assert [tarball.status, anyone.view(pad).status, anyone.view(pad).status] == [200] * 3

    assert change(alice, access="restricted").json() == {"ok": True}
    for reader in (anyone, bob):
        assert reader.view(pad).status == 404
        assert reader.download(pad, "1.0.0").status == 404
        assert ask(reader, package_url("visibility")).status == 404
    assert ask(alice, package_url("visibility")).json() == {"public": False}
    assert ask(alice, package_url("access")).json() == {"access": "restricted"}
    assert alice.view(pad).headers["cache-control"] == "private, no-store"
    assert effects() == [f"package.access.changed package:{pad} by alice"]

    assert change(alice, access="public").status == 200
    assert anyone.view(pad).status == 200
    told = [event.facts["access"] for event in Event.objects.filter(kind="package.access.changed").order_by("id")]
    assert told == ["restricted", "public"]


def test_a_package_without_scope_can_be_closed_too(alice, anyone):
    alice.publish("left-pad", "1.0.0")
    assert change(alice, "left-pad", access="restricted").status == 200
    assert anyone.view("left-pad").status == 404


def test_who_publishes_it_must_show_a_second_factor(alice, pad, effects):
    for body, rule in (
        ({"publish_requires_tfa": True, "automation_token_overrides_tfa": True}, SecondFactorRule.AUTOMATION),
        ({"publish_requires_tfa": True, "automation_token_overrides_tfa": False}, SecondFactorRule.PUBLISH),
        ({"publish_requires_tfa": True}, SecondFactorRule.PUBLISH),  # npm 6 says no more
    ):
        Package.objects.update(second_factor=SecondFactorRule.NONE)
        assert change(alice, **body).status == 200
        assert Package.objects.get().second_factor == rule
        assert effects() == [f"package.second-factor.changed package:{pad} by alice"]
        assert Event.objects.last().facts == {"rule": rule.value}


def test_who_takes_the_rule_away_must_show_a_second_factor(alice, pad, effects):
    Package.objects.update(second_factor=SecondFactorRule.PUBLISH)
    assert change(alice, publish_requires_tfa=False).status in (401, 403)
    assert Package.objects.get().second_factor == SecondFactorRule.PUBLISH
    assert effects() == []


def test_both_at_once(alice, pad, effects):
    assert change(alice, access="restricted", publish_requires_tfa=True).status == 200
    package = Package.objects.get()
    assert (package.is_restricted, package.second_factor) == (True, SecondFactorRule.PUBLISH)
    assert len(effects()) == 2


def test_what_changes_nothing_is_no_news(alice, pad, effects):
    revision = Package.objects.get().revision
    assert change(alice, access="public", publish_requires_tfa=False).status == 200
    assert change(alice, access=None).status == 200
    assert Package.objects.get().revision == revision
    assert effects() == []


def test_a_body_that_says_nothing(alice, pad, effects):
    bodies = [
        "", "null", "[]", "{}", "{", '"public"', '{"access": "open"}', '{"access": true}', '{"access": ["public"]}',
        '{"access": {}}', '{"publish_requires_tfa": "yes"}', '{"publish_requires_tfa": 1}', '{"access": "\\u0000"}',
        '{"publish_requires_tfa": true, "automation_token_overrides_tfa": 0}',
        '{"automation_token_overrides_tfa": true}',
        '{"access": "\\ud800"}', '{"access": NaN}',
    ]  # fmt: skip
    statuses = [alice.send("POST", package_url("access"), body=body).status for body in bodies]
    assert statuses == [400] * len(bodies)
    assert effects() == []


def test_a_package_of_the_upstream_is_as_open_as_there(alice, anyone, upstream, effects):
    upstream.publish("left-pad", "1.0.0")
    assert ask(anyone, package_url("visibility", "left-pad")).json() == {"public": True}
    assert ask(anyone, package_url("collaborators", "left-pad")).json() == {}
    effects()
    answer = change(alice, "left-pad", access="restricted")
    assert (answer.status, "upstream" in answer.json()["error"]) == (403, True)
    assert effects() == []


@pytest.mark.parametrize("is_restricted", [False, True])
def test_who_may_see_and_change_access(is_restricted):
    cast = gather(is_restricted=is_restricted)
    words = ("visibility", "access", "collaborators")
    status = "restricted" if is_restricted else "public"
    got = {
        who: (*(ask(person, package_url(word)).status for word in words), change(person, access=status).status)
        for who, person in cast.items()
    }
    assert got == {who: (READS[who][is_restricted],) * 3 + (OWNS[who][is_restricted],) for who in cast}


def test_who_may_not_see_a_package_is_told_that_there_is_none():
    stranger = gather(is_restricted=True)["stranger"]
    for word in ("visibility", "access", "collaborators"):
        hidden, missing = (ask(stranger, package_url(word, name)) for name in (PAD, "@acme/no"))
        assert hidden.body.replace(b"@acme/pad", b"@acme/no") == missing.body


# --- Who works on it -------------------------------------------------------------------------------------------------


def test_collaborators_are_owners_and_people_of_the_scope():
    cast = gather()
    told = {who: ask(person, package_url("collaborators") + "?format=cli").json() for who, person in cast.items()}
    outsiders = ("anonymous", "stranger", "read-only token", "token for another package")
    assert told == {who: {"maintainer": "read-write"} if who in outsiders else EVERYBODY for who in cast}


def test_one_collaborator():
    owner = gather()["scope owner"]
    for user, right in [*EVERYBODY.items(), ("stranger", None), ("%00", None), ("%FF", None)]:
        answer = ask(owner, package_url("collaborators") + f"?format=cli&user={user}")
        assert answer.json() == ({user: right} if right else {})


def test_the_better_of_two_rights_counts():
    cast = gather()
    team = Team.objects.get(name="team writer")
    team.members.add(User.objects.get(username="team-reader"))
    assert ask(cast["maintainer"], package_url("collaborators")).json() == EVERYBODY | {"team-reader": "read-write"}


def test_who_left_is_no_collaborator():
    cast = gather()
    User.objects.filter(username__in=["team-writer", "scope-owner"]).update(is_active=False)
    told = ask(cast["maintainer"], package_url("collaborators")).json()
    assert told == {"maintainer": "read-write", "team-reader": "read-only"}


def packages(reader: Person, user: str) -> dict[str, str] | int:
    """`npm access list packages user`: first as the name of an organisation."""
    first = ask(reader, f"/-/org/{user}/package?format=cli")
    answer = ask(reader, f"/-/user/{user}/package?format=cli") if first.status == 404 else first
    return answer.json() if answer.status == 200 else answer.status


def test_the_packages_of_a_person():
    cast = gather()
    assert cast["stranger"].publish("left-pad", "1.0.0").status == 201
    assert packages(cast["anonymous"], "stranger") == {"left-pad": "read-write"}
    assert packages(cast["anonymous"], "maintainer") == {PAD: "read-write"}
    for user, right in EVERYBODY.items():
        assert packages(cast["scope owner"], user) == {PAD: right}
        assert packages(cast["stranger"], user) == ({PAD: right} if user == "maintainer" else {})
    for who in ("team reader", "team writer", "scope owner", "maintainer"):
        assert ask(cast[who], "/-/-/package?format=cli").json() == {PAD: EVERYBODY[cast[who].name]}


def test_packages_that_the_reader_may_not_see_are_not_listed():
    cast = gather(is_restricted=True)
    told = {who: packages(person, "maintainer") == {PAD: "read-write"} for who, person in cast.items()}
    assert told == {who: READS[who][True] == 200 for who in cast}


def test_the_packages_of_a_scope():
    cast = gather()
    cast["maintainer"].publish("left-pad", "1.0.0")
    for scope in ("acme", "@acme", "%40ACME"):
        assert ask(cast["anonymous"], f"/-/org/{scope}/package").json() == {PAD: "read-write"}
    restrict(PAD)
    told = {who: ask(person, "/-/org/acme/package").status for who, person in cast.items()}
    assert told == {who: READS[who][True] for who in cast}


def test_who_may_see_a_scope_is_told_that_it_has_no_packages_yet(alice, bob):
    member = Member.objects.create(scope=Scope.objects.create(name="@new"), user=User.objects.get(username="alice"))
    assert ask(alice, "/-/org/new/package").json() == {}
    assert ask(bob, "/-/org/new/package").status == 404
    member.delete()
    assert ask(alice, "/-/org/new/package").status == 404


@pytest.mark.parametrize("user", ["nobody", "%00", "%FF", "%20", "a%2Fb", "x" * 5000])
def test_the_packages_of_nobody(anyone, user):
    assert packages(anyone, user) == 404


def test_who_is_nobody_has_no_packages(anyone):
    assert ask(anyone, "/-/-/package?format=cli").status == 401


def test_a_closed_registry_tells_nothing_to_who_is_not_signed_in(alice, bob, anyone, pad, settings):
    settings.ANONYMOUS_READ = False
    paths = ["/-/org/acme/package", "/-/user/alice/package"]
    paths += map(package_url, ("visibility", "access", "collaborators"))
    assert [ask(anyone, path).status for path in paths] == [401] * 5
    assert [ask(bob, path).status for path in paths] == [200] * 5


# --- Many at once, as one by one -------------------------------------------------------------------------------------


def test_what_is_readable_is_what_one_may_read():
    """`access.readable` says for a query what `access.may_read` says of one package, whatever the token."""
    cast = gather(is_restricted=True)
    for who, name in {"stranger": "left-pad", "maintainer": "right-pad"}.items():
        assert cast[who].publish(name, "1.0.0").status == 201
    restrict("left-pad")
    token = Token.objects.get(user__username="operator")
    assert_same_answers(Actor.anonymous())
    for kind, names, scopes, permission, is_admin in itertools.product(
        (Token.Kind.SESSION, Token.Kind.READ_ONLY, Token.Kind.GRANULAR),
        (None, [PAD]),
        (None, [], ["@acme", ""]),
        Token.Permission.values,
        (False, True),
    ):
        limits = {"kind": kind, "packages": names, "scopes": scopes, "permission": permission, "is_admin": is_admin}
        Token.objects.filter(pk=token.pk).update(**limits)
        for who in ("maintainer", "team reader", "scope owner", "operator"):
            assert_same_answers(replace(acting(cast[who]), token_id=token.pk))


def assert_same_answers(actor: Actor) -> None:
    one_by_one = {
        package.name for package in Package.objects.all() if access.may_read(actor, package.parsed_name, package.stamp)
    }
    assert set(Package.objects.filter(access.readable(actor)).values_list("name", flat=True)) == one_by_one
