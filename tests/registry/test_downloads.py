"""Downloads: what is counted, that none is lost, and what is told of them to whom."""

import base64
import threading
import time
from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from registry import blobs, counting, downloads, janitor
from registry.counting import Reader, Tarball
from registry.models import Download, Downloader
from tests.actors import publish_body
from tests.registry.cast import READS, gather, restrict
from tests.server import Server
from tests.threads import PassingThreads

pytestmark = pytest.mark.django_db(transaction=True)

TODAY = date(2026, 3, 10)


@pytest.fixture(autouse=True)
def _nothing_counted(transactional_db):
    """What other tests of this process downloaded is not ours, and what ours do is not theirs."""
    counting.flush()
    Download.objects.all().delete()
    Downloader.objects.all().delete()
    yield
    counting.flush()
    Download.objects.all().delete()
    Downloader.objects.all().delete()


@pytest.fixture
def today(monkeypatch) -> date:
    """A day on which nothing changes at midnight."""
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 3, 10, 12, tzinfo=UTC))
    return TODAY


def add(package: str, days_ago: int, count: int, version: str = "1.0.0") -> None:
    day = TODAY - timedelta(days=days_ago)
    Download.objects.create(package=package, version=version, day=day, count=count)


def rows() -> dict[tuple[str, str], int]:
    counting.flush()
    return {(row.package, row.version): row.count for row in Download.objects.all()}


def told(person, path: str):
    answer = person.send("GET", path)
    assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store"), answer.body
    return answer.json()


def refused(answer, status: int, word: str) -> None:
    assert answer.status == status, answer.body
    assert word in answer.json()["error"]


# --- What is counted -------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("_either_way")
def test_each_tarball_that_is_sent_counts(anyone, alice, pad):
    for person in (anyone, anyone, alice):
        assert person.download(pad, "1.0.0").status == 200
    anyone.download(pad, "1.1.0")
    assert anyone.send("GET", "/@acme/pad/-/@acme/pad-1.1.0.tgz").status == 200
    assert anyone.send("GET", "/@acme%2fpad/download/pad-1.1.0.tgz?x=1").status == 200
    assert rows() == {(pad, "1.0.0"): 3, (pad, "1.1.0"): 3}
    anyone.download(pad, "1.1.0")
    assert rows() == {(pad, "1.0.0"): 3, (pad, "1.1.0"): 4}
    assert Download.objects.first().day == timezone.now().date()


@pytest.mark.usefixtures("_either_way")
def test_a_large_tarball_counts_once_as_well(anyone, alice):
    alice.publish("left-pad", "1.0.0", files={"noise": " ".join(map(str, range(30_000)))})
    assert [anyone.download("left-pad", "1.0.0").status for _ in range(3)] == [200] * 3
    assert anyone.send("HEAD", "/left-pad/-/left-pad-1.0.0.tgz").status == 200
    assert rows() == {("left-pad", "1.0.0"): 3}


@pytest.mark.usefixtures("_either_way")
def test_what_sends_no_tarball_counts_nothing(anyone, pad):
    etag = anyone.download(pad, "1.0.0").headers["etag"]
    rows()
    Download.objects.all().delete()
    Downloader.objects.all().delete()
    path = "/@acme/pad/-/pad-1.0.0.tgz"
    assert anyone.send("HEAD", path).status == 200
    assert anyone.download(pad, "1.0.0", **{"If-None-Match": etag}).status == 304
    assert anyone.download(pad, "1.0.0", Range="bytes=10-").status == 206
    assert anyone.download(pad, "1.0.0", Range="bytes=999999-").status == 416
    assert anyone.download(pad, "9.9.9").status == 404
    assert anyone.view(pad).status == 200
    restrict(pad)
    assert anyone.send("GET", path + "?again").status == 404
    assert rows() == {}


