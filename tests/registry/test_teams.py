"""`npm team`, `npm access grant` and `revoke`: teams of an organisation, who is in them, what they may."""

import pytest
from django.urls import reverse

from audit.models import Event
from registry.models import Grant, Package, Team, User
from tests.actors import Person
from tests.registry.organisation import (
    CHANGES,
    SEES,
    create_team,
    gather,
    grant,
    operator,
    remove_member,
    revoke,
    set_member,
    team_url,
)

pytestmark = pytest.mark.django_db(transaction=True)


def add(person: Person, team: str, user: object):
    """`npm team add org:team user`."""
    return person.send("PUT", team_url(team, "user"), body={"user": user})


def remove(person: Person, team: str, user: object):
    """`npm team rm org:team user`."""
    return person.send("DELETE", team_url(team, "user"), body={"user": user})


def destroy(person: Person, team: str):
    """`npm team destroy org:team`, in which npm sends no body."""
    return person.send("DELETE", team_url(team))


def listed(person: Person, url: str):
    """What `npm team ls` and `npm access list packages` read."""
    answer = person.send("GET", f"{url}?format=cli")
    assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store"), answer.body
    return answer.json()


def refused(answer, status: int, *words: str) -> None:
    assert answer.status == status, answer.body
    assert all(word in answer.json()["error"] for word in words), answer.json()


@pytest.fixture
def cast() -> dict[str, Person]:
    """Acme with a package, a team of testers, and a newcomer who is in the organisation and in no team of it."""
    cast = gather()
    assert cast["owner"].publish("@acme/pad", "1.0.0").status == 201
    assert set_member(cast["owner"], "acme", "newcomer").status == 201
    assert remove(cast["owner"], "acme:developers", "newcomer").status == 200
    assert create_team(cast["owner"], "acme:testers").status == 201
    return cast


# --- Teams and their people -------------------------------------------------------------------------------------------


def test_a_team_comes_and_goes(effects):
    owner = gather()["owner"]
    effects()
    answer = create_team(owner, "acme:testers", description="They break things.")
    assert (answer.status, answer.json()) == (201, {"ok": True, "name": "testers"})
    assert listed(owner, "/-/org/acme/team") == ["acme:developers", "acme:testers"]
    assert listed(owner, team_url("acme:testers")) == {"name": "testers", "description": "They break things."}
    assert listed(owner, team_url("@acme:testers", "user")) == []
    refused(create_team(owner, "acme:testers"), 400, "acme:testers already")  # a 409 makes pnpm wait and try again
    answer = destroy(owner, "acme:testers")
    assert (answer.status, answer.json()) == (200, {"ok": True})
    refused(destroy(owner, "acme:testers"), 404, "acme:testers")
    assert effects() == ["team.created org:@acme by owner", "team.deleted org:@acme by owner"]


def test_pnpm_reads_lists_of_objects(cast):
    def read(url: str):
        return cast["owner"].send("GET", url).json()

    create_team(cast["owner"], "acme:auditors", description="They look.")
    add(cast["owner"], "acme:auditors", "member")
    assert read("/-/org/acme/team") == [
        {"name": "auditors", "description": "They look."},
        {"name": "developers", "description": ""},
        {"name": "testers", "description": ""},
    ]
    assert read(team_url("acme:auditors", "user")) == [{"name": "member"}]
    assert [team["name"] for team in read("/-/org/acme/member/member/team")] == ["auditors", "developers"]


def test_the_team_of_everybody_stays(cast, effects):
    effects()
    for who in ("owner", "operator"):
        refused(destroy(cast[who], "acme:developers"), 403, "everybody")
    assert effects() == []
    assert listed(cast["owner"], team_url("acme:developers", "user")) == ["admin", "member", "owner"]


