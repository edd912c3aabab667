"""`npm org`: scopes that are ours, who is in them, and who says so."""

import io

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from audit.models import Event
from registry import generation
from registry.models import Member, Package, Scope, Team, User
from tests.actors import Person
from tests.registry.organisation import CHANGES, PEOPLE, SEES, gather, operator, remove_member, set_member
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)


def listed(person: Person, org: str = "acme") -> dict[str, str]:
    """`npm org ls`."""
    answer = person.send("GET", f"/-/org/{org}/user")
    assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store")
    return answer.json()


def refused(answer, status: int, *words: str) -> None:
    assert answer.status == status, answer.body
    assert all(word in answer.json()["error"] for word in words), answer.json()


# --- How an organisation comes to be ---------------------------------------------------------------------------------


def test_an_operators_first_word_makes_an_organisation_of_a_private_scope(alice, effects):
    root = operator()
    effects()
    assert listed(root) == {}
    assert not Scope.objects.exists()
    answer = set_member(root, "acme", "alice", "owner")
    assert (answer.status, answer.headers["cache-control"]) == (201, "private, no-store")
    assert answer.json() == {"ok": True, "org": {"name": "acme", "size": 1}, "user": "alice", "role": "owner"}
    assert effects() == ["org.created org:@acme by operator", "org.member.set org:@acme by operator"]
    assert Scope.objects.get().name == "@acme"
    assert list(Team.objects.get(name="developers").members.all()) == [User.objects.get(username="alice")]


def test_an_operator_creates_an_organisation(anyone, effects):
    root = operator()
    effects()
    before = generation.current()
    answer = root.send("PUT", "/-/org", body={"name": "Tools"})
    assert (answer.status, answer.json()) == (201, {"ok": True, "name": "tools"})
    assert generation.current() > before
    assert effects() == ["org.created org:@tools by operator"]
    assert root.send("GET", "/-/org/tools").json() == {"name": "tools", "size": 0}
    assert root.publish("@tools/pad", "1.0.0").status == 201
    effects()
    refused(root.send("PUT", "/-/org", body={"name": "@tools"}), 400, "@tools already")
    assert effects() == []


def test_what_was_mirrored_is_refused_as_soon_as_its_scope_is_ours(anyone, patient, effects):
    root = operator()
    patient.publish("@tools/pad", "1.0.0")
    assert [anyone.view("@tools/pad").status for _ in range(2)] == [200, 200]
    effects()
    assert root.send("PUT", "/-/org", body={"name": "tools"}).status == 201
    refused(anyone.view("@tools/pad"), 451, "before its scope was made private")
    asked = patient.count()
    assert anyone.view("@tools/other").status == 404
    assert patient.count() == asked

    answer = root.send("DELETE", "/-/org/tools")
    assert (answer.status, answer.json()) == (200, {"ok": True})
    assert anyone.view("@tools/pad").status == 200
    looks_different = "package.rules.changed package:@tools/pad by operator"
    assert sorted(effects()) == [
        "org.created org:@tools by operator", "org.deleted org:@tools by operator", looks_different, looks_different,
    ]  # fmt: skip


def test_an_organisation_with_packages_stays(alice, effects):
    root = operator()
    alice.publish("@acme/pad", "1.0.0")
    set_member(root, "acme", "alice", "owner")
    effects()
    refused(root.send("DELETE", "/-/org/acme"), 403, "packages were published in @acme")
    Package.objects.all().delete()
    assert root.send("DELETE", "/-/org/acme").status == 200
    assert (Scope.objects.count(), Member.objects.count(), Team.objects.count()) == (0, 0, 0)
    assert effects() == ["org.deleted org:@acme by operator"]
    refused(root.send("DELETE", "/-/org/acme"), 404, "@acme")


