"""How a migration ends otherwise than by its cut-over alone: stopped, beside narrower ones, or without its registry."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import CommandError, call_command

from audit.actors import Actor
from audit.models import Event
from registry import people
from registry.models import Maintainer, Package, Version
from registry.names import PackageName
from sync import queue, routing, upstreams
from sync.comparing import compare
from sync.leases import Free
from sync.limits import Turns
from sync.models import Doubt, Migration, ScopeRule, SyncTask, Upstream
from tests.fake_upstream import FakeUpstream
from tests.sync.test_migrating import WHY, lists, start, work

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def old(upstream):
    with FakeUpstream() as fake:
        Upstream.objects.create(name="old", url=fake.url, kind=Upstream.Kind.VERDACCIO)
        routing.forget()
        fake.publish("@corp/box", "1.0.0")
        lists(fake, "@corp/box")
        yield fake


@pytest.fixture
def other(upstream):
    with FakeUpstream() as fake:
        Upstream.objects.create(name="other", url=fake.url, kind=Upstream.Kind.VERDACCIO)
        routing.forget()
        fake.publish("@corp/tool", "1.0.0")
        lists(fake, "@corp/tool")
        yield fake


def migration(verb: str, pattern: str) -> None:
    call_command("migration", verb, pattern, "--reason", WHY)


def test_what_still_comes_after_a_stop_is_restricted_as_before(old, anyone, alice, later, settings, capsys):
    settings.SECRET_KEY_IS_EPHEMERAL = False
    upstreams.set_credentials("old", "sesame", actor=Actor.system("a test"))
    old.authorization = "Bearer sesame"
    start()
    old.publish("@corp/fresh", "1.0.0")
    migration("stop", "@corp")
    assert "is proxied from old until its rule is changed" in capsys.readouterr().out
    later()
    for name in ("@corp/box", "@corp/fresh"):
        assert (anyone.view(name).status, alice.view(name).status) == (404, 404)
    assert Package.objects.filter(is_restricted=True).count() == 2
    assert list(ScopeRule.objects.values_list("pattern", "mode", "upstream__name")) == [("@corp/*", "proxy", "old")]
    call_command("migration", "list")
    assert "@corp/* from old: stopped" in capsys.readouterr().out
    work()
    for verb in ("stop", "cutover"):
        with pytest.raises(CommandError, match="was stopped"):
            migration(verb, "@corp")


def test_a_stopped_migration_frees_its_rule_and_can_be_begun_again(old, anyone):
    start()
    migration("stop", "@corp")
    call_command("rule", "set", "@corp", "blocked")
    old.publish("@corp/fresh", "1.0.0")
    lists(old, "@corp/box", "@corp/fresh")
    start()
    migration("cutover", "@corp")
    assert anyone.view("@corp/fresh").status == 200


def test_a_scope_is_not_cut_over_around_what_comes_from_elsewhere(old, other, anyone, later):
    start()
    call_command("migration", "start", "@corp/tool", "--from", "other")
    work()
    with pytest.raises(CommandError, match=r"@corp/tool in it come from elsewhere by rules of their own"):
        migration("cutover", "@corp")
    other.publish("@corp/tool", "2.0.0")
    later()
    assert list(anyone.view("@corp/tool").json()["versions"]) == ["1.0.0", "2.0.0"]
    queue.ask("@corp/tool", why="a test", with_tarballs=True)
    work()
    migration("cutover", "@corp/tool")
    migration("cutover", "@corp")
    assert {anyone.view(name).status for name in ("@corp/box", "@corp/tool")} == {200}
    with pytest.raises(CommandError, match="is in a private scope"):
        migration("back", "@corp/tool")
    with pytest.raises(CommandError, match="was cut over: there is nothing to stop"):
        migration("stop", "@corp")
    migration("back", "@corp")
    migration("back", "@corp/tool")
    assert anyone.view("@corp/tool").status == 200


def test_what_is_asked_for_by_then_is_not_copied_after_a_stop(old):
    call_command("migration", "start", "@corp", "--from", "old")
    migration("stop", "@corp")
    work()
    assert not Package.objects.exists()
    assert SyncTask.objects.get().reason == "the migration of @corp/* was stopped"


def test_narrower_names_are_no_part_of_a_cut_over(old, upstream, anyone, alice, later):
    """Of names without a scope, which can be ours one by one."""
    for name in ("acme-box", "acme-tool", "acme-open"):
        old.publish(name, "1.0.0")
    lists(old, "acme-box", "acme-tool", "acme-open")
    upstream.publish("acme-far", "1.0.0")
    call_command("rule", "set", "acme-open", "proxy", "old")
    call_command("rule", "set", "acme-far", "mirror", "default")
    call_command("migration", "start", "acme-*", "acme-tool", "--from", "old")
    work()
    wished = queue.ask("acme-far", why="a person wants it")
    migration("cutover", "acme-*")
    wished.refresh_from_db()
    assert wished.state in SyncTask.LIVE
    for name in ("acme-tool", "acme-open"):
        old.publish(name, "2.0.0")
    queue.ask("acme-tool", why="a test", with_tarballs=True)
    work()
    later()
    for name in ("acme-tool", "acme-open"):
        assert "2.0.0" in anyone.view(name).json()["versions"], name
    call_command("migration", "cutover", "acme-tool", "--reason", WHY, "--owner", "alice")
    assert alice.publish("acme-tool", "3.0.0").status == 201
    migration("back", "acme-*")
    with pytest.raises(CommandError, match=r"acme-tool@3.0.0 was published here"):
        migration("back", "acme-tool")


def test_what_is_only_edited_there_is_a_difference_too(old, anyone):
    start()
    old.deprecate("@corp/box", "1.0.0", "it leaks keys")
    with pytest.raises(CommandError, match=r"1 edited there \(1.0.0\)"):
        migration("cutover", "@corp")
    queue.ask("@corp/box", why="a test")
    work()
    migration("cutover", "@corp")
    assert anyone.view("@corp/box").json()["versions"]["1.0.0"]["deprecated"] == "it leaks keys"


@pytest.mark.parametrize("heir", [(), ("--to", "default")])
def test_an_upstream_that_is_being_left_is_not_removed(old, heir):
    start()
    with pytest.raises(CommandError, match=r"@corp/\* is being migrated from old: cut it over, or stop that first"):
        call_command("upstream", "remove", "old", *heir)
    assert Migration.objects.under_way().exists()


def test_an_upstream_that_was_left_can_be_removed_and_then_there_is_no_way_back(old, anyone):
    start()
    migration("cutover", "@corp")
    call_command("upstream", "remove", "old")
    assert anyone.view("@corp/box").status == 200
    assert not Upstream.objects.filter(name="old").exists()
    with pytest.raises(CommandError, match="is not being migrated"):
        migration("back", "@corp")


def test_the_old_registry_is_not_even_compared_with_after_the_cut_over(old):
    start()
    migration("cutover", "@corp")
    asked = old.count()
    with pytest.raises(CommandError, match="the old registry is not asked again"):
        call_command("migration", "status", "@corp")
    assert old.count() == asked


def test_a_version_that_goes_there_while_it_is_brought_over_waits_for_a_human(old, later, confirm):
    old.publish("@corp/box", "1.1.0")
    start()
    old.unpublish("@corp/box", "1.1.0")
    for _ in range(2):
        later()
        queue.ask("@corp/box", why="a test")
        work()
        confirm()
    assert Version.objects.published().count() == 2
    assert Doubt.objects.get().state == Doubt.State.ASKING


def test_owners_and_tags_that_went_there_are_a_difference(old, alice, bob):
    old.describe("@corp/box", maintainers=[{"name": "alice"}, {"name": "bob"}])
    old.set_tag("@corp/box", "beta", "1.0.0")
    start()
    old.describe("@corp/box", maintainers=[{"name": "alice"}])
    old.set_tag("@corp/box", "beta", None)
    with pytest.raises(CommandError, match=r"1 tags differing \(beta\); 1 owners differing \(bob\)"):
        migration("cutover", "@corp")
    queue.ask("@corp/box", why="a test")
    work()
    migration("cutover", "@corp")
    assert list(Maintainer.objects.values_list("user__username", flat=True)) == ["alice"]


def test_npms_placeholder_takes_nothing_from_what_is_brought_over(old, later, confirm):
    start()
    old.unpublish("@corp/box")
    old.publish("@corp/box", "0.0.1-security")
    for _ in range(2):
        later()
        queue.ask("@corp/box", why="a test")
        work()
        confirm()
    assert "1.0.0" in Version.objects.published().values_list("number", flat=True)


def test_one_that_is_under_way_is_not_begun_from_elsewhere(old, other):
    start()
    with pytest.raises(CommandError, match="is being migrated from old: stop that first"):
        call_command("migration", "start", "@corp", "--from", "other")
    assert Migration.objects.get().upstream.name == "old"


def test_a_stop_restricts_also_what_comes_from_an_heir(old, other, anyone, later, settings):
    call_command("migration", "start", "@corp", "--from", "old", "--restricted")
    work()
    migration("stop", "@corp")
    call_command("upstream", "remove", "old", "--to", "other")
    later()
    assert anyone.view("@corp/tool").status == 404
    assert Package.objects.get(name="@corp/tool").is_restricted


def test_a_comparison_waits_for_its_turn(old):
    start()
    Upstream.objects.filter(name="old").update(max_at_once=1)
    row, asked = Upstream.objects.get(name="old"), old.count("/@corp*box")
    with ThreadPoolExecutor() as threads:
        with Turns(row, Free()).take():
            comparing = threads.submit(list, compare([PackageName.parse("@corp/box")], row))
            with pytest.raises(TimeoutError):
                comparing.result(timeout=0.5)
            assert old.count("/@corp*box") == asked
        assert [one.name for one in comparing.result(timeout=20)] == ["@corp/box"]
    assert old.count("/@corp*box") == asked + 1


@pytest.mark.parametrize("how", ["gone", "shut"])
def test_who_forces_it_needs_no_old_registry_that_answers(old, anyone, how):
    start()
    if how == "gone":
        old.stop()
    else:
        old.authorization = "Bearer another"
    with pytest.raises(CommandError):
        migration("cutover", "@corp")
    call_command("migration", "cutover", "@corp", "--reason", WHY, "--force")
    assert anyone.view("@corp/box").status == 200
    assert Event.objects.get(kind="migration.cut-over").facts["differing"]


@pytest.mark.parametrize("name", ["a\0b", "\ud800x"], ids=["NUL", "half a letter"])
@pytest.mark.parametrize("how", ["maintainers", "_npmUser"])
def test_owners_whose_names_nobody_can_have_own_nothing(old, name, how):
    if how == "maintainers":
        old.describe("@corp/box", maintainers=[{"name": name}])
    else:
        old.publish("@corp/box", "1.0.0", _npmUser={"name": name})
    start()
    migration("cutover", "@corp")
    assert Package.objects.get().origin is None
    assert not Maintainer.objects.exists()


@pytest.mark.parametrize(
    ("by", "owns"),
    [
        (Actor.anonymous(), False),
        (Actor.system("openid"), False),  # who signs in for the first time by a directory or a provider
        (Actor.system("manage.py migration"), True),
    ],
)
def test_who_chose_an_owners_name_afterwards_owns_nothing(old, by, owns, settings):
    """By an invitation, say; who was brought over or made by an operator since is who they are."""
    settings.SIGNUP = "invite"
    old.describe("@corp/box", maintainers=[{"name": "zoe"}])
    start()
    people.create_user("zoe", "correct horse battery", actor=by)
    migration("cutover", "@corp")
    assert Maintainer.objects.filter(user__username="zoe").exists() is owns


def test_a_file_may_list_names_of_several_patterns(old, tmp_path):
    names = tmp_path / "names"
    names.write_text("left-thing\nright-thing\n")
    for name in ("left-thing", "right-thing"):
        old.publish(name, "1.0.0")
    command = ("migration", "start", "left-thing", "right-thing", "--from", "old", "--file", str(names))
    call_command(*command)
    work()
    assert Package.objects.count() == 2
    names.write_text("other\n")
    with pytest.raises(CommandError, match="other fits none of left-thing, right-thing"):
        call_command(*command)


def test_the_mode_of_a_migration_is_not_set_by_hand(old):
    with pytest.raises(CommandError, match=r"manage\.py migration start @corp/\* --from"):
        call_command("rule", "set", "@corp", "migrate", "old")


def test_names_that_differ_in_their_case_only_are_other_names(upstream, anyone, tmp_path):
    """SQLite compares beginnings without looking at their case."""
    upstream.publish("Acme-old", "1.0.0")
    upstream.publish("acme-new", "1.0.0")
    assert anyone.view("Acme-old").status == 200
    names = tmp_path / "names"
    names.write_text("acme-new\n")
    call_command("migration", "start", "acme-*", "--from", "default", "--file", str(names))
    work()
    call_command("migration", "cutover", "acme-*", "--reason", WHY)
    origins = dict(Package.objects.values_list("name", "origin"))
    assert origins == {"Acme-old": "default", "acme-new": None}
