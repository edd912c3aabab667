"""Feeds of upstreams are followed: all that is wanted is asked for once, and nothing else is, whatever goes wrong."""

import json
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from registry.models import Package
from sync import credentials, feeds, following, queue, routing, running, tasks
from sync.models import FeedCursor, ScopeRule, SyncTask, Upstream
from tests.sync import feeding
from tests.sync.feeding import FeedingUpstream

pytestmark = pytest.mark.django_db(transaction=True)

Mode, Priority = ScopeRule.Mode, SyncTask.Priority


@pytest.fixture
def upstream(transactional_db):
    with FeedingUpstream() as fake:
        yield fake


@pytest.fixture
def source(upstream) -> Upstream:
    """Its row. All its names that begin with `pad-` are mirrored; of others we have what somebody asked for."""
    row = Upstream.objects.create(name="public", url=upstream.url)
    ScopeRule.objects.create(pattern="pad-*", mode=Mode.MIRROR, upstream=row)
    ScopeRule.objects.create(pattern="*", mode=Mode.PROXY, upstream=row)
    routing.forget()
    return row


@pytest.fixture
def follow(source):
    """`follow()`: look at the feed; gives the names that were asked for by it, and lets their tasks be over."""

    def _follow() -> list[str]:
        source.refresh_from_db()
        routing.forget()
        following.follow(source)
        asked = list(SyncTask.objects.live().order_by("pk").values_list("name", flat=True))
        SyncTask.objects.update(state=SyncTask.State.DONE)
        return asked

    return _follow


@pytest.fixture
def _begun(follow):
    """We have followed it up to now."""
    assert follow() == []


def have(name: str, origin: str | None = "public") -> None:
    Package.objects.create(name=name, origin=origin)


def cursor() -> FeedCursor:
    return FeedCursor.objects.get()


# --- What is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_begun")
def test_what_is_mirrored_is_fetched_with_tarballs_and_what_is_here_without(upstream, source):
    have("left")
    upstream.change("pad-new", "left", "never-heard-of")
    following.follow(source)
    found = SyncTask.objects.order_by("name").values_list("name", "with_tarballs", "priority", "why")
    assert list(found) == [
        ("left", False, Priority.FEED, "it changed on public"),
        ("pad-new", True, Priority.FEED, "it changed on public"),
    ]
    assert (cursor().since, cursor().newest, cursor().error) == ("103", "103", "")


@pytest.mark.usefixtures("_begun")
def test_only_what_the_guard_lets_in_is_asked_for(upstream, follow, settings):
    have("pad-ours", origin=None)
    have("pad-elsewhere", origin="another")
    have("@acme/here")
    ScopeRule.objects.create(pattern="pad-private", mode=Mode.PRIVATE)
    upstream.change("pad-ours", "pad-elsewhere", "@acme/here", "@acme/new", "pad-private")
    assert follow() == []
    assert upstream.count("/pad*") + upstream.count("/@acme*") == 0


@pytest.mark.usefixtures("_begun")
def test_what_went_away_is_looked_at_when_it_is_here(upstream, follow):
    have("pad-old")
    upstream.change("pad-old", "pad-never-here", deleted=True)
    assert follow() == ["pad-old"]


@pytest.mark.usefixtures("_begun")
def test_what_comes_twice_is_asked_for_once(upstream, follow):
    upstream.change("pad-a", "pad-b", "pad-a")
    assert follow() == ["pad-a", "pad-b"]
    assert follow() == []


@pytest.mark.usefixtures("_begun")
def test_what_is_no_package_is_passed_over(upstream, follow):
    ids = ["_design/app", "not a name", "pad-a\x00", "x" * 5000, "\ud83d", 5, None, "pad-a"]
    results = [{"seq": 101 + index, "id": one} for index, one in enumerate(ids)]
    results += [5, {"seq": 200}, {"id": "pad-b"}, {"seq": True, "id": "pad-c"}, {"seq": [], "id": "pad-d"}]
    upstream.put_raw("_changes", json.dumps({"results": results, "last_seq": 300}).encode())
    assert follow() == ["pad-a"]
    assert cursor().since == "300"


# --- Where it begins --------------------------------------------------------------------------------------------------


