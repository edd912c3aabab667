"""What is gone from an upstream is believed when a later look confirms it, and when a human says so; never at once."""

import json

import pytest
from django.core.management import CommandError, call_command

from audit.models import Event
from registry.models import DistTag, Package, Version
from registry.names import PackageName
from sync import doubts, moving, queue, running
from sync.models import Doubt, SyncTask, Upstream
from sync.plan import MASS_REMOVAL

pytestmark = pytest.mark.django_db(transaction=True)

State = SyncTask.State
WHY = "we have looked, and it is so"


@pytest.fixture(autouse=True)
def _an_hour_is_fresh(upstream, settings):
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600


@pytest.fixture
def sync(later):
    """`sync()`: a task for the package, run; how it ended and what it said."""

    def _sync(name: str = "left-pad", **wish) -> tuple[str, str]:
        later()
        task = queue.ask(name, why="a test", **wish)
        result = running.run(task.pk)
        return SyncTask.objects.get(pk=task.pk).state, result.line

    return _sync


@pytest.fixture
def look_again(confirm):
    """`look_again()`: the beat, an hour later; gives the names that it made tasks for, and runs them."""

    def _look_again() -> list[str]:
        confirm()
        doubts.look_again()
        tasks = list(SyncTask.objects.live().order_by("pk"))
        for task in tasks:
            running.run(task.pk)
        return [task.name for task in tasks]

    return _look_again


def published(upstream, *numbers: str, name: str = "left-pad") -> list[str]:
    for number in numbers:
        upstream.publish(name, number)
    return list(numbers)


def here(anyone, name: str = "left-pad") -> list[str] | int:
    """The versions that a reader gets, or the status."""
    answer = anyone.view(name)
    return list(answer.json()["versions"]) if answer.status == 200 else answer.status


# --- A version ----------------------------------------------------------------------------------------------------


def test_a_version_that_is_gone_is_served_until_a_second_look(upstream, anyone, sync, look_again):
    published(upstream, "1.0.0", "1.1.0")
    upstream.set_tag("left-pad", "next", "1.1.0")
    sync(with_tarballs=True)
    upstream.unpublish("left-pad", "1.1.0")
    assert sync() == (State.DONE, "1 versions: 0 to add, 0 to change, 0 to remove, 1 gone upstream and kept")
    document = anyone.view("left-pad").json()
    assert list(document["versions"]) == ["1.0.0", "1.1.0"]
    assert document["dist-tags"] == {"latest": "1.0.0", "next": "1.1.0"}, "a tag that points at it stays with it"
    assert "1.1.0" in document["time"]
    assert anyone.download("left-pad", "1.1.0").status == 200
    assert sync()[0] == State.DONE, "soon after, nothing is confirmed"
    assert here(anyone) == ["1.0.0", "1.1.0"]

    assert look_again() == ["left-pad"]
    assert here(anyone) == ["1.0.0"]
    assert anyone.view("left-pad").json()["dist-tags"] == {"latest": "1.0.0"}
    assert anyone.download("left-pad", "1.1.0").status == 404
    assert Version.objects.get(number="1.1.0").blob is not None, "its tarball stays as long as it can be restored"
    assert not Doubt.objects.exists()
    assert look_again() == []


def test_one_that_is_there_again_in_between_was_never_gone(upstream, anyone, sync, look_again):
    published(upstream, "1.0.0", "1.1.0")
    sync()
    upstream.unpublish("left-pad", "1.1.0")
    sync()
    published(upstream, "1.1.0")
    sync()
    assert not Doubt.objects.exists()
    assert look_again() == []
    assert here(anyone) == ["1.0.0", "1.1.0"]


def test_a_second_look_at_a_document_that_has_not_changed_confirms_too(upstream, anyone, sync, look_again):
    published(upstream, "1.0.0", "1.1.0")
    sync()
    upstream.unpublish("left-pad", "1.1.0")
    sync()
    asked = upstream.count("/left-pad")
    look_again()
    assert upstream.count("/left-pad") == asked + 1
    assert "if-none-match" not in upstream.last("/left-pad").headers
    assert here(anyone) == ["1.0.0"]