def test_only_operators_create_and_delete_organisations(effects):
    cast = gather()
    effects()
    for who, person in cast.items():
        if who in ("operator", "the operator's admin token"):
            continue
        status = 401 if who == "anonymous" else 403
        assert person.send("PUT", "/-/org", body={"name": "tools"}).status == status, who
        assert person.send("DELETE", "/-/org/acme").status == status, who
    assert effects() == []
    assert cast["the operator's admin token"].send("PUT", "/-/org", body={"name": "tools"}).status == 201


@pytest.mark.parametrize("org", ["tools", "@tools", "Tools"])
def test_of_other_scopes_nobody_makes_an_organisation_by_the_way(alice, org):
    root = operator()
    refused(set_member(root, org, "alice"), 404, "@tools", "operator creates it")
    refused(root.send("GET", f"/-/org/{org}/user"), 404, "@tools")
    refused(alice.send("GET", f"/-/org/{org}/user"), 404, "@tools")
    assert not Scope.objects.exists()


# --- Its members ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("org", ["acme", "@acme", "%40Acme"])
def test_people_come_get_another_role_and_go(effects, org):
    cast = gather()
    owner = cast["owner"]
    effects()
    assert set_member(owner, org, "newcomer").json()["org"] == {"name": "acme", "size": 4}
    assert listed(owner, org) == {"admin": "admin", "member": "developer", "newcomer": "developer", "owner": "owner"}
    assert list(listed(owner, org)) == ["admin", "member", "newcomer", "owner"]
    assert set_member(owner, org, "newcomer", "admin").json()["role"] == "admin"
    assert Event.objects.last().facts == {"user": "newcomer", "role": "admin", "previous": "developer"}
    assert set_member(owner, org, "newcomer", "admin").status == 201
    assert effects() == ["org.member.set org:@acme by owner"] * 2
    answer = remove_member(owner, org, "newcomer")
    assert (answer.status, answer.json()) == (200, {"ok": True})
    assert "newcomer" not in listed(owner, org)
    assert Event.objects.last().facts == {"user": "newcomer", "teams": ["developers"]}
    assert effects() == ["org.member.removed org:@acme by owner"]


def test_without_a_role_somebody_is_a_developer():
    owner = gather()["owner"]
    for body in ({"user": "newcomer"}, {"user": "@newcomer", "role": None}):
        assert owner.send("PUT", "/-/org/acme/user", body=body).json()["role"] == "developer"
    assert listed(owner)["newcomer"] == "developer"


def test_who_sees_the_people():
    cast = gather()
    for who, status in SEES.items():
        for url in ("/-/org/acme/user", "/-/org/acme", "/-/org/acme/member"):
            answer = cast[who].send("GET", url)
            assert answer.status == status, (who, url)
            assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize(
    ("change", "undo", "event"),
    [(set_member, remove_member, "org.member.set"), (remove_member, set_member, "org.member.removed")],
)
def test_who_lets_people_in_and_takes_them_out(effects, change, undo, event):
    cast = gather()
    for who, status in CHANGES.items():
        undo(cast["operator"], "acme", "newcomer")
        effects()
        answer = change(cast[who], "acme", "newcomer")
        if status == 200:
            assert answer.status in (200, 201), (who, answer.body)
            assert effects() == [f"{event} org:@acme by {cast[who].name}"]
        else:
            assert answer.status == status, (who, answer.body)
            assert effects() == []


def test_who_is_not_in_it_learns_nothing_of_it():
    cast = gather()
    for method, path, body in (
        ("GET", "user", None),
        ("PUT", "user", {"user": "nobody"}),
        ("DELETE", "user", {"user": "owner"}),
        ("GET", "team", None),
    ):
        answers = [cast["outsider"].send(method, f"/-/org/{org}/{path}", body=body) for org in ("acme", "nowhere")]
        assert {answer.status for answer in answers} == {404}
        assert answers[0].json()["error"].replace("@acme", "@nowhere") == answers[1].json()["error"]