def test_it_begins_now_with_a_look_at_everything_here(upstream, follow):
    upstream.change("pad-a", "pad-b")
    have("pad-b")
    have("left")
    have("ours", origin=None)
    assert follow() == ["left", "pad-b"]
    assert set(SyncTask.objects.values_list("priority", flat=True)) == {Priority.BACKFILL}
    assert cursor().since == "102"


def test_a_larder_is_followed_from_its_beginning(upstream, source, follow):
    Upstream.objects.update(kind=Upstream.Kind.LARDER)
    upstream.change("pad-a", "pad-b")
    assert follow() == ["pad-a", "pad-b"]


def test_one_that_does_not_say_how_far_it_is_is_read_from_its_beginning(upstream, follow):
    upstream.fault("/", "status", code=404)
    upstream.change("pad-a")
    assert follow() == ["pad-a"]
    assert (cursor().since, cursor().newest) == ("101", "101")


def test_it_goes_on_from_where_the_cursor_stands(upstream, follow):
    upstream.change("pad-a", "pad-b", "pad-c")
    follow()
    FeedCursor.objects.update(since="101")
    assert follow() == ["pad-b", "pad-c"]


# --- How it goes on ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", ["npm", "cnpmcore"])
def test_many_pages_are_read_at_once(upstream, follow, monkeypatch, shape):
    monkeypatch.setattr(feeds, "PAGE", 3)
    upstream.shape = shape
    follow()
    upstream.change(*(f"pad-{number:02d}" for number in range(20)))
    assert follow() == [f"pad-{number:02d}" for number in range(20)]
    assert cursor().since == "120"


@pytest.mark.usefixtures("_begun")
def test_a_long_way_behind_is_caught_up_in_several_goes(upstream, follow, monkeypatch):
    monkeypatch.setattr(feeds, "PAGE", 1)
    monkeypatch.setattr(following, "_PAGES", 2)
    upstream.change("pad-a", "pad-b", "pad-c")
    assert follow() == ["pad-a", "pad-b"]
    assert (cursor().since, cursor().newest) == ("102", "103")
    assert follow() == ["pad-c"]


@pytest.mark.usefixtures("_begun")
def test_the_cursor_does_not_move_without_the_tasks(upstream, follow, monkeypatch):
    upstream.change("pad-a", "pad-b")
    asked = []

    def dies(name: str, **_wishes) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(name)
        ask(name, **_wishes)

    ask = queue.ask
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(queue, "ask", dies)
        follow()
    assert (cursor().since, SyncTask.objects.count()) == ("100", 0)
    assert follow() == ["pad-a", "pad-b"]


@pytest.mark.usefixtures("_begun")
def test_of_two_who_follow_one_takes_a_page(upstream, source, crowd):
    upstream.change("pad-a", "pad-b")
    with upstream.gate("/_changes") as gate:
        both = crowd(2, lambda: following.follow(source))
        gate.wait_arrived(2)
    for one in both:
        one.result()
    assert list(SyncTask.objects.values_list("name", "again")) == [("pad-a", False), ("pad-b", False)]
    assert cursor().since == "102"


@pytest.mark.parametrize("shape", ["npm", "cnpmcore"])
def test_gaps_that_stay_hold_nothing_up(upstream, follow, shape):
    upstream.shape = shape
    follow()
    upstream.change("pad-a", seq=120)
    upstream.change("pad-b", seq=140)
    assert follow() + follow() == ["pad-a", "pad-b"]
    assert cursor().since == "140"


def test_cnpmcores_numbers_that_come_late_are_not_missed(upstream, follow):
    upstream.shape = "cnpmcore"
    follow()
    upstream.change("pad-a")
    upstream.change("pad-c", seq=103)
    assert follow() == ["pad-a"]
    upstream.change("pad-b", seq=102)
    assert follow() == ["pad-b", "pad-c"]


# --- A feed that begins anew ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_begun")
@pytest.mark.parametrize("shape", ["npm", "cnpmcore"])
def test_a_feed_that_began_anew_is_followed_anew(upstream, follow, shape):
    upstream.shape = shape
    have("left")
    upstream.begin_anew()
    upstream.change("pad-a")
    assert follow() == []  # it may be a copy that is a little behind
    assert follow() == ["left"]
    assert cursor().since == "1"
    upstream.change("pad-b")
    assert follow() == ["pad-b"]


