"""An old registry is left: copied, followed, compared, cut over, and taken back."""

import json
from threading import Thread

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from audit.actors import Actor
from audit.models import Event
from registry.errors import Conflict
from registry.models import Maintainer, Member, Package, Scope, User
from sync import cutting_over, migrating, queue, routing, rules, running, upstreams
from sync.models import Freshness, Migration, ScopeRule, SyncTask, Upstream
from tests.actors import Person
from tests.fake_upstream import FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)

WHY = "everything is here by now"


@pytest.fixture
def old(upstream):
    """The registry that is left, beside the public one."""
    with FakeUpstream() as fake:
        Upstream.objects.create(name="old", url=fake.url, kind=Upstream.Kind.VERDACCIO)
        routing.forget()
        yield fake


def lists(old: FakeUpstream, *names: str) -> None:
    old.put_raw("-/verdaccio/data/packages", json.dumps([{"name": name} for name in names]).encode())


def work() -> None:
    while task := SyncTask.objects.due().order_by("pk").first():
        running.run(task.pk)


def start(pattern: str = "@corp", *options: str) -> None:
    call_command("migration", "start", pattern, "--from", "old", *options)
    work()


def command(*words: str, capsys) -> str:
    call_command("migration", *words)
    return capsys.readouterr().out


@pytest.fixture
def corp(old) -> FakeUpstream:
    """Two packages of an organisation, copied."""
    old.publish("@corp/box", "1.0.0")
    old.publish("@corp/box", "1.1.0")
    old.set_tag("@corp/box", "beta", "1.0.0")
    old.describe("@corp/box", maintainers=[{"name": "alice"}, {"name": "zoe"}], _rev="7-old")
    old.publish("@corp/lid", "0.1.0")
    old.publish("stranger", "1.0.0")
    lists(old, "@corp/box", "@corp/lid", "stranger", "../x", "@corpse/y")
    start()
    return old


def test_what_the_old_registry_lists_is_copied_whole(corp, anyone, effects):
    document = anyone.view("@corp/box").json()
    theirs = corp._packages["@corp/box"]
    assert list(document["versions"]) == ["1.0.0", "1.1.0"]
    assert document["dist-tags"] == {"latest": "1.1.0", "beta": "1.0.0"}
    assert document["versions"]["1.0.0"]["dist"]["integrity"] == theirs.versions["1.0.0"]["dist"]["integrity"]
    assert {"1.0.0", "1.1.0", "created"} <= document["time"].keys()
    assert anyone.download("@corp/box", "1.0.0").raw == corp.tarball("@corp/box", "1.0.0")
    assert sorted(Package.objects.values_list("name", flat=True)) == ["@corp/box", "@corp/lid"]
    assert Migration.objects.get().found == "Verdaccio's pages: 2"


def test_no_other_registry_is_ever_asked_for_these_names(corp, upstream, anyone):
    upstream.publish("@corp/evil", "9.9.9")
    assert anyone.view("@corp/evil").status == 404
    assert upstream.count("/@corp*") == 0


def test_what_is_published_there_meanwhile_comes_at_the_next_look(corp, anyone):
    corp.publish("@corp/box", "2.0.0")
    corp.publish("@corp/new", "1.0.0")
    lists(corp, "@corp/box", "@corp/lid", "@corp/new")
    Migration.objects.update(looked_at="2020-01-01T00:00:00Z")
    [due] = migrating.due()
    assert migrating.due() == [], "it is looked at by one"
    assert migrating.look(due) == 3
    work()
    assert list(anyone.view("@corp/box").json()["versions"]) == ["1.0.0", "1.1.0", "2.0.0"]
    assert Package.objects.filter(name="@corp/new").exists()


def test_an_old_registry_that_is_ill_is_looked_at_later(corp):
    corp.fault("/*", "status", code=500)
    migration = Migration.objects.get()
    assert migrating.look(migration) == 0
    migration.refresh_from_db()
    assert "500" in migration.error
    assert migration.cut_over_at is None