def test_teams_have_names_of_their_own_in_each_organisation(effects):
    root = operator()
    for org in ("acme", "tools"):
        root.send("PUT", "/-/org", body={"name": org})
        assert create_team(root, f"{org}:testers").status == 201
    assert destroy(root, "acme:testers").status == 200
    assert listed(root, "/-/org/tools/team") == ["tools:developers", "tools:testers"]
    assert listed(root, "/-/org/acme/team") == ["acme:developers"]


def test_people_come_into_a_team_and_go(cast, effects):
    owner = cast["owner"]
    effects()
    answer = add(owner, "acme:testers", "newcomer")
    assert (answer.status, answer.json()) == (201, {"ok": True})
    assert add(owner, "acme:testers", "@member").status == 201
    assert add(owner, "acme:testers", "member").status == 201
    assert listed(owner, team_url("acme:testers", "user")) == ["member", "newcomer"]
    assert effects() == ["team.member.added org:@acme by owner"] * 2
    assert Event.objects.last().facts == {"team": "testers", "user": "member"}
    assert listed(owner, "/-/org/acme/member/member/team") == ["acme:developers", "acme:testers"]
    assert remove(owner, "acme:testers", "member").status == 200
    refused(remove(owner, "acme:testers", "member"), 404, "member is not in acme:testers")
    assert listed(owner, team_url("acme:testers", "user")) == ["newcomer"]
    assert effects() == ["team.member.removed org:@acme by owner"]
    assert remove_member(owner, "acme", "newcomer").status == 200
    assert listed(owner, team_url("acme:testers", "user")) == []
    assert Event.objects.last().facts == {"user": "newcomer", "teams": ["testers"]}


def test_only_people_of_the_organisation_come_into_its_teams(cast, effects):
    effects()
    refused(
        add(cast["owner"], "acme:testers", "outsider"), 400, "outsider is not in @acme", "npm org set acme outsider"
    )
    refused(add(cast["owner"], "acme:testers", "nobody"), 404, "no user nobody")
    refused(add(cast["owner"], "acme:nowhere", "member"), 404, "no team acme:nowhere")
    assert effects() == []


# --- Who may ----------------------------------------------------------------------------------------------------------

TEAM = "acme:testers"


@pytest.mark.parametrize("url", ["/-/org/acme/team", team_url(TEAM), team_url(TEAM, "user"), team_url(TEAM, "package")])
def test_who_sees_teams(cast, url):
    for who, status in SEES.items():
        answer = cast[who].send("GET", url)
        assert answer.status == status, who
        assert "no-store" in answer.headers["cache-control"]


# What somebody does, what an operator does before it each time, and the event that tells of it.
DEEDS = {
    "create": (lambda one: create_team(one, "acme:new"), lambda root: destroy(root, "acme:new"), "team.created"),
    "destroy": (lambda one: destroy(one, "acme:new"), lambda root: create_team(root, "acme:new"), "team.deleted"),
    "add": (lambda one: add(one, TEAM, "newcomer"), lambda root: remove(root, TEAM, "newcomer"), "team.member.added"),
    "rm": (lambda one: remove(one, TEAM, "newcomer"), lambda root: add(root, TEAM, "newcomer"), "team.member.removed"),
    "grant": (
        lambda one: grant(one, "read-only", TEAM, "@acme/pad"),
        lambda root: revoke(root, TEAM, "@acme/pad"),
        "team.package.granted",
    ),
}


@pytest.mark.parametrize("deed", DEEDS)
def test_who_changes_teams(cast, effects, deed):
    do, prepare, event = DEEDS[deed]
    subject = "package:@acme/pad" if deed == "grant" else "org:@acme"
    for who, status in CHANGES.items():
        prepare(cast["operator"])
        effects()
        answer = do(cast[who])
        if status == 200:
            assert answer.status in (200, 201), (who, answer.body)
            assert effects() == [f"{event} {subject} by {cast[who].name}"]
        else:
            assert answer.status == status, (who, answer.body)
            assert effects() == []


