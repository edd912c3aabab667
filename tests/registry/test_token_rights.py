"""What each kind of token lets its person do: a table, and that no token ever lets them do more than they may."""

from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.actors import Actor
from registry import access, limits, tokens
from registry.errors import RegistryError
from registry.models import Maintainer, Member, Package, Scope, Token, User
from registry.names import PackageName
from registry.terms import Terms

pytestmark = pytest.mark.django_db(transaction=True)

KINDS, MAY = Token.Kind, Token.Permission
PACKAGES = ["left-pad", "@acme/pad", "@acme/plan", "@acme/secret", "@tools/pad", "@tools/secret", "foreign"]


def named(name: str) -> PackageName:
    return PackageName.parse(name)


def reads(name: str) -> Callable[[Actor], bool]:
    return lambda actor: access.may_read(actor, named(name), Package.objects.stamp(name))


def raises_nothing(ask: Callable[[Actor], object]) -> Callable[[Actor], bool]:
    def may(actor: Actor) -> bool:
        try:
            ask(actor)
        except RegistryError:
            return False
        return True

    return may


def publishes(name: str) -> Callable[[Actor], bool]:
    return raises_nothing(
        lambda actor: access.require_publish(actor, named(name), Package.objects.filter(name=name).first())
    )


def owns(name: str) -> Callable[[Actor], bool]:
    return raises_nothing(lambda actor: access.require_own(actor, Package.objects.get(name=name)))


DEEDS: dict[str, Callable[[Actor], bool]] = {
    "public": reads("left-pad"),
    "secret": reads("@acme/secret"),
    "other-secret": reads("@tools/secret"),
    "publish": publishes("@acme/pad"),
    "publish-new": publishes("@acme/new"),
    "publish-other": publishes("@tools/pad"),
    "publish-other-new": publishes("new"),
    "publish-foreign": publishes("foreign"),
    "tag": lambda actor: access.may_publish(actor, Package.objects.get(name="@acme/pad")),
    "own": owns("@acme/pad"),
    "own-other": owns("@tools/pad"),
    "see-org": lambda actor: access.may_see_scope(actor, "@acme"),
    "run-org": raises_nothing(lambda actor: access.require_administer(actor, "@acme")),
    "run-other-org": raises_nothing(lambda actor: access.require_administer(actor, "@tools")),
    "write": raises_nothing(access.require_writer),
    "account": raises_nothing(access.require_account),
    "make-token": raises_nothing(lambda actor: tokens.make_own(Terms(), actor=actor)),
    "operate": access.may_administer,
}
READING = "public secret other-secret"
PUBLISHING = "publish publish-new publish-other publish-other-new tag write"
EVERYTHING = f"{READING} {PUBLISHING} own own-other see-org run-org run-other-org account make-token"

GRANULAR = Terms(kind=KINDS.GRANULAR, packages=[], scopes=[], orgs=[])

TABLE: dict[str, tuple[Terms, str]] = {
    "session": (Terms(kind=KINDS.SESSION), EVERYTHING),
    "publish": (Terms(kind=KINDS.PUBLISH), EVERYTHING),
    "read-only": (Terms(kind=KINDS.READ_ONLY), f"{READING} see-org"),
    "automation": (Terms(kind=KINDS.AUTOMATION), f"{READING} {PUBLISHING} see-org"),
    "granular, all packages": (replace(GRANULAR, packages=None, scopes=None), f"{READING} {PUBLISHING} own own-other"),
    "granular, all packages, to read": (
        replace(GRANULAR, packages=None, scopes=None, permission=MAY.READ_ONLY, orgs_permission=MAY.READ_ONLY),
        READING,
    ),
    "granular, nothing": (GRANULAR, "public write"),
    "granular, nothing to read": (
        replace(GRANULAR, permission=MAY.READ_ONLY, orgs_permission=MAY.NO_ACCESS),
        "public",
    ),
    "granular, packages": (
        replace(GRANULAR, packages=["@acme/pad", "@acme/new"]),
        "public publish publish-new tag own write",
    ),
    "granular, packages to read": (
        replace(GRANULAR, packages=["@acme/secret"], permission=MAY.READ_ONLY, orgs_permission=MAY.NO_ACCESS),
        "public secret",
    ),
    "granular, a scope": (
        replace(GRANULAR, scopes=["@acme"]),
        "public secret publish publish-new tag own write",
    ),
    "granular, a scope without access": (replace(GRANULAR, scopes=["@acme"], permission=MAY.NO_ACCESS), "public write"),
    "granular, an organisation": (
        replace(GRANULAR, orgs=["@acme"], permission=MAY.NO_ACCESS),
        "public see-org run-org write",
    ),
    "granular, an organisation to read": (
        replace(GRANULAR, orgs=["@acme"], permission=MAY.READ_ONLY, orgs_permission=MAY.READ_ONLY),
        "public see-org",
    ),
    "read-only, a package": (
        Terms(kind=KINDS.READ_ONLY, packages=["@acme/secret"], scopes=[], orgs=[]),
        "public secret",
    ),
    "automation, a scope": (
        Terms(kind=KINDS.AUTOMATION, packages=[], scopes=["@acme"], orgs=[]),
        "public secret publish publish-new tag write",
    ),
}
ADMIN_TABLE: dict[str, tuple[Terms, str]] = {
    "session": (Terms(kind=KINDS.SESSION), f"{EVERYTHING} operate"),
    "publish": (Terms(kind=KINDS.PUBLISH), "public publish-other-new write account make-token"),
    "publish, admin": (Terms(kind=KINDS.PUBLISH, is_admin=True), f"{EVERYTHING} operate"),
    "read-only, admin": (Terms(kind=KINDS.READ_ONLY, is_admin=True), f"{READING} see-org"),
    "automation, admin": (Terms(kind=KINDS.AUTOMATION, is_admin=True), f"{READING} {PUBLISHING} see-org operate"),
    "granular, admin, a scope": (
        replace(GRANULAR, scopes=["@acme"], is_admin=True),
        "public secret publish publish-new tag own write",
    ),
}