def test_the_difference_is_told_with_integrity(corp, capsys):
    assert command("status", "@corp", capsys=capsys).endswith(
        "all 2 packages are here, with the integrity that they have there\n"
    )
    corp.publish("@corp/box", "2.0.0")
    corp.publish("@corp/lid", "0.1.0", files={"index.js": "module.exports = 'changed'"})
    with pytest.raises(CommandError, match="2 of 2 packages are not all here"):
        call_command("migration", "status", "@corp")
    told = capsys.readouterr().out
    assert "differs @corp/box: 3 there, 2 here: 1 missing here (2.0.0)" in told
    assert "differs @corp/lid: 1 there, 1 here: 1 differing (0.1.0)" in told
    with pytest.raises(CommandError):
        call_command("migration", "status", "@corp", "--json")
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["@corp/box"]["missing"] == ["2.0.0"]
    assert rows["@corp/lid"]["complete"] is False


def test_a_cut_over_waits_until_everything_is_here(corp):
    corp.publish("@corp/box", "2.0.0")
    with pytest.raises(CommandError, match="not everything is here: @corp/box: 3 there, 2 here"):
        call_command("migration", "cutover", "@corp", "--reason", WHY)
    assert Migration.objects.get().cut_over_at is None
    assert not Package.objects.filter(origin=None).exists()
    call_command("migration", "cutover", "@corp", "--reason", WHY, "--force")
    assert Event.objects.get(kind="migration.cut-over").facts["differing"]


def test_after_the_cut_over_it_is_ours_and_the_old_registry_is_not_asked_again(
    alice, corp, upstream, anyone, later, capsys
):
    told = command("cutover", "@corp", "--reason", WHY, capsys=capsys)
    assert "2 packages are ours now, with 1 owners in all" in told
    assert "nobody here is called zoe" in told
    asked = corp.count()
    later()
    document = anyone.view("@corp/box").json()
    assert list(document["versions"]) == ["1.0.0", "1.1.0"]
    assert document["_rev"] != "7-old"
    assert anyone.download("@corp/box", "1.1.0").raw == corp.tarball("@corp/box", "1.1.0")
    assert anyone.view("@corp/unknown").status == 404
    assert alice.publish("@corp/box", "3.0.0").status == 201
    assert alice.deprecate("@corp/box", "old", "1.0.0").status in (200, 201)
    assert anyone.view("@corp/box").json()["dist-tags"]["latest"] == "3.0.0"
    assert (corp.count(), upstream.count()) == (asked, 0)
    assert Package.objects.filter(origin=None).count() == 2
    assert ScopeRule.objects.get().mode == "private"
    assert not Freshness.objects.filter(upstream__name="old").exists()
    assert list(Maintainer.objects.values_list("package__name", "user__username")) == [("@corp/box", "alice")]
    event = Event.objects.get(kind="migration.cut-over")
    assert event.facts["reason"] == WHY
    assert event.facts["names"] == ["@corp/box", "@corp/lid"]


def test_tasks_that_are_left_are_cancelled_by_the_cut_over(corp):
    migrating.look(Migration.objects.get())
    call_command("migration", "cutover", "@corp", "--reason", WHY)
    assert set(SyncTask.objects.order_by("-pk").values_list("state", flat=True)[:2]) == {"cancelled"}
    assert not SyncTask.objects.live().exists()
    assert migrating.due() == []


def test_it_is_taken_back_until_something_was_published_here(alice, corp, anyone, later, capsys):
    call_command("migration", "cutover", "@corp", "--reason", WHY)
    assert "2 packages come from old again" in command("back", "@corp", "--reason", WHY, capsys=capsys)
    assert not Scope.objects.exists()
    corp.publish("@corp/box", "2.0.0")
    later()
    assert list(anyone.view("@corp/box").json()["versions"]) == ["1.0.0", "1.1.0", "2.0.0"]
    start()
    call_command("migration", "cutover", "@corp", "--reason", WHY)
    assert alice.publish("@corp/box", "3.0.0").status == 201
    with pytest.raises(CommandError, match=r"@corp/box@3\.0\.0 was published here"):
        call_command("migration", "back", "@corp", "--reason", WHY)
    assert Package.objects.filter(origin=None).count() == 2