def test_a_document_cut_short_for_a_moment_loses_nothing(upstream, anyone, sync, look_again):
    numbers = published(upstream, "1.0.0", "1.1.0", "1.2.0")
    sync()
    whole = anyone.view("left-pad").json()
    upstream.put_raw("left-pad", b'{"name":"left-pad","versions":{},"dist-tags":{}}')
    state, line = sync()
    assert (state, "a human decides" in line) == (State.REFUSED, True)
    after = anyone.view("left-pad").json()
    assert after == whole
    del upstream._raw["/left-pad"]
    assert sync()[0] == State.DONE
    assert look_again() == []
    assert here(anyone) == numbers
    assert not Doubt.objects.exists()


def test_a_version_that_comes_back_is_taken_up_again(upstream, anyone, sync, look_again):
    published(upstream, "1.0.0", "1.1.0")
    sync(with_tarballs=True)
    upstream.unpublish("left-pad", "1.1.0")
    sync()
    look_again()
    assert here(anyone) == ["1.0.0"]
    published(upstream, "1.1.0")
    sync()
    assert here(anyone) == ["1.0.0", "1.1.0"]
    assert anyone.download("left-pad", "1.1.0").raw == upstream.tarball("left-pad", "1.1.0")


def test_one_that_comes_back_with_another_tarball_is_told_of(upstream, anyone, sync):
    published(upstream, "1.0.0")
    sync(with_tarballs=True)
    upstream.publish("left-pad", "1.0.0", files={"index.js": "module.exports = 2"})
    sync(with_tarballs=True)
    told = Event.objects.get(kind="package.tarballs.replaced")
    assert (told.subject, told.facts["versions"]) == ("package:left-pad", ["1.0.0"])
    assert anyone.download("left-pad", "1.0.0").raw == upstream.tarball("left-pad", "1.0.0")


@pytest.mark.parametrize("is_here", [True, False])
def test_a_stronger_hash_of_the_same_tarball_is_no_other_tarball(upstream, anyone, sync, is_here):
    """npm added sha512 to what was published before 2017."""
    upstream.publish("left-pad", "1.0.0", dist={"integrity": None})
    sync(with_tarballs=is_here)
    shown = upstream.publish("left-pad", "1.0.0")
    sync()
    assert anyone.view("left-pad").json()["versions"]["1.0.0"]["dist"]["integrity"] == shown["dist"]["integrity"]
    assert not Event.objects.filter(kind="package.tarballs.replaced").exists()
    assert (Version.objects.get().blob is not None) is is_here
    assert anyone.download("left-pad", "1.0.0").raw == upstream.tarball("left-pad", "1.0.0")


def test_another_hash_is_another_tarball_whatever_its_older_hash_says(upstream, anyone, sync):
    """Never fetched here, so nothing but the hashes can tell."""
    shown = upstream.publish("left-pad", "1.0.0")
    sync()
    upstream.publish("left-pad", "1.0.0", files={"x": "y"}, dist={"shasum": shown["dist"]["shasum"]})
    sync()
    assert Event.objects.filter(kind="package.tarballs.replaced").exists()


# --- A package ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 410, 451])
def test_a_package_that_is_gone_is_served_until_a_second_look(upstream, anyone, sync, look_again, status):
    published(upstream, "1.0.0")
    sync(with_tarballs=True)
    upstream.fault("/left-pad", "status", code=status)
    assert sync() == (State.DONE, f"default answered {status} for left-pad; it is served until that is confirmed")
    assert here(anyone) == ["1.0.0"]
    assert look_again() == ["left-pad"]
    assert here(anyone) == 404
    assert anyone.download("left-pad", "1.0.0").status == 404
    gone = Event.objects.get(kind="package.unpublished")
    assert (gone.actor_name, gone.facts["reason"]) == ("default", f"default answered {status} for left-pad")
    assert Package.objects.get().unpublished_at is not None
    assert not Doubt.objects.exists()


def test_a_404_that_passes_loses_nothing(upstream, anyone, sync, look_again):
    published(upstream, "1.0.0")
    sync()
    upstream.fault("/left-pad", "status", times=1, code=404)
    sync()
    assert sync()[0] == State.DONE
    assert not Doubt.objects.exists()
    assert look_again() == []
    assert here(anyone) == ["1.0.0"]


def test_an_upstream_that_is_ill_confirms_nothing(upstream, anyone, sync, look_again):
    published(upstream, "1.0.0")
    sync()
    upstream.fault("/left-pad", "status", times=1, code=404)
    sync()
    upstream.fault("/left-pad", "status", code=500)
    look_again()
    assert here(anyone) == ["1.0.0"]
    assert Doubt.objects.get().gone_since is not None