# Taking rights away needs a say in the package only: also a token that has none in the organisation may have that.
REVOKES = CHANGES | {
    "outsider": 403,
    "the owner's token to see it": 200,
    "the owner's token for another": 200,
    "the operator's plain token": 403,
}


def test_who_takes_rights_away(cast, effects):
    for who, status in REVOKES.items():
        grant(cast["operator"], "read-write", TEAM, "@acme/pad")
        effects()
        assert revoke(cast[who], TEAM, "@acme/pad").status == status, who
        assert effects() == ([f"team.package.revoked package:@acme/pad by {cast[who].name}"] if status == 200 else [])


# --- What they may ----------------------------------------------------------------------------------------------------


def test_a_grant_is_made_changed_and_taken_back(cast, effects):
    owner = cast["owner"]
    revision = Package.objects.get().revision
    effects()
    answer = grant(owner, "read-only", TEAM, "@acme/pad")
    assert (answer.status, answer.json()) == (201, {"ok": True})
    assert listed(owner, team_url(TEAM, "package")) == {"@acme/pad": "read-only"}
    assert grant(owner, "read-write", TEAM, "@acme%2fpad").status == 201
    assert grant(owner, "read-write", TEAM, "@acme/pad").status == 201
    assert listed(owner, team_url(TEAM, "package")) == {"@acme/pad": "read-write"}
    assert effects() == ["team.package.granted package:@acme/pad by owner"] * 2
    assert Event.objects.last().facts == {"team": "@acme:testers", "permission": "read-write", "previous": "read-only"}
    answer = revoke(owner, TEAM, "@acme/pad")
    assert (answer.status, answer.json()) == (200, {"ok": True})
    refused(revoke(owner, TEAM, "@acme/pad"), 404, "acme:testers has no rights", "@acme/pad")
    assert listed(owner, team_url(TEAM, "package")) == {}
    assert effects() == ["team.package.revoked package:@acme/pad by owner"]
    assert Event.objects.last().facts == {"team": "@acme:testers"}
    assert Package.objects.get().revision == revision  # readers see the same document, or none


@pytest.mark.usefixtures("_either_way")
def test_rights_hold_from_the_next_request_on(cast):
    owner, newcomer = cast["owner"], cast["newcomer"]
    Package.objects.update(is_restricted=True)
    owner.view("@acme/pad")

    def can() -> tuple[int, int, int]:
        """Read the document and the tarball, twice each, and publish."""
        reads = {newcomer.view("@acme/pad").status for _ in range(2)}
        downloads = {newcomer.download("@acme/pad", "1.0.0").status for _ in range(2)}
        number = f"1.0.{Package.objects.get().version_set.count()}"
        return reads.pop(), downloads.pop(), newcomer.publish("@acme/pad", number).status

    assert can() == (404, 404, 404)
    add(owner, TEAM, "newcomer")
    assert can() == (404, 404, 404)
    grant(owner, "read-only", TEAM, "@acme/pad")
    assert can() == (200, 200, 403)
    grant(owner, "read-write", TEAM, "@acme/pad")
    assert can() == (200, 200, 201)
    remove(owner, TEAM, "newcomer")
    assert can() == (404, 404, 404)
    add(owner, TEAM, "newcomer")
    assert can() == (200, 200, 201)
    revoke(owner, TEAM, "@acme/pad")
    assert can() == (404, 404, 404)
    grant(owner, "read-only", TEAM, "@acme/pad")
    assert can() == (200, 200, 403)
    destroy(owner, TEAM)
    assert can() == (404, 404, 404)