def test_a_redirect_to_the_object_store_counts(anyone, pad, monkeypatch):
    monkeypatch.setattr(blobs, "path", lambda sha512: None)
    monkeypatch.setattr(blobs, "url", lambda sha512: "https://bucket.example/x")
    assert anyone.download(pad, "1.0.0").status == 302
    assert anyone.download(pad, "1.0.0", Range="bytes=10-").status == 302
    assert rows() == {(pad, "1.0.0"): 1}


def test_a_tarball_that_the_web_server_sends_for_us_counts(anyone, pad, settings):
    settings.ACCEL_PREFIX = "/blobs"
    assert anyone.download(pad, "1.0.0").status == 200
    assert rows() == {(pad, "1.0.0"): 1}


def test_a_tarball_on_its_way_from_an_upstream_counts(upstream, anyone):
    upstream.publish("left-pad", "1.0.0")
    assert anyone.download("left-pad", "1.0.0").status == 200
    assert rows() == {("left-pad", "1.0.0"): 1}


@pytest.mark.usefixtures("_either_way")
def test_whoever_downloads_waits_for_no_write(anyone, pad):
    with CaptureQueriesContext(connection) as queries:
        anyone.download(pad, "1.0.0")
        anyone.download(pad, "1.0.0")
    assert not [one["sql"] for one in queries if not one["sql"].startswith("SELECT")]
    assert not Download.objects.exists()
    assert rows() == {(pad, "1.0.0"): 2}


# --- None is lost ----------------------------------------------------------------------------------------------------


def test_what_cannot_be_written_waits(monkeypatch):
    counting.count("left-pad", "left-pad-1.0.0.tgz", Reader())

    def fail(*_: object) -> None:
        counting.count("left-pad", "left-pad-1.0.0.tgz", Reader())  # meanwhile
        raise OperationalError("the database is away")

    with monkeypatch.context() as patch:
        patch.setattr(counting, "_add", fail)
        counting.flush()
    assert not Download.objects.exists()
    assert rows() == {("left-pad", "1.0.0"): 2}


def test_many_who_count_and_write_at_once_lose_none():
    names = [f"box-{number}" for number in range(20)]

    def work(number: int) -> None:
        for name in names[number:] + names[:number]:
            counting.count(name, f"{name}-1.0.0.tgz", Reader())
        counting.flush()

    with PassingThreads(8) as crowd:
        list(crowd.map(work, range(16)))
    assert rows() == {(name, "1.0.0"): 16 for name in names}


def test_two_processes_that_add_the_same_rows_add_up():
    counts = {Tarball(f"box-{number}", f"box-{number}-1.0.0.tgz"): 1 for number in range(1200)}
    with PassingThreads(4) as crowd:
        list(crowd.map(lambda _: counting._add(dict(reversed(counts.items())), TODAY), range(8)))
    assert set(rows().values()) == {8}
    assert Download.objects.count() == 1200


def test_the_thread_writes_by_itself_until_it_is_stopped(monkeypatch):
    monkeypatch.setattr(counting, "_WRITE_SECONDS", 0.01)
    written = []
    monkeypatch.setattr(counting, "_add", lambda counts, day: written.append(counts))
    counting.start()
    try:
        counting.count("left-pad", "left-pad-1.0.0.tgz", Reader())
        deadline = time.monotonic() + 20
        while not written and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        counting.count("left-pad", "left-pad-2.0.0.tgz", Reader())
        counting.stop()
    assert sum(sum(counts.values()) for counts in written) == 2


def test_a_server_that_is_stopped_has_written_all_that_it_counted():
    with Server(workers=2, threads=4) as server:
        credentials = {"name": "alice", "password": "correct horse battery", "type": "user"}
        token = server.send("PUT", "/-/user/org.couchdb.user:alice", body=_json(credentials)).json()["token"]
        body = _json(publish_body("left-pad", "1.0.0"))
        assert server.send("PUT", "/left-pad", body=body, headers={"Authorization": f"Bearer {token}"}).status == 201
        for _ in range(9):
            assert server.get("/left-pad/-/left-pad-1.0.0.tgz").status == 200
        server.stop()
        server.start()
        assert server.get("/downloads/point/last-week/left-pad").json()["downloads"] == 9