def test_a_package_that_comes_back_is_taken_up_again(upstream, anyone, sync, look_again):
    published(upstream, "1.0.0")
    sync(with_tarballs=True)
    fault = upstream.fault("/left-pad", "status", code=404)
    sync()
    look_again()
    assert here(anyone) == 404
    upstream.heal(fault.path_glob)
    published(upstream, "1.1.0")
    sync()
    assert here(anyone) == ["1.0.0", "1.1.0"]
    assert anyone.view("left-pad").json()["dist-tags"] == {"latest": "1.1.0"}


def test_what_its_owner_took_back_is_a_document_without_versions(upstream, anyone, sync, look_again):
    published(upstream, "1.0.0")
    sync()
    upstream.put_raw("left-pad", b'{"name":"left-pad","time":{"unpublished":{"name":"somebody"}}}')
    assert "it was unpublished" in sync()[1]
    assert here(anyone) == ["1.0.0"]
    look_again()
    assert here(anyone) == 404


def test_what_npm_took_away_for_security_is_a_placeholder(upstream, anyone, sync, look_again):
    published(upstream, *(f"1.{n}.0" for n in range(MASS_REMOVAL + 2)))
    sync()
    for n in range(MASS_REMOVAL + 1):
        upstream.unpublish("left-pad", f"1.{n}.0")
    published(upstream, "0.0.1-security")
    upstream.unpublish("left-pad", f"1.{MASS_REMOVAL + 1}.0")
    assert sync()[0] == State.DONE, "no human need be asked"
    look_again()
    assert here(anyone) == ["0.0.1-security"]


def test_a_package_published_here_is_nobody_elses_to_take_away(upstream, alice, anyone):
    alice.publish("ours", "1.0.0")
    assert anyone.view("ours").status == 200
    assert not Doubt.objects.exists()


# --- Too much at once ---------------------------------------------------------------------------------------------


@pytest.fixture
def many(upstream, sync) -> list[str]:
    """A package that loses most of its versions."""
    numbers = published(upstream, *(f"1.{n}.0" for n in range(MASS_REMOVAL + 3)))
    sync()
    for number in numbers[2:]:
        upstream.unpublish("left-pad", number)
    return numbers


def test_a_mass_removal_waits_for_a_human_who_is_asked_once(upstream, anyone, sync, look_again, many):
    state, line = sync()
    assert state == State.REFUSED
    assert line.endswith("that is so much at once that a human decides (manage.py removals)")
    assert f"does not list {MASS_REMOVAL + 1} versions of left-pad any more" in line
    published(upstream, "2.0.0")
    assert sync()[0] == State.DONE, "new versions come, and it is not refused again"
    assert look_again() == [], "nothing is confirmed by waiting"
    sync()
    assert here(anyone) == [*many, "2.0.0"]
    assert Event.objects.filter(kind="removal.asked").count() == 1


def test_a_human_who_believes_it_makes_tombstones(anyone, sync, many):
    sync()
    call_command("removals", "believe", "left-pad", "--reason", WHY)
    for task in SyncTask.objects.live():
        running.run(task.pk)
    assert here(anyone) == many[:2]
    assert Event.objects.get(kind="removal.believed").facts["reason"] == WHY
    assert not Doubt.objects.exists()


def test_a_human_who_keeps_it_is_not_asked_again(upstream, anyone, sync, look_again, many):
    sync()
    call_command("removals", "keep", "left-pad", "--reason", WHY)
    assert look_again() == []
    published(upstream, "2.0.0")
    assert sync()[0] == State.DONE
    assert here(anyone) == [*many, "2.0.0"]
    assert Event.objects.filter(kind="removal.asked").count() == 1
    for number in many[2:]:
        published(upstream, number)
    sync()
    assert not Doubt.objects.exists(), "it is all there again"


def test_an_upstream_that_recovers_takes_its_question_back(upstream, anyone, sync, many):
    sync()
    assert Doubt.objects.get().state == Doubt.State.ASKING
    published(upstream, *many[2:])
    assert sync()[0] == State.DONE
    assert not Doubt.objects.exists()
    assert sorted(here(anyone)) == sorted(many)