OWNERS = {  # who may do it: an admin, an owner, an operator
    "make an owner": lambda person: set_member(person, "acme", "member", "owner"),
    "make an admin of an owner": lambda person: set_member(person, "acme", "second", "admin"),
    "take out an owner": lambda person: remove_member(person, "acme", "second"),
}


@pytest.mark.parametrize("change", OWNERS)
def test_owners_are_made_and_unmade_by_owners(effects, change):
    cast = gather()
    Person("second").login()
    set_member(cast["operator"], "acme", "second", "owner")
    effects()
    refused(OWNERS[change](cast["admin"]), 403, "only owners of @acme")
    assert effects() == []
    for who in ("owner", "operator"):
        assert OWNERS[change](cast[who]).status in (200, 201)
        assert len(effects()) == 1
        set_member(cast["operator"], "acme", "second", "owner")
        set_member(cast["operator"], "acme", "member", "developer")
        effects()


def test_the_last_owner_stays(effects):
    cast = gather()
    effects()
    for who in ("owner", "operator"):
        refused(remove_member(cast[who], "acme", "owner"), 403, "last owner", "@acme")
        refused(set_member(cast[who], "acme", "owner", "admin"), 403, "last owner", "@acme")
    assert effects() == []
    assert set_member(cast["owner"], "acme", "member", "owner").status == 201
    User.objects.filter(username="member").update(is_active=False)  # who left the company is no owner to rely on
    refused(remove_member(cast["owner"], "acme", "owner"), 403, "last owner")
    User.objects.filter(username="member").update(is_active=True)
    assert remove_member(cast["owner"], "acme", "owner").status == 200
    assert cast["owner"].send("GET", "/-/org/acme/user").status == 404


def test_of_two_owners_who_leave_at_once_one_stays():
    cast = gather()
    set_member(cast["owner"], "acme", "admin", "owner")
    with PassingThreads(2) as threads:
        leaving = [threads.submit(remove_member, cast[who], "acme", who) for who in ("owner", "admin")]
        statuses = sorted(one.result().status for one in leaving)
    assert statuses == [200, 403]
    assert Member.objects.filter(role="owner").count() == 1


def test_who_left_the_registry_can_be_taken_out(effects):
    cast = gather()
    User.objects.filter(username="member").update(is_active=False)
    effects()
    refused(set_member(cast["owner"], "acme", "member", "admin"), 404, "no user member")
    assert remove_member(cast["owner"], "acme", "member").status == 200
    assert effects() == ["org.member.removed org:@acme by owner"]


@pytest.mark.usefixtures("_either_way")
def test_who_is_taken_out_is_in_no_team_any_more_and_reads_nothing_restricted(effects):
    cast = gather()
    assert cast["owner"].publish("@acme/secret", "1.0.0").status == 201
    Package.objects.update(is_restricted=True)
    assert [cast["member"].view("@acme/secret").status for _ in range(2)] == [200, 200]
    assert cast["member"].download("@acme/secret", "1.0.0").status == 200
    assert remove_member(cast["owner"], "acme", "member").status == 200
    assert cast["member"].view("@acme/secret").status == 404
    assert cast["member"].download("@acme/secret", "1.0.0").status == 404
    assert not Team.objects.filter(members__username="member").exists()


def test_once_it_has_members_only_they_publish_new_packages_in_it(alice, bob):
    root = operator()
    assert alice.publish("@acme/one", "1.0.0").status == 201
    set_member(root, "acme", "bob")
    refused(alice.publish("@acme/two", "1.0.0"), 403, "not a member of @acme")
    assert bob.publish("@acme/two", "1.0.0").status == 201
    assert alice.publish("@acme/one", "1.0.1").status == 201  # it is hers