def test_names_are_not_given_away_to_who_may_not_read_them(cast):
    for name in ("@acme/open", "@acme/secret"):
        assert cast["owner"].publish(name, "1.0.0").status == 201
        assert grant(cast["owner"], "read-write", TEAM, name).status == 201
    Package.objects.filter(name="@acme/secret").update(is_restricted=True)
    url = team_url(TEAM, "package")
    both = {"@acme/open": "read-write", "@acme/secret": "read-write"}
    assert listed(cast["newcomer"], url) == {"@acme/open": "read-write"}
    assert listed(cast["admin"], url) == both
    add(cast["owner"], TEAM, "newcomer")
    assert listed(cast["newcomer"], url) == both
    refused(grant(cast["admin"], "read-only", TEAM, "@acme/nothing"), 404, "@acme/nothing")


def test_granting_needs_a_say_in_the_package_too(cast, upstream, effects):
    upstream.publish("left-pad", "1.0.0")
    assert cast["outsider"].publish("others-pad", "1.0.0").status == 201
    assert cast["outsider"].publish("others-secret", "1.0.0").status == 201
    Package.objects.filter(name="others-secret").update(is_restricted=True)
    assert cast["outsider"].view("left-pad").status == 200
    effects()
    owner = cast["owner"]
    refused(grant(owner, "read-only", TEAM, "others-pad"), 403, "others-pad")
    refused(grant(owner, "read-only", TEAM, "others-secret"), 404, "others-secret is not in this registry")
    refused(grant(owner, "read-only", TEAM, "left-pad"), 403, "left-pad comes from the upstream")
    refused(grant(cast["operator"], "read-only", TEAM, "left-pad"), 403, "left-pad comes from the upstream")
    refused(grant(owner, "read-only", TEAM, "nothing"), 404, "nothing is not in this registry")
    refused(grant(cast["outsider"], "read-only", TEAM, "others-pad"), 404, "no organisation @acme")
    assert effects() == []
    assert not Grant.objects.filter(team__name="testers").exists()


def test_who_owns_a_package_takes_it_back_from_an_organisation_that_they_left(cast, effects):
    assert set_member(cast["owner"], "acme", "outsider", "admin").status == 201
    assert cast["outsider"].publish("others-pad", "1.0.0").status == 201
    assert grant(cast["outsider"], "read-write", TEAM, "others-pad").status == 201
    assert add(cast["owner"], TEAM, "newcomer").status == 201
    assert cast["newcomer"].publish("others-pad", "1.0.1").status == 201
    assert remove_member(cast["owner"], "acme", "outsider").status == 200
    refused(revoke(cast["owner"], TEAM, "others-pad"), 403, "others-pad")
    assert revoke(cast["outsider"], TEAM, "others-pad").status == 200
    assert cast["newcomer"].publish("others-pad", "1.0.2").status == 403


# --- What cannot be ---------------------------------------------------------------------------------------------------

NO_TEXTS = [None, 1, True, ["x"], {"x": 1}]


def test_no_team_of_this_name_or_description(effects):
    owner = gather()["owner"]
    effects()
    for name in [*NO_TEXTS, "", "\0", "\ud800", "a/b", "a:b", "Testers", "-x", ".", "x" * 101, "é"]:
        answer = owner.send("PUT", "/-/org/acme/team", body={"name": name})
        assert answer.status == 400, name
        assert len(answer.json()["error"]) < 300
    for description in [1, ["x"], "\0", "\ud800", "x" * 1001, "two\nlines"]:
        assert create_team(owner, "acme:testers", description=description).status == 400, description
    assert effects() == []
    assert Team.objects.count() == 1


def test_no_such_package_or_permission(cast, effects):
    owner = cast["owner"]
    effects()
    for permissions in [*NO_TEXTS, "", "admin", "Read-Only", "\0", "\ud800", "x" * 10_000]:
        assert grant(owner, permissions, TEAM, "@acme/pad").status == 400, permissions
    for package in [*NO_TEXTS, "", "\0", "\ud800", "@acme", "@acme/", "../x", "x" * 10_000]:
        assert grant(owner, "read-only", TEAM, package).status == 400, package
        assert revoke(owner, TEAM, package).status == 400, package
    assert effects() == []