def _json(value: object) -> bytes:
    import json

    return json.dumps(value).encode()


# --- What is told ----------------------------------------------------------------------------------------------------


def test_a_point_is_the_sum_and_a_range_has_each_day(anyone, pad, today):
    add(pad, 0, 5)
    add(pad, 0, 2, version="1.1.0")
    add(pad, 2, 3)
    add(pad, 7, 100)
    add("other", 0, 1000)
    week = {"start": "2026-03-04", "end": "2026-03-10", "package": pad}
    for spelling in ("@acme/pad", "@acme%2fpad", "%40acme%2Fpad", "@acme/pad/"):
        assert told(anyone, f"/downloads/point/last-week/{spelling}") == {"downloads": 10, **week}
        answer = told(anyone, f"/downloads/range/last-week/{spelling}")
        assert [one["downloads"] for one in answer.pop("downloads")] == [0, 0, 0, 0, 3, 0, 7]
        assert answer == week
    days = told(anyone, f"/downloads/range/last-week/{pad}")["downloads"]
    assert (days[0], days[-1]) == ({"downloads": 0, "day": "2026-03-04"}, {"downloads": 7, "day": "2026-03-10"})


@pytest.mark.parametrize(
    ("period", "start", "end", "count"),
    [
        ("last-day", "2026-03-10", "2026-03-10", 1),
        ("last-week", "2026-03-04", "2026-03-10", 11),
        ("last-month", "2026-02-09", "2026-03-10", 111),
        ("last-year", "2025-03-11", "2026-03-10", 1111),
        ("2026-03-04", "2026-03-04", "2026-03-04", 10),
        ("2026-02-01:2026-03-04", "2026-02-01", "2026-03-04", 110),
        ("2026-03-04:2026-02-01", "2026-02-01", "2026-03-04", 110),
        ("2024-09-07:2026-03-10", "2024-09-07", "2026-03-10", 1111),
        ("0001-01-01", "0001-01-01", "0001-01-01", 0),
        ("9999-12-31", "9999-12-31", "9999-12-31", 0),
    ],
)
def test_periods(anyone, pad, today, period, start, end, count):
    for days_ago, number in {0: 1, 6: 10, 29: 100, 364: 1000}.items():
        add(pad, days_ago, number)
    expected = {"downloads": count, "start": start, "end": end}
    assert told(anyone, f"/downloads/point/{period}/{pad}") == {**expected, "package": pad}
    assert told(anyone, f"/downloads/point/{period}") == expected
    days = told(anyone, f"/downloads/range/{period}")["downloads"]
    assert sum(one["downloads"] for one in days) == count
    assert len(days) == (date.fromisoformat(end) - date.fromisoformat(start)).days + 1


NO_PERIODS = [
    "last-decade", "2026", "2026-13-01", "2026-02-30", "0000-01-01", "20260101", "2026-W01-1", "2026-01-01:",
    "2026-01-01:2026-01-02:2026-01-03", "2026-01-01:soon", "\u0662\u0660\u0662\u0666-01-01", ":", "2026-01-01\n", "💥",
]  # fmt: skip


def test_what_is_no_period_is_refused_in_words(anyone, pad):
    for period in map(quote, NO_PERIODS):
        refused(anyone.send("GET", f"/downloads/point/{period}/{pad}"), 400, "last-week")
        refused(anyone.send("GET", f"/downloads/range/{period}"), 400, "last-week")


@pytest.mark.parametrize("period", ["2024-09-06:2026-03-10", "2026-03-10:2024-09-06", "0001-01-01:9999-12-31"])
def test_more_than_18_months_are_refused_in_words(anyone, pad, period):
    refused(anyone.send("GET", f"/downloads/range/{period}/{pad}"), 400, "18 months")