@pytest.mark.usefixtures("_begun")
def test_a_copy_that_is_behind_for_a_moment_is_no_new_feed(upstream, follow):
    have("left")
    upstream.newest = 90
    assert follow() == []
    upstream.newest = 100
    assert follow() == []
    upstream.newest = 99
    assert follow() == []
    assert cursor().since == "100"


@pytest.mark.usefixtures("_begun")
def test_a_root_that_is_behind_its_feed_is_no_new_feed(upstream, follow):
    have("left")
    upstream.shape = "cnpmcore"
    upstream.change("pad-a")
    assert follow() == ["pad-a"]
    upstream.newest = 50
    assert follow() + follow() + follow() == []
    assert cursor().since == "101"


# --- What goes wrong --------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_begun")
@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("status", {"code": 503}, "503"),
        ("status", {"code": 404}, "404"),
        ("status", {"code": 200, "body": "{}"}, "is no changes feed: set the one that public has"),
        ("status", {"code": 200, "body": "[]"}, "is no changes feed"),
        ("status", {"code": 200, "body": '{"results": 5}'}, "is no changes feed"),
        ("status", {"code": 200, "body": '{"results": [{"id": "pad-a"}]}'}, "is no changes feed"),
        ("not_json", {}, "did not answer with JSON"),
        ("reset", {}, "broke the connection off"),
        ("truncate", {}, "broke off before the end"),
    ],
    ids=str,
)
def test_why_a_feed_cannot_be_read_is_in_its_row(upstream, follow, kind, options, words):
    upstream.change("pad-a")
    upstream.fault("/_changes", kind, **options)
    assert follow() == []
    assert words in cursor().error
    assert cursor().since == "100"
    assert Upstream.objects.get().resting_until is None  # packages still come from it
    upstream.heal()
    assert follow() == ["pad-a"]
    assert cursor().error == ""


@pytest.mark.usefixtures("_begun")
def test_a_huge_page_is_not_read_to_its_end(upstream, follow, monkeypatch):
    monkeypatch.setattr(feeds, "_MOST_BYTES", 100_000)
    upstream.fault("/_changes", "huge")
    assert follow() == []
    assert "sent more than 100000 bytes" in cursor().error


# --- Which, and when --------------------------------------------------------------------------------------------------


def test_followed_is_what_a_rule_mirrors_or_an_operator_says(upstream, source, settings):
    def names() -> set[str]:
        return {one.name for one in following.followed()}

    fallback = Upstream.objects.create(name="fallback", url="http://fallback.example")
    Upstream.objects.create(name="only proxied", url="http://proxied.example")
    Upstream.objects.create(name="said", url="http://said.example", feed_url="http://feed.example/_changes")
    for kind in (Upstream.Kind.VERDACCIO, Upstream.Kind.FOLDER, Upstream.Kind.CNPMJSORG):
        row = Upstream.objects.create(name=kind, url="http://without.example", kind=kind)
        ScopeRule.objects.create(pattern=f"{kind}-*", mode=Mode.MIRROR, upstream=row)
    assert names() == {"public", "said", "cnpmjsorg"}
    ScopeRule.objects.filter(pattern="cnpmjsorg-*").delete()

    ScopeRule.objects.get(pattern="pad-*").fallbacks.create(upstream=fallback)
    assert names() == {"public", "said", "fallback"}
    Upstream.objects.filter(name="said").update(is_enabled=False)
    ScopeRule.objects.filter(pattern="pad-*").update(mode=Mode.PROXY)
    assert names() == set()

    ScopeRule.objects.create(pattern="any-*", mode=Mode.MIRROR)
    assert names() == set()
    settings.UPSTREAM_URL = upstream.url
    assert names() == {"default"}
    settings.UPSTREAM_URL = "none"
    assert names() == set()


def test_what_is_new_on_the_second_upstream_of_a_rule_is_asked_for(upstream, source):
    """At the first one too, in their order, as always."""
    with FeedingUpstream() as partner:
        row = Upstream.objects.create(name="partner", url=partner.url)
        ScopeRule.objects.get(pattern="pad-*").fallbacks.create(upstream=row)
        routing.forget()
        following.follow(row)
        partner.publish("pad-new", "1.0.0")
        partner.change("pad-new")
        Upstream.objects.filter(pk=source.pk).update(is_enabled=False)
        routing.forget()
        following.follow(row)
        task = SyncTask.objects.get(name="pad-new")
        assert "public is switched off, and nobody is asked in its place" in running.run(task.pk).line
        task.refresh_from_db()
        assert (task.state, task.attempts) == (SyncTask.State.WAITING, 0), "it waits, and that is no attempt"
        Upstream.objects.filter(pk=source.pk).update(is_enabled=True)
        routing.forget()
        queue.hurry(task)
        running.run(task.pk)
    assert Package.objects.get(name="pad-new").origin == "partner"