def test_an_upstream_that_says_404_to_everything_waits_for_a_human(upstream, anyone, sync, look_again, settings):
    settings.MASS_REMOVAL = 3
    names = [f"pad-{n}" for n in range(5)]
    for name in names:
        published(upstream, "1.0.0", name=name)
        sync(name)
    upstream.fault("/*", "status", code=404)
    states = [sync(name)[0] for name in names]
    assert states == [State.DONE] * 3 + [State.REFUSED] * 2
    look_again()
    assert [here(anyone, name) for name in names] == [["1.0.0"]] * 5
    upstream.heal()
    for name in names:
        sync(name)
    assert not Doubt.objects.exists()


def test_what_is_decided_of_some_answers_no_question_about_others(upstream, anyone, sync, look_again, settings):
    settings.MASS_REMOVAL = 4
    names = [f"pad-{n}" for n in range(6)]
    for name in names:
        published(upstream, "1.0.0", name=name)
        sync(name)
    upstream.fault("/pad-*", "status", code=404)
    for _ in range(2):
        for name in names:
            sync(name)
        look_again()
    assert Doubt.objects.filter(state=Doubt.State.ASKING).count() == 6, "all of it is one question"
    for name in names[2:]:
        call_command("removals", "keep", name, "--reason", "we need all of them")
    for _ in range(2):
        for name in names:
            sync(name)
        look_again()
    assert Doubt.objects.filter(state=Doubt.State.ASKING).count() == 2
    assert [here(anyone, name) for name in names] == [["1.0.0"]] * 6


def test_many_packages_that_lose_versions_wait_for_a_human(upstream, anyone, sync, look_again, settings):
    """As from an upstream that was restored from an old backup."""
    settings.MASS_REMOVAL = 3
    names = [f"pad-{n}" for n in range(5)]
    for name in names:
        published(upstream, "1.0.0", "1.1.0", "1.2.0", name=name)
        sync(name)
    for name in names:
        upstream.unpublish(name, "1.2.0")
        sync(name)
    assert Doubt.objects.filter(state=Doubt.State.ASKING).count() == 5
    look_again()
    assert [here(anyone, name) for name in names] == [["1.0.0", "1.1.0", "1.2.0"]] * 5
    call_command("removals", "believe", "pad-0", "--reason", "the owner told us so")
    sync("pad-0")
    assert here(anyone, "pad-0") == ["1.0.0", "1.1.0"]


def test_what_goes_in_small_pieces_is_much_at_last(upstream, anyone, sync, look_again):
    numbers = published(upstream, *(f"1.{n}.0" for n in range(40)))
    sync()
    for step in range(4):
        for number in numbers[step * 9 : step * 9 + 9]:
            upstream.unpublish("left-pad", number)
        sync()
        look_again()
    assert len(here(anyone)) > 20
    assert Doubt.objects.get().state == Doubt.State.ASKING


def test_what_became_a_tombstone_is_restored_by_a_human(upstream, anyone, sync, look_again):
    published(upstream, "1.0.0")
    sync(with_tarballs=True)
    upstream.fault("/left-pad", "status", code=404)
    sync()
    look_again()
    assert here(anyone) == 404
    call_command("removals", "keep", "left-pad", "--reason", WHY)
    assert here(anyone) == ["1.0.0"]
    assert anyone.download("left-pad", "1.0.0").status == 200
    assert sync() == (State.DONE, f"default answered 404 for left-pad; kept: {WHY}")
    assert look_again() == []
    assert here(anyone) == ["1.0.0"]


@pytest.mark.parametrize("verb", ["believe", "keep"])
def test_a_human_says_why(sync, many, verb):
    sync()
    with pytest.raises(CommandError, match="say why"):
        call_command("removals", verb, "left-pad", "--reason", "so")
    with pytest.raises(CommandError, match="nothing of right-pad is gone"):
        call_command("removals", verb, "right-pad", "--reason", WHY)
    assert Doubt.objects.get().state == Doubt.State.ASKING


def test_what_waits_is_listed(sync, many, capsys):
    call_command("removals")
    assert "Nothing that is here is gone" in capsys.readouterr().out
    sync()
    call_command("removals")
    assert f"asking    left-pad: {MASS_REMOVAL + 1} versions." in capsys.readouterr().out
    call_command("removals", "list", "--json")
    assert json.loads(capsys.readouterr().out)[0]["versions"] == sorted(many[2:])