def test_several_packages_at_once(anyone, alice, pad, today):
    alice.publish("left-pad", "1.0.0")
    add(pad, 0, 5)
    day = {"start": "2026-03-10", "end": "2026-03-10"}
    assert told(anyone, f"/downloads/point/last-day/{pad},left-pad,nobody") == {
        pad: {"downloads": 5, **day, "package": pad},
        "left-pad": {"downloads": 0, **day, "package": "left-pad"},
        "nobody": None,
    }
    ranges = told(anyone, f"/downloads/range/last-day/left-pad,{pad}")
    assert ranges[pad]["downloads"] == [{"downloads": 5, "day": "2026-03-10"}]


def test_what_cannot_be_told_is_refused_in_words(anyone):
    refused(anyone.send("GET", "/downloads/point/last-day/nobody"), 404, "nobody is not in this registry")
    refused(anyone.send("GET", "/versions/nobody/last-week"), 404, "nobody is not in this registry")
    refused(anyone.send("GET", "/downloads/point/last-day/a,,b"), 400, "not a package name")
    refused(anyone.send("GET", "/downloads/point/last-day/a/b/c"), 400, "not a package name")
    many = ",".join(f"box-{number}" for number in range(129))
    refused(anyone.send("GET", f"/downloads/point/last-day/{many}"), 400, "128")
    assert anyone.send("GET", "/downloads/point/last-day/%00").status == 404
    assert anyone.send("PUT", "/downloads/point/last-day/nobody").status == 405


def test_each_version_of_last_week(anyone, pad, today):
    add(pad, 0, 5)
    add(pad, 3, 2)
    add(pad, 1, 7, version="1.1.0")
    add(pad, 8, 99, version="2.0.0-rc.1")
    assert told(anyone, "/versions/@acme%2fpad/last-week") == {"package": pad, "downloads": {"1.0.0": 7, "1.1.0": 7}}


def test_only_who_may_read_a_package_is_told(today):
    cast = gather("@acme/pad")
    add("@acme/pad", 0, 5)
    add("gone", 0, 1)
    for is_restricted in (False, True):
        restrict("@acme/pad", is_restricted=is_restricted)
        for who, person in cast.items():
            status = READS[who][is_restricted]
            for path in ("/downloads/point/last-day/@acme/pad", "/downloads/range/last-day/@acme/pad",
                         "/versions/@acme/pad/last-week"):  # fmt: skip
                assert person.send("GET", path).status == status, who
            several = told(person, "/downloads/point/last-day/@acme/pad,gone")
            assert several == {"@acme/pad": several["@acme/pad"] if status == 200 else None, "gone": None}, who
            assert (several["@acme/pad"] is not None) == (status == 200), who
            assert told(person, "/downloads/point/last-day")["downloads"] == (6 if status == 200 else 1), who


@pytest.mark.parametrize("path", ["/downloads/point/last-day", "/downloads/point/last-day/left-pad",
                                  "/versions/left-pad/last-week"])  # fmt: skip
def test_a_closed_registry_tells_nobody(anyone, alice, settings, path):
    alice.publish("left-pad", "1.0.0")
    settings.ANONYMOUS_READ = False
    assert anyone.send("GET", path).status == 401
    assert told(alice, path)


@pytest.mark.parametrize("name", ["downloads", "versions"])
def test_packages_of_these_names_are_packages(alice, anyone, name):
    assert alice.publish(name, "1.0.0", tag="last-week").status == 201
    assert anyone.view(name).json()["name"] == name
    for spec in ("1.0.0", "last-week", "latest"):
        assert anyone.send("GET", f"/{name}/{spec}").json()["version"] == "1.0.0"
    assert anyone.download(name, "1.0.0").status == 200
    assert told(anyone, f"/downloads/point/last-day/{name}")["package"] == name
    assert told(anyone, f"/versions/{name}/last-week")["package"] == name