def test_cnpmcores_names_for_it(effects):
    cast = gather()
    effects()
    owner = cast["owner"]
    assert owner.send("PUT", "/-/org/acme/member", body={"user": "newcomer", "role": "admin"}).status == 201
    assert owner.send("GET", "/-/org/acme/member").json()["newcomer"] == "admin"
    assert owner.send("GET", "/-/org/acme/member/newcomer/team?format=cli").json() == ["acme:developers"]
    assert owner.send("GET", "/-/org/acme/member/nobody/team").json() == []
    assert owner.send("DELETE", "/-/org/acme/member/newcomer").status == 200
    assert effects() == ["org.member.set org:@acme by owner", "org.member.removed org:@acme by owner"]


# --- What cannot be ---------------------------------------------------------------------------------------------------

NO_TEXTS = [None, 1, True, ["x"], {"x": 1}, 1e400]
NO_NAMES = ["", "\0", "\ud800", "x" * 10_000, "Ä", "..", "a/b", "no such person", "%00"]


def test_nobody_of_this_name(effects):
    owner = gather()["owner"]
    effects()
    for user in [*NO_TEXTS, *NO_NAMES]:
        for change in (set_member, remove_member):
            answer = change(owner, "acme", user)
            assert answer.status == (404 if isinstance(user, str) else 400), user
            assert len(answer.json()["error"]) < 300
    assert effects() == []


def test_no_such_role(effects):
    owner = gather()["owner"]
    effects()
    for role in [1, ["owner"], {}, "", "Owner", "king", "\0", "\ud800", "x" * 10_000]:
        answer = set_member(owner, "acme", "newcomer", role)
        assert answer.status == 400, role
        assert len(answer.json()["error"]) < 300
    assert effects() == []


def test_no_organisation_of_this_name(effects):
    root = operator()
    effects()
    for name in [*NO_TEXTS, *NO_NAMES, "@", "@@x", "_x", "-x", ".x", "@a/b", "x" * 212]:
        assert root.send("PUT", "/-/org", body={"name": name}).status == 400, name
    assert effects() == []
    assert root.send("PUT", "/-/org", body={"name": "x" * 211}).status == 201


def test_no_body_of_ours():
    owner = gather()["owner"]
    for body in [b"", b"[]", b"null", b'"x"', b"{", b'{"user": NaN}', b"\xff", b"[" * 100_000]:
        for method in ("PUT", "DELETE"):
            assert owner.send(method, "/-/org/acme/user", body=body).status == 400, body[:10]


def test_no_path_of_ours():
    root = operator()
    paths = [("GET", "user"), ("PUT", "user"), ("DELETE", "user"), ("GET", "team"), ("GET", "member/x/team")]
    for org in ["%00", "%ff", "%0a", "a b", "_x", "-", "%2e%2e", "x" * 5000, "%f0%9f%92%a9", "@", "%25"]:
        for method, path in paths:
            answer = root.send(method, f"/-/org/{org}/{path}", body={"user": "operator"})
            assert answer.status in (400, 404), (org, method, path)
            assert answer.json()["error"]


# --- On the shell and in the admin ------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("create_scope", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue().strip()


def test_a_scope_is_created_on_the_shell(alice, effects):
    assert run("@tools") == ("", "@tools was created")
    assert run("beta", "--owner", "alice") == ("", "@beta was created and belongs to alice")
    assert effects() == [
        "org.created org:@tools by manage.py create_scope",
        "org.created org:@beta by manage.py create_scope",
        "org.member.set org:@beta by manage.py create_scope",
    ]
    assert listed(alice, "beta") == {"alice": "owner"}
    assert alice.publish("@beta/pad", "1.0.0").status == 201


def test_what_the_shell_cannot_create_is_said_in_a_sentence(alice, effects):
    run("@tools")
    effects()
    for arguments, words in (
        (["tools"], "@tools already"),
        (["@a/b"], "cannot be an organisation"),
        (["@new", "--owner", "nobody"], "no user nobody"),
    ):
        with pytest.raises(CommandError, match=words):
            run(*arguments)
    assert effects() == []
    assert Scope.objects.count() == 1