def test_each_is_looked_at_once_in_a_while(source, settings):
    settings.FEED_SECONDS = 30
    assert following.due() == [source]
    assert following.due() == []
    pass_by(31)
    assert following.due() == [source]


def test_one_that_fails_is_left_alone_for_longer_each_time(upstream, source, follow, settings):
    settings.FEED_SECONDS = 30
    following.due()
    upstream.fault("/_changes", "status", code=500)
    rests = []
    for _ in range(9):
        follow()
        before = timezone.now()
        rests.append((cursor().resting_until - before).total_seconds())
        pass_by(31)
        assert following.due() == []
        FeedCursor.objects.update(resting_until=timezone.now())
        assert following.due() == [source]
        Upstream.objects.update(failures=0, resting_until=None)
    longest = [min(30.0 * 2**failures, 3600.0) for failures in range(9)]
    assert all(most / 2 - 1 <= rest <= most for rest, most in zip(rests, longest, strict=True)), rests
    upstream.heal()
    follow()
    assert (cursor().failures, cursor().resting_until, cursor().error) == (0, None, "")


def test_one_that_says_when_to_come_back_is_left_alone_for_so_long(upstream, source, follow):
    upstream.fault("/_changes", "status", code=429, headers={"retry-after": "500"})
    follow()
    assert (cursor().resting_until - timezone.now()).total_seconds() > 500


def test_one_that_rests_is_not_asked(source):
    Upstream.objects.update(resting_until=timezone.now() + timedelta(seconds=60))
    assert following.due() == []


def pass_by(seconds: int) -> None:
    """Time passes since the feed was last looked at."""
    row = cursor()
    FeedCursor.objects.update(updated_at=row.updated_at - timedelta(seconds=seconds))


def test_a_worker_looks_at_each(upstream, source, monkeypatch):
    Upstream.objects.update(kind=Upstream.Kind.LARDER)
    upstream.change("pad-a")
    sent = []
    monkeypatch.setattr(tasks.follow_feed, "apply_async", lambda arguments, **_options: sent.append(arguments))
    tasks.follow_feeds()
    assert sent == [(source.pk,)]
    tasks.follow_feed(source.pk)
    assert SyncTask.objects.get().name == "pad-a"
    Upstream.objects.filter(pk=source.pk).update(is_enabled=False)
    tasks.follow_feed(10**9)  # one that is gone by now


def test_operators_see_how_far_behind_we_are(admin_client, source):
    FeedCursor.objects.create(upstream=source, since="1000", newest="1250", error="it is ill")
    page = admin_client.get("/-/admin/sync/feedcursor/").content.decode()
    assert all(f">{shown}</td>" in page for shown in ("1000", "1250", "250", "it is ill"))
    FeedCursor.objects.update(newest="")
    assert following.lag(cursor()) is None


# --- Credentials ------------------------------------------------------------------------------------------------------


def test_credentials_are_shown_to_the_feed_of_the_upstream_itself(upstream, source, follow):
    Upstream.objects.update(credentials=credentials.sealed("a-token"), kind=Upstream.Kind.LARDER)
    upstream.authorization = "Bearer a-token"
    upstream.change("pad-a")
    assert follow() == ["pad-a"]


def test_and_to_no_feed_elsewhere(upstream, source, follow):
    with FeedingUpstream() as elsewhere:
        feed_url = f"{elsewhere.url}/_changes"
        Upstream.objects.update(credentials=credentials.sealed("a-token"), feed_url=feed_url)
        follow()
        elsewhere.change("pad-a")
        assert follow() == ["pad-a"]
        assert {"authorization" in request.headers for request in elsewhere.requests} == {False}


# --- cnpmjs.org, whose places are moments -----------------------------------------------------------------------------