def test_until_the_cut_over_people_publish_there(corp, alice):
    assert alice.publish("@corp/box", "9.0.0").status == 403
    assert alice.publish("@corp/brand-new", "1.0.0").status == 403
    assert not Package.objects.filter(origin=None).exists()


def test_what_is_restricted_is_only_for_those_who_have_a_right_to_it(alice, old, anyone):
    old.publish("@corp/secret", "1.0.0")
    old.describe("@corp/secret", maintainers=[{"name": "alice"}])
    lists(old, "@corp/secret")
    start("@corp", "--restricted")
    assert anyone.view("@corp/secret").status == 404
    assert anyone.download("@corp/secret", "1.0.0").status == 404
    call_command("migration", "cutover", "@corp", "--reason", WHY)
    assert anyone.view("@corp/secret").status == 404
    assert alice.view("@corp/secret").status == 200


def test_names_that_are_not_listed_are_listed_by_hand(old, tmp_path, anyone):
    old.publish("left-thing", "1.0.0")
    names = tmp_path / "names"
    names.write_text("# ours\nleft-thing\n")
    with pytest.raises(CommandError, match="lists no names"):
        call_command("migration", "start", "left-thing", "--from", "old")
    start("left-thing", "--file", str(names))
    assert anyone.view("left-thing").status == 200
    assert Migration.objects.get().found.endswith("listed by hand: 1")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["start", "*", "--from", "old"], "name what is yours"),
        (["start", "@corp*", "--from", "old"], "is no pattern"),
        (["start", "@corp", "--from", "nobody"], "there is no upstream nobody"),
        (["status", "@corp"], "is not being migrated"),
        (["cutover", "@corp", "--reason", WHY], "is not being migrated"),
        (["users", "--from", "htpasswd", "/nowhere"], "cannot be read"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(old, words, said):
    with pytest.raises(CommandError, match=said):
        call_command("migration", *words)
    assert not Migration.objects.exists()


def test_a_reason_is_wanted(corp):
    for verb in ("cutover", "back"):
        with pytest.raises(CommandError, match=r"say why|was not cut over"):
            call_command("migration", verb, "@corp", "--reason", "so")


def test_a_listing_that_lies_brings_nothing_but_what_fits(old, anyone):
    old.publish("@corp/box", "1.0.0")
    old.put_raw(
        "-/verdaccio/data/packages",
        json.dumps(
            [{"name": "@corp/box"}, {"name": 5}, "x", {"name": "@CORP/../../etc"}, {"name": "a" * 300}]
        ).encode(),
    )
    start()
    assert list(Package.objects.values_list("name", flat=True)) == ["@corp/box"]


# --- People -------------------------------------------------------------------------------------------------------


@pytest.fixture
def real_hashers(settings):
    settings.PASSWORD_HASHERS = ["registry.hashing.Argon2", "registry.hashing.Bcrypt", "registry.hashing.Htpasswd",
                                 "registry.hashing.Cnpmcore"]  # fmt: skip
    settings.SIGNUP = "closed"


def login(name: str, password: str) -> int:
    body = {"name": name, "password": password, "type": "user"}
    return Person().send("PUT", f"/-/user/org.couchdb.user:{name}", body=body).status


def test_people_of_htpasswd_sign_in_with_their_passwords(real_hashers, tmp_path, capsys):
    import bcrypt

    hashed = bcrypt.hashpw(b"correct horse battery", bcrypt.gensalt(4)).decode().replace("$2b$", "$2y$")
    file = tmp_path / "htpasswd"
    file.write_text(
        f"alice:{hashed}:autocreated 2020-01-01T00:00:00.000Z\n"
        "bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"  # password
        "carol:$apr1$aaaaaaaa$bbbbbbbbbbbbbbbbbbbbbb\n"
        "Not A Name:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"
        "root:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n"
    )
    User.objects.create_superuser("root", password="a password of its own")
    before = User.objects.get(username="root").password
    with pytest.raises(CommandError, match="1 could not be brought over"):
        call_command("migration", "users", "--from", "htpasswd", str(file))
    told = capsys.readouterr().out
    assert "3 people are here now, with 0 tokens" in told
    assert "since they are here already: root" in told
    assert "carol: its password is kept as MD5" in told
    assert User.objects.get(username="root").password == before
    assert login("alice", "wrong horse") == 401
    assert login("alice", "correct horse battery") == 201
    assert login("bob", "password") == 201
    assert login("carol", "password") == 401
    for name in ("alice", "bob"):
        assert User.objects.get(username=name).password.startswith("argon2"), "kept in our manner from now on"


def test_people_and_tokens_of_cnpmcore_go_on_working(real_hashers, tmp_path, capsys):
    import base64
    import hashlib

    salt = "0a" * 30  # as long as its own are
    digest = base64.b64encode(hashlib.sha512(f"{salt}correct horse battery".encode()).digest()).decode()
    secret = "cnpm_1234567890abcdefghijABCDEFGHIJ12_3abcDE"
    key = hashlib.sha512(secret.encode()).hexdigest()
    rows = [
        {"user_id": "u1", "name": "alice", "email": "alice@example.com", "password_salt": salt,
         "password_integrity": f"sha512-{digest}"},
        {"user_id": "u2", "name": "npm:somebody", "password_salt": "", "password_integrity": ""},
        {"token_key": key, "token_mark": "cnpm_12", "user_id": "u1", "is_readonly": 0, "type": "classic"},
        {"token_key": hashlib.sha512(b"another").hexdigest(), "user_id": "u1", "type": "granular"},
    ]  # fmt: skip
    file = tmp_path / "export.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)))
    assert "1 people are here now, with 1 tokens" in command("users", "--from", "cnpmcore", str(file), capsys=capsys)
    assert Person(token=secret).send("GET", "/-/whoami").json() == {"username": "alice"}
    assert Person(token=secret[:-1] + "F").send("GET", "/-/whoami").status == 401
    assert login("alice", "correct horse battery") == 201
    assert "1 people" not in command("users", "--from", "cnpmcore", str(file), capsys=capsys)


@pytest.mark.parametrize("text", ["no colon here", "\x00:x"])
def test_an_htpasswd_that_is_none_changes_nothing(tmp_path, text):
    file = tmp_path / "htpasswd"
    file.write_text(f"dave:{{SHA}}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n{text}\n")
    with pytest.raises(CommandError):
        call_command("migration", "users", "--from", "htpasswd", str(file))


def test_an_export_that_is_none_changes_nothing(tmp_path):
    file = tmp_path / "export"
    file.write_text('{"name": "dave"}\nnot json\n')
    with pytest.raises(CommandError, match="line 2 is no JSON"):
        call_command("migration", "users", "--from", "cnpmcore", str(file))
    assert not User.objects.exists()


def test_the_scope_is_an_organisation_of_its_owners_after_the_cut_over(alice, bob, corp):
    call_command("migration", "cutover", "@corp", "--reason", WHY)
    assert list(Member.objects.values_list("scope__name", "user__username")) == [("@corp", "alice")]
    assert bob.publish("@corp/new", "1.0.0").status == 403
    assert alice.publish("@corp/new", "1.0.0").status == 201


def test_of_two_who_decide_at_once_one_is_told_that_the_other_was_faster(corp):
    first, second = Migration.objects.get(), Migration.objects.get()
    operator = Actor.system("a test")
    cutting_over.cut_over(first, reason=WHY, actor=operator)
    with pytest.raises(Conflict, match="has just decided"):
        cutting_over.cut_over(second, reason=WHY, actor=operator)
    first.refresh_from_db()
    second.refresh_from_db()
    cutting_over.take_back(first, reason=WHY, actor=operator)
    with pytest.raises(Conflict, match="has just decided"):
        cutting_over.take_back(second, reason=WHY, actor=operator)
    assert set(Package.objects.values_list("origin", flat=True)) == {"old"}


def test_what_wants_a_token_there_is_restricted_here(alice, bob, old, anyone):
    upstreams.set_credentials("old", "a-token", actor=Actor.system("a test"))
    old.publish("@corp/secret", "1.0.0")
    old.describe("@corp/secret", maintainers=[{"name": "alice"}])
    old.publish("@corp/other", "1.0.0")
    lists(old, "@corp/secret", "@corp/other")
    start()
    assert {anyone.view(name).status for name in ("@corp/secret", "@corp/other")} == {404}
    call_command("migration", "cutover", "@corp", "--reason", WHY)
    for name in ("@corp/secret", "@corp/other"):
        assert [person.view(name).status for person in (alice, bob, anyone)] == [200, 404, 404], name
    assert alice.publish("@corp/other", "2.0.0").status == 403, "a developer reads; owners publish"


def test_it_is_public_when_the_operator_says_so(old, anyone):
    upstreams.set_credentials("old", "a-token", actor=Actor.system("a test"))
    old.publish("@corp/open", "1.0.0")
    lists(old, "@corp/open")
    start("@corp", "--public")
    assert anyone.view("@corp/open").status == 200


# --- What a reviewer tried ----------------------------------------------------------------------------------------

OPERATOR = Actor.system("a test")


def cut_over(pattern: str = "@corp", *words: str) -> None:
    call_command("migration", "cutover", pattern, "--reason", WHY, *words)


def back(pattern: str = "@corp") -> None:
    call_command("migration", "back", pattern, "--reason", WHY)


@pytest.fixture
def token(old):
    """The old registry gives what it has only to us."""
    upstreams.set_credentials("old", "a-token", actor=OPERATOR)


def test_an_old_registry_that_hides_everything_is_not_cut_over(alice, corp, confirm, later):
    for name in ("@corp/box", "@corp/lid"):
        corp.unpublish(name)
    lists(corp)
    for _ in range(3):
        later()
        for name in ("@corp/box", "@corp/lid"):
            queue.ask(name, why="a test")
        work()
        confirm()
    assert Package.objects.filter(unpublished_at=None).count() == 2, "an emptied registry takes nothing away"
    with pytest.raises(CommandError, match="see whether its credentials still show it"):
        cut_over()
    assert Migration.objects.get().cut_over_at is None


def test_where_nothing_came_over_there_is_nothing_to_cut_over(old):
    lists(old)
    start()
    with pytest.raises(CommandError, match="nothing of @corp/\\* came over"):
        cut_over("@corp", "--force")
    assert Migration.objects.get().cut_over_at is None


@pytest.mark.usefixtures("token")
def test_what_was_on_its_way_when_it_was_cut_over_does_not_come_in(alice, old, anyone, later):
    old.publish("@corp/box", "1.0.0")
    old.describe("@corp/box", maintainers=[{"name": "alice"}])
    lists(old, "@corp/box")
    start()
    old.publish("@corp/new", "1.0.0")
    task = queue.ask("@corp/new", why="a test")
    with old.gate("/@corp/new") as gate:
        thread = Thread(target=lambda: (running.run(task.pk), connections.close_all()))
        thread.start()
        gate.wait_arrived()
        cut_over()
    thread.join()
    assert list(Package.objects.values_list("name", flat=True)) == ["@corp/box"]
    assert alice.publish("@corp/new", "2.0.0").status == 201


def test_what_came_in_after_the_comparison_is_compared_first(corp, monkeypatch):
    compared = list(migrating.status(Migration.objects.get()))
    corp.publish("@corp/late", "1.0.0")
    queue.ask("@corp/late", why="a test")
    work()
    monkeypatch.setattr(migrating, "status", lambda _migration: compared)
    with pytest.raises(CommandError, match="@corp/late came in just now"):
        cut_over()
    assert not Package.objects.filter(origin=None).exists()


def test_begun_once_more_it_forgets_nothing(old, anyone, tmp_path):
    for name in ("@corp/box", "@corp/hidden"):
        old.publish(name, "1.0.0")
    lists(old, "@corp/box")
    names = tmp_path / "names"
    names.write_text("@corp/hidden\n")
    start("@corp", "--restricted", "--file", str(names))
    start()
    migration = Migration.objects.get()
    assert (migration.is_restricted, migration.listed) == (True, ["@corp/hidden"])
    old.publish("@corp/new", "1.0.0")
    lists(old, "@corp/box", "@corp/new")
    migrating.look(migration)
    work()
    assert anyone.view("@corp/new").status == 404


@pytest.mark.usefixtures("token")
def test_what_came_from_there_before_is_restricted_too(old, anyone, later):
    rules.put("@corp", "proxy", ["old"], tarballs="lazy", actor=OPERATOR)
    old.publish("@corp/secret", "1.0.0")
    lists(old, "@corp/secret")
    assert anyone.view("@corp/secret").status == 200
    later()
    start()
    assert anyone.view("@corp/secret").status == 404
    assert ScopeRule.objects.get().tarballs == "lazy", "what was chosen stays chosen"


def test_its_rule_is_not_changed_under_it(corp, upstream, anyone):
    upstream.publish("@corp/evil", "9.9.9")
    for said in ("remove @corp", "set @corp private", "set @corp/* proxy"):
        with pytest.raises(CommandError, match="is being migrated"):
            call_command("rule", *said.split())
    assert anyone.view("@corp/evil").status == 404
    assert upstream.count("/@corp*") == 0
    call_command("migration", "stop", "@corp", "--reason", WHY)
    call_command("rule", "set", "@corp", "private")
    assert not Migration.objects.under_way().exists()


def test_those_who_came_to_own_by_it_do_not_after_a_way_back(alice, bob, corp, later):
    cut_over()
    back()
    assert not Maintainer.objects.exists()
    corp.describe("@corp/box", maintainers=[{"name": "bob"}])
    later()
    start()
    cut_over()
    assert (alice.publish("@corp/box", "9.0.0").status, bob.publish("@corp/box", "9.0.0").status) == (403, 201)


def test_an_organisation_that_people_have_changed_is_not_given_up(alice, bob, corp):
    cut_over()
    Member.objects.create(scope=Scope.objects.get(), user=User.objects.get(username="bob"), role="owner")
    with pytest.raises(CommandError, match="the people or teams of @corp changed"):
        back()
    assert Migration.objects.get().cut_over_at is not None
    Member.objects.filter(user__username="bob").delete()
    back()


def test_what_was_published_here_before_does_not_keep_it_from_going_back(old, alice):
    assert alice.publish("left-mine", "1.0.0").status == 201
    old.publish("left-thing", "1.0.0")
    lists(old, "left-thing")
    start("left-*")
    cut_over("left-*")
    back("left-*")
    assert Package.objects.get(name="left-mine").origin is None
    assert Package.objects.get(name="left-thing").origin == "old"


def test_what_a_narrower_rule_is_about_is_not_cut_over_with_the_rest(old):
    for name in ("@corp/box", "@corp/tool"):
        old.publish(name, "1.0.0")
    lists(old, "@corp/box", "@corp/tool")
    start("@corp/tool")
    start()
    with pytest.raises(CommandError, match="@corp/tool in it come from elsewhere"):
        cut_over()
    cut_over("@corp/tool")
    assert dict(Package.objects.values_list("name", "origin")) == {"@corp/box": "old", "@corp/tool": None}


def test_names_of_no_scope_are_not_published_here_either_meanwhile(old, alice):
    old.publish("left-thing", "1.0.0")
    lists(old, "left-thing")
    start("left-*")
    answer = alice.publish("left-new", "1.0.0")
    assert (answer.status, "publish it there" in answer.json()["error"]) == (403, True)


def test_a_name_proves_nothing_of_who_signed_up_after_it_began(corp):
    zoe = Person("zoe").login()
    cut_over()
    assert zoe.publish("@corp/box", "6.6.6").status == 403
    assert not Maintainer.objects.exists()


def test_owners_are_those_of_just_that_name(alice, old):
    old.publish("@corp/box", "1.0.0")
    old.describe("@corp/box", maintainers=[{"name": "ALICE"}])
    lists(old, "@corp/box")
    start()
    cut_over()
    assert not Maintainer.objects.exists()


def test_where_no_maintainers_are_kept_the_latest_publisher_owns(alice, bob, old):
    old.publish("@corp/box", "1.0.0", _npmUser={"name": "bob"})
    old.publish("@corp/box", "1.1.0", _npmUser={"name": "alice"})
    lists(old, "@corp/box")
    start()
    cut_over()
    assert list(Maintainer.objects.values_list("user__username", flat=True)) == ["alice"]


def test_what_was_said_here_is_unsaid_by_a_way_back(alice, corp, anyone, later):
    cut_over()
    assert alice.deprecate("@corp/box", "broken", "1.0.0").status in (200, 201)
    back()
    later()
    start()
    assert "deprecated" not in anyone.view("@corp/box").json()["versions"]["1.0.0"]


@pytest.mark.parametrize(("mode", "tarballs"), [("blocked", "eager"), ("private", "lazy")])
def test_no_tarballs_come_of_what_is_not_fetched(old, mode, tarballs):
    with pytest.raises(CommandError, match="no tarballs come"):
        call_command("rule", "set", "@x", mode, "--tarballs", tarballs)


@pytest.mark.parametrize("cost", ["00", "03", "16", "31", "99"])
def test_a_cost_that_nobody_can_pay_is_not_taken_over(real_hashers, tmp_path, capsys, cost):
    file = tmp_path / "htpasswd"
    file.write_text(f"dave:$2y${cost}${'a' * 53}\n")
    assert "dave: its password is kept as" in command("users", "--from", "htpasswd", str(file), capsys=capsys)
    assert login("dave", "whatever it is") == 401


def test_a_hash_that_is_none_opens_nothing(real_hashers):
    User.objects.create(username="dave", password="bcrypt$$2y$99$nonsense")
    assert login("dave", "whatever it is") == 401


def test_letters_that_no_database_keeps_are_not_taken_over(real_hashers, tmp_path, capsys):
    digest = "sha512-" + "A" * 86 + "=="
    rows = [
        {"user_id": "u1", "name": "dave", "password_salt": "a\0b", "password_integrity": digest},
        {"user_id": "u2", "name": "erin", "password_salt": "ab", "password_integrity": digest},
        {"token_key": "a" * 128, "token_mark": "a\0", "user_id": "u2"},
    ]
    file = tmp_path / "export"
    file.write_text("\n".join(map(json.dumps, rows)))
    told = command("users", "--from", "cnpmcore", str(file), capsys=capsys)
    assert "2 people are here now, with 1 tokens" in told
    assert "dave: it has no password" in told


def test_a_name_of_half_letters_is_refused_in_words(tmp_path, capsys):
    file = tmp_path / "export"
    file.write_text('{"user_id":"1","name":"\\ud800x"}\n{"user_id":"2","name":"dave"}\n')
    with pytest.raises(CommandError, match="1 could not be brought over"):
        call_command("migration", "users", "--from", "cnpmcore", str(file))
    assert capsys.readouterr().out.encode()
    assert User.objects.filter(username="dave").exists()