# --- By whom ---------------------------------------------------------------------------------------------------------


def who() -> dict[str, int]:
    counting.flush()
    return dict(Downloader.objects.values_list("who", "count"))


@pytest.mark.usefixtures("_either_way")
def test_who_downloaded_it_is_the_person_of_the_token_or_an_address(today, alice, anyone, pad):
    for _ in range(2):
        alice.download(pad, "1.0.0")
    basic = base64.b64encode(f"whatever:{alice.token}".encode()).decode()
    anyone.send("GET", f"/{pad}/-/{pad}-1.0.0.tgz", headers={"Authorization": f"Basic {basic}"})
    anyone.download(pad, "1.0.0")
    anyone.send("GET", f"/{pad}/-/{pad}-1.0.0.tgz", headers={"Authorization": "Bearer no token of ours"})
    assert who() == {"user:alice": 3, "address:127.0.0.1": 2}
    alice.download(pad, "1.0.0")
    assert who()["user:alice"] == 4
    row = Downloader.objects.get(who="user:alice")
    assert (row.package, row.version, row.first_day, row.last_day) == (pad, "1.0.0", today, today)


def test_a_password_says_only_where_it_comes_from(alice, anyone, pad):
    basic = base64.b64encode(b"alice:correct horse battery").decode()
    anyone.send("GET", f"/{pad}/-/{pad}-1.0.0.tgz", headers={"Authorization": f"Basic {basic}"})
    assert who() == {"address:127.0.0.1": 1}


@pytest.mark.parametrize(
    "authorization", ["Basic \xe9", "\xff", "Basic !!!", "Basic", "Bearer", "Bearer \x00", "Basic /w==", "x" * 9000]
)
def test_credentials_that_are_none_are_nobodys(authorization):
    counting.count("left-pad", "left-pad-1.0.0.tgz", Reader(authorization, "192.0.2.7"))
    assert who() == {"address:192.0.2.7": 1}


def test_nothing_ends_the_thread_that_writes(monkeypatch):
    monkeypatch.setattr(counting, "_WRITE_SECONDS", 0.01)
    add, failed = counting._add, threading.Event()

    def fail_once(counts, day):
        monkeypatch.setattr(counting, "_add", add)
        failed.set()
        raise ValueError("nobody thought of this")

    monkeypatch.setattr(counting, "_add", fail_once)
    counting.start()
    try:
        counting.count("left-pad", "left-pad-1.0.0.tgz", Reader())
        assert failed.wait(20)
        counting.count("left-pad", "left-pad-1.1.0.tgz", Reader())
        deadline = time.monotonic() + 20
        while not Download.objects.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        counting.stop()
    assert Download.objects.get().version == "1.1.0"


def test_while_nothing_can_be_written_only_numbers_are_kept(monkeypatch):
    monkeypatch.setattr(counting, "_MOST", 10)
    for number in range(50):
        counting.count("left-pad", "left-pad-1.0.0.tgz", Reader(f"Bearer {number}", "192.0.2.7"))
    counting.count("left-pad", "left-pad-1.0.0.tgz", Reader.of({"HTTP_AUTHORIZATION": "x" * 5000}))
    assert len(counting._counts) == 11
    assert rows() == {("left-pad", "1.0.0"): 51}


def test_nobody_is_noted_where_that_is_switched_off(anyone, pad, settings):
    settings.DOWNLOADERS_DAYS = 0
    anyone.download(pad, "1.0.0")
    assert (who(), rows()) == ({}, {(pad, "1.0.0"): 1})


def test_after_a_month_it_is_forgotten(today, anyone, pad):
    anyone.download(pad, "1.0.0")
    assert who()
    for days, left in ((29, 1), (30, 0)):
        Downloader.objects.update(last_day=today - timedelta(days=days))
        assert downloads.downloaders(pad).count() == left
        janitor.sweep()
        assert Downloader.objects.count() == left