# --- Halfway ------------------------------------------------------------------------------------------------------


def test_a_crash_before_it_is_remembered_is_made_good_by_the_next_look(upstream, anyone, sync, look_again, monkeypatch):
    published(upstream, "1.0.0", "1.1.0")
    sync()
    upstream.unpublish("left-pad", "1.1.0")
    with monkeypatch.context() as patch:
        patch.setattr(doubts, "seen", lambda *_: (_ for _ in ()).throw(MemoryError("killed")))
        task = queue.ask("left-pad", why="a test")
        running.run(task.pk)
        queue.cancel(task, "it crashed here", actor=doubts.Actor.system("a test"))
    assert not Doubt.objects.exists()
    sync()
    assert Doubt.objects.get().numbers.keys() == {"1.1.0"}
    look_again()
    assert here(anyone) == ["1.0.0"]
    assert not DistTag.objects.filter(version__number="1.1.0").exists()


# --- What a human believes is what they saw -----------------------------------------------------------------------


def test_what_goes_after_a_human_has_decided_is_another_question(upstream, anyone, sync, many):
    sync()
    call_command("removals", "believe", "left-pad", "--reason", WHY)
    upstream.unpublish("left-pad", many[1])
    assert sync()[0] == State.REFUSED
    assert here(anyone) == many[:2], "what was believed has gone, and what went since has not"
    assert Doubt.objects.get().numbers.keys() == {many[1]}


def test_a_404_after_a_human_believed_in_some_versions_is_a_first_look(upstream, anyone, sync, many):
    sync()
    call_command("removals", "believe", "left-pad", "--reason", WHY)
    upstream.fault("/left-pad", "status", times=1, code=404)
    sync()
    assert here(anyone) == many


def test_an_empty_list_after_a_human_believed_in_one_version_takes_no_more(upstream, anyone, sync):
    numbers = published(upstream, *(f"1.{n}.0" for n in range(5)))
    sync()
    upstream.unpublish("left-pad", numbers[0])
    sync()
    call_command("removals", "believe", "left-pad", "--reason", WHY)
    upstream.put_raw("left-pad", b'{"name":"left-pad","versions":{},"dist-tags":{}}')
    for _ in range(3):
        sync()
    assert here(anyone) == numbers[1:]
    assert Doubt.objects.get().state == Doubt.State.ASKING


def test_a_question_stays_though_what_is_left_of_it_is_little(upstream, anyone, sync, look_again, many):
    sync()
    published(upstream, *many[4:])
    assert sync()[0] == State.DONE
    assert Doubt.objects.get().state == Doubt.State.ASKING
    assert look_again() == []
    assert sorted(here(anyone)) == sorted(many)


def test_an_upstream_that_empties_slowly_is_found_out(upstream, anyone, sync, confirm, settings):
    settings.MASS_REMOVAL = 3
    names = [f"pad-{n}" for n in range(9)]
    for name in names:
        published(upstream, "1.0.0", name=name)
        sync(name)
    upstream.fault("/pad-*", "status", code=404)
    for start in range(0, 9, 2):
        for name in names[start : start + 2]:
            sync(name)
        confirm()
        for name in names[start : start + 2]:
            sync(name)
    assert [here(anyone, name) for name in names].count(404) <= 3
    assert Doubt.objects.filter(state=Doubt.State.ASKING).exists()


def test_what_one_upstream_said_does_not_count_of_another(upstream, sync, operator_moves):
    published(upstream, "1.0.0", "1.1.0")
    sync()
    upstream.unpublish("left-pad", "1.1.0")
    sync()
    assert Doubt.objects.exists()
    operator_moves()
    assert not Doubt.objects.exists()


@pytest.fixture
def operator_moves(upstream):
    def _move() -> None:
        Upstream.objects.create(name="other", url=upstream.url)
        moving.move("default", "other", actor=doubts.Actor.system("a test"))

    return _move


def test_two_first_looks_at_once_are_one_doubt(upstream, sync, crowd):
    published(upstream, "1.0.0")
    sync()
    source = Upstream.objects.get()
    looks = crowd(4, lambda: doubts.gone(PackageName.parse("left-pad"), source, "a test answered 404"))
    assert all("it is served until" in look.result().line for look in looks)
    assert Doubt.objects.count() == 1