def test_no_path_of_a_team(cast):
    body = {"user": "member", "package": "@acme/pad", "permissions": "read-only"}
    for team in ["%00", "%ff", "%0a", "%20", "x" * 5000, "%f0%9f%92%a9", "%2e%2e", "a%2fb"]:
        for part in ("", "/user", "/package"):
            for method in ("GET", "PUT", "DELETE") if part else ("GET", "DELETE"):
                answer = cast["owner"].send(method, f"/-/team/acme/{team}{part}", body=body)
                assert answer.status == 404, (team, method, part)


# --- In the admin -----------------------------------------------------------------------------------------------------


@pytest.fixture
def browser(client, cast):
    """The operator, signed in to the admin."""
    User.objects.filter(username="operator").update(is_staff=True)
    client.force_login(User.objects.get(username="operator"))
    return client


def said(answer) -> list[str]:
    """What stands above the page."""
    return [str(message) for message in answer.context["messages"]]


def test_operators_make_a_team_in_the_admin(browser, cast, effects):
    member, package = User.objects.get(username="member"), Package.objects.get()
    scope = Team.objects.get(name="testers").scope
    effects()
    sent = {
        "scope": str(scope.pk),
        "name": "auditors",
        "description": "They look.",
        "Team_members-TOTAL_FORMS": "1",
        "Team_members-INITIAL_FORMS": "0",
        "Team_members-0-user": str(member.pk),
        "grant_set-TOTAL_FORMS": "1",
        "grant_set-INITIAL_FORMS": "0",
        "grant_set-0-package": str(package.pk),
        "grant_set-0-permission": "read-only",
    }
    assert browser.post(reverse("admin:registry_team_add"), sent).status_code == 302
    assert effects() == [
        "team.created org:@acme by operator",
        "team.member.added org:@acme by operator",
        "team.package.granted package:@acme/pad by operator",
    ]
    assert listed(cast["owner"], team_url("acme:auditors", "user")) == ["member"]
    assert listed(cast["owner"], team_url("acme:auditors", "package")) == {"@acme/pad": "read-only"}

    team = Team.objects.get(name="auditors")
    page = reverse("admin:registry_team_change", args=[team.pk])
    assert browser.get(page).status_code == 200
    sent |= {
        "Team_members-INITIAL_FORMS": "1",
        "Team_members-0-id": str(Team.members.through.objects.get(team=team).pk),
        "Team_members-0-DELETE": "on",
        "grant_set-INITIAL_FORMS": "1",
        "grant_set-0-id": str(Grant.objects.get(team=team).pk),
        "grant_set-0-permission": "read-write",
    }
    assert browser.post(page, sent).status_code == 302
    assert effects() == [
        "team.member.removed org:@acme by operator",
        "team.package.granted package:@acme/pad by operator",
    ]
    delete = reverse("admin:registry_team_delete", args=[team.pk])
    assert browser.post(delete, {"post": "yes"}).status_code == 302
    assert effects() == ["team.deleted org:@acme by operator"]


def test_what_verbs_refuse_is_read_in_the_admin(browser, cast, effects):
    outsider, team = User.objects.get(username="outsider"), Team.objects.get(name="testers")
    effects()
    sent = {
        "Team_members-TOTAL_FORMS": "1",
        "Team_members-INITIAL_FORMS": "0",
        "Team_members-0-user": str(outsider.pk),
        "grant_set-TOTAL_FORMS": "0",
        "grant_set-INITIAL_FORMS": "0",
    }
    page = reverse("admin:registry_team_change", args=[team.pk])
    assert said(browser.post(page, sent, follow=True))[0].startswith("outsider is not in @acme")
    developers = reverse("admin:registry_team_delete", args=[Team.objects.get(name="developers").pk])
    assert said(browser.post(developers, {"post": "yes"}, follow=True))[0].endswith("it cannot be removed")
    assert effects() == []