@pytest.fixture
def moments(upstream, follow, source) -> int:
    """A feed of cnpmjs.org, followed since a moment an hour ago."""
    upstream.shape = "cnpmjsorg"
    Upstream.objects.filter(pk=source.pk).update(kind=Upstream.Kind.CNPMJSORG)
    assert follow() == []
    hour_ago = int(cursor().since) - 3_600_000
    FeedCursor.objects.update(since=str(hour_ago))
    return hour_ago


def test_cnpmjs_orgs_changes_of_one_moment_are_all_read_whatever_the_page(upstream, follow, moments, monkeypatch):
    monkeypatch.setattr(feeds, "PAGE", 4)
    for number in range(15):
        have(f"pad-{number}")
    upstream.change(*(f"pad-{number}" for number in range(3)), seq=moments + 1)
    upstream.change(*(f"pad-{number}" for number in range(3, 13)), seq=moments + 2)  # more than a page of one moment
    upstream.change(*(f"pad-{number}" for number in range(13, 15)), seq=moments + 3)
    assert sorted(follow()) == sorted(f"pad-{number}" for number in range(15))
    assert follow() == [], "and once"


def test_cnpmjs_orgs_last_minute_is_left_for_later(upstream, follow, moments):
    have("early")
    have("late")
    upstream.change("early", seq=moments + 1)
    now = moments + 3_600_000
    upstream.change("late", seq=now - 1000)
    assert follow() == ["early"]
    assert int(cursor().since) == moments + 2
    assert following.lag(FeedCursor.objects.select_related("upstream").get()) is None


def test_cnpmjs_orgs_moments_that_are_none_are_passed_over(upstream, follow, moments):
    have("good")
    upstream.change("good", seq=moments + 5)
    page = {"results": [{"id": "x", "gmt_modified": 5}, {"id": 7}, "y", {"id": "z", "gmt_modified": "soon"}]}
    page["results"].append({"id": "good", "gmt_modified": feeding._moment(moments + 5)})
    upstream.put_raw("_changes", json.dumps(page).encode())
    assert follow() == ["good"]


def test_a_feed_of_cnpmjs_org_that_is_in_no_order_does_not_take_the_cursor_back(upstream, follow, moments):
    have("new")
    rows = [{"id": "old", "gmt_modified": "2019-01-01T00:00:00Z"}]
    rows += [{"id": "new", "gmt_modified": feeding._moment(moments + 7)}, {"id": "x", "gmt_modified": "2018-01-01"}]
    upstream.put_raw("_changes", json.dumps({"results": rows}).encode())
    asked = upstream.count("/_changes")
    assert follow() == ["new"]
    assert int(cursor().since) == moments + 8
    assert upstream.count("/_changes") - asked <= 2


def test_a_feed_that_says_less_than_it_gives_does_not_take_the_cursor_back(upstream, source, follow):
    upstream.put_raw("", b'{"update_seq": 50}')
    page = {"results": [{"seq": 10, "id": "pad-x", "changes": []}], "last_seq": 3}
    upstream.put_raw("_changes", json.dumps(page).encode())
    follow()
    follow()
    assert int(cursor().since) >= 50


def test_too_many_of_one_moment_are_said_to_be_so(upstream, follow, moments, monkeypatch):
    monkeypatch.setattr(feeds, "PAGE", 2)
    monkeypatch.setattr(feeds, "_MOST_AT_ONCE", 4)
    upstream.change(*(f"pad-{number}" for number in range(9)), seq=moments + 1)
    assert follow() == []
    assert "more than 4 changes of one moment" in cursor().error


# --- Tarballs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "mode", "tarballs", "is_eager"),
    [
        ("pad-*", "mirror", "", True),
        ("pad-*", "mirror", "lazy", False),
        ("*", "proxy", "", False),
        ("*", "proxy", "eager", True),
    ],
)
@pytest.mark.usefixtures("_begun")
def test_tarballs_come_with_versions_or_when_they_are_asked_for(
    upstream, source, follow, pattern, mode, tarballs, is_eager
):
    name = "pad-1" if pattern == "pad-*" else "other"
    call_command("rule", "set", pattern, mode, "public", *(["--tarballs", tarballs] if tarballs else []))
    have(name)
    upstream.change(name)
    assert follow() == [name]
    assert SyncTask.objects.get(name=name).with_tarballs is is_eager