def said(answer) -> list[str]:
    """What stands above the page."""
    return [str(message) for message in answer.context["messages"]]


def form(**rows: str) -> dict[str, str]:
    """What the browser sends with a scope: `member_set-0-role="owner"` with dashes for two underscores."""
    sent = {key.replace("__", "-"): value for key, value in rows.items()}
    count = len({key.split("-")[1] for key in sent if "-" in key})
    initial = sum(1 for key, value in sent.items() if key.endswith("-id") and value)
    return {"member_set-TOTAL_FORMS": str(count), "member_set-INITIAL_FORMS": str(initial), **sent}


def test_operators_make_scopes_in_the_admin(admin_client, alice, effects):
    effects()
    person = str(User.objects.get(username="alice").pk)
    sent = form(name="Tools", member_set__0__user=person, member_set__0__role="owner", member_set__0__id="")
    answer = admin_client.post(reverse("admin:registry_scope_add"), sent)
    assert answer.status_code == 302
    assert effects() == ["org.created org:@tools by admin", "org.member.set org:@tools by admin"]
    assert listed(alice, "tools") == {"alice": "owner"}
    assert b"@tools" in admin_client.get(reverse("admin:registry_scope_changelist")).content


def test_members_are_changed_in_the_admin_and_refusals_are_read_there(admin_client, alice, bob, effects):
    root = operator()
    set_member(root, "acme", "alice", "owner")
    set_member(root, "acme", "bob")
    scope = Scope.objects.get()
    page = reverse("admin:registry_scope_change", args=[scope.pk])
    assert admin_client.get(page).status_code == 200
    effects()
    rows = {member.user.username: member for member in Member.objects.order_by("pk")}

    def save(**change: str):
        sent = {}
        for index, member in enumerate(rows.values()):
            sent |= {f"member_set__{index}__id": str(member.pk), f"member_set__{index}__role": member.role}
        return admin_client.post(page, form(**{**sent, **change}), follow=True)

    answer = save(member_set__0__role="admin", member_set__1__role="admin")
    assert said(answer) == ["alice is the last owner of @acme: make somebody else its owner first"]
    assert effects() == []
    assert listed(alice) == {"alice": "owner", "bob": "developer"}

    assert save(member_set__0__role="admin", member_set__1__role="owner").status_code == 200
    assert effects() == []  # alice was first, and the last owner still

    assert save(member_set__1__role="owner", member_set__0__DELETE="on").status_code == 200
    assert effects() == ["org.member.set org:@acme by admin", "org.member.removed org:@acme by admin"]
    assert listed(bob) == {"bob": "owner"}


def test_a_mistyped_scope_is_given_up_in_the_admin(admin_client, alice, effects):
    root = operator()
    root.send("PUT", "/-/org", body={"name": "amce"})
    alice.publish("@acme/pad", "1.0.0")
    set_member(root, "acme", "alice")
    effects()
    for name, is_gone in (("@amce", True), ("@acme", False)):
        page = reverse("admin:registry_scope_delete", args=[Scope.objects.get(name=name).pk])
        answer = admin_client.post(page, {"post": "yes"}, follow=True)
        assert said(answer)[0].startswith("packages were published in @acme") is not is_gone
        assert Scope.objects.filter(name=name).exists() is not is_gone
    assert effects() == ["org.deleted org:@amce by admin"]


def test_everybody_of_the_story_is_somebody():
    assert {person.name for person in gather().values()} == {"", *PEOPLE}


def test_a_scope_that_its_last_developer_leaves_is_not_everybodys(alice, bob):
    scope = Scope.objects.create(name="@acme")
    member = Member.objects.create(scope=scope, user=User.objects.get(username="bob"))
    assert bob.publish("@acme/first", "1.0.0").status == 201
    member.delete()
    assert alice.publish("@acme/second", "1.0.0").status == 403