@pytest.fixture
def alice_of_acme(_world) -> User:
    """Alice: she owns `left-pad` and two scopes."""
    user = User.objects.create(username="alice")
    for scope in Scope.objects.all():
        Member.objects.create(scope=scope, user=user, role=Member.Role.OWNER)
    Maintainer.objects.create(package=Package.objects.get(name="left-pad"), user=user)
    return user


@pytest.fixture
def root(_world) -> User:
    """An operator, and a member of nothing."""
    bob = User.objects.create(username="bob")
    for scope in Scope.objects.all():
        Member.objects.create(scope=scope, user=bob, role=Member.Role.OWNER)
    return User.objects.create(username="root", is_superuser=True)


@pytest.fixture
def _world(transactional_db) -> None:
    for name in ("@acme", "@tools"):
        Scope.objects.create(name=name)
    for name in PACKAGES:
        Package.objects.create(
            name=name,
            scope=named(name).scope,
            is_restricted=name.endswith("/secret"),
            origin="npm" if name == "foreign" else None,
        )


def holder(user: User, wanted: Terms) -> Actor:
    """The person, acting with a new token."""
    token = tokens.make(user, wanted, actor=Actor.system("test")).token
    return replace(Actor.user(user.username, user_id=user.pk), token_id=token.pk)


def done(actor: Actor) -> set[str]:
    return {deed for deed, may in DEEDS.items() if may(actor)}


def test_a_person_without_a_token_may_what_their_rows_say(alice_of_acme):
    assert done(Actor.user("alice", user_id=alice_of_acme.pk)) == set(EVERYTHING.split())


@pytest.mark.parametrize("kind", TABLE)
def test_what_a_token_lets_its_person_do(alice_of_acme, kind):
    wanted, allowed = TABLE[kind]
    assert done(holder(alice_of_acme, wanted)) == set(allowed.split())


@pytest.mark.parametrize("kind", ADMIN_TABLE)
def test_what_a_token_lets_an_operator_do(root, kind):
    wanted, allowed = ADMIN_TABLE[kind]
    assert done(holder(root, wanted)) == set(allowed.split())


@pytest.mark.usefixtures("_world")
def test_what_a_token_lets_a_stranger_do():
    stranger = User.objects.create(username="eve")
    everybodys = done(Actor.user("eve", user_id=stranger.pk))
    assert everybodys == {"public", "publish-other-new", "write", "account", "make-token"}
    for wanted, allowed in TABLE.values():
        assert done(holder(stranger, wanted)) == everybodys & set(allowed.split())


def test_what_a_token_does_not_open_in_a_closed_registry(alice_of_acme, settings):
    """There is nothing for everybody there: what is not restricted is for everybody who is signed in."""
    settings.ANONYMOUS_READ = False
    assert not DEEDS["public"](Actor.anonymous())
    assert done(holder(alice_of_acme, GRANULAR)) == {"public", "write"}


names = st.none() | st.lists(st.sampled_from([*PACKAGES, "@acme/new", "new"]), max_size=3)
scopes = st.none() | st.lists(st.sampled_from(["@acme", "@tools", "@none", ""]), max_size=2)
any_terms = st.builds(
    Terms,
    kind=st.sampled_from(KINDS.values),
    packages=names,
    scopes=scopes,
    orgs=scopes,
    permission=st.sampled_from(MAY.values),
    orgs_permission=st.sampled_from(MAY.values),
    is_admin=st.booleans(),
)


@given(wanted=any_terms, is_operator=st.booleans(), role=st.sampled_from([None, *Member.Role.values]))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_token_lets_anybody_do_more_than_they_may(alice_of_acme, wanted, is_operator, role):
    user = alice_of_acme
    User.objects.filter(pk=user.pk).update(is_superuser=is_operator)
    user.is_superuser = True  # so that every token can be made
    Member.objects.filter(user=user).delete()
    if role:
        Member.objects.create(scope=Scope.objects.get(name="@acme"), user=user, role=role)
    person = Actor.user(user.username, user_id=user.pk)
    actor = holder(user, wanted)
    assert done(actor) <= done(person)
    for package in Package.objects.all():
        assert access.standing(actor, package.parsed_name, package.pk) <= limits.on_package(
            Token(**asdict(wanted)), package.parsed_name
        )
    listed = set(Package.objects.filter(access.readable(actor)).values_list("name", flat=True))
    assert listed == {name for name in PACKAGES if reads(name)(actor)}
