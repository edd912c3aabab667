"""When an upstream is asked again, and what for."""

import json

import pytest

from registry.models import Package
from sync import pullthrough

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _an_hour_is_fresh(upstream, settings):
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600
    upstream.publish("left-pad", "1.0.0")


def versions(answer) -> list[str]:
    assert answer.status == 200, answer.body
    return list(answer.json()["versions"])


def revision() -> int:
    return Package.objects.get(name="left-pad").revision


def test_what_is_fresh_is_not_asked_for_again(upstream, anyone):
    assert versions(anyone.view("left-pad")) == ["1.0.0"]
    upstream.publish("left-pad", "1.1.0")
    assert versions(anyone.view("left-pad")) == ["1.0.0"]
    assert upstream.count() == 1


def test_a_new_version_comes_when_the_time_is_over(upstream, anyone, later):
    anyone.view("left-pad")
    upstream.publish("left-pad", "1.1.0")
    later()
    assert versions(anyone.view("left-pad")) == ["1.0.0", "1.1.0"]


def test_the_second_question_is_a_conditional_one_and_its_304_is_good_for_another_while(upstream, anyone, later):
    first, before = anyone.view("left-pad"), revision()
    later()
    second = anyone.view("left-pad")
    assert upstream.last("/left-pad").headers["if-none-match"]
    assert (second.headers["etag"], revision()) == (first.headers["etag"], before)
    anyone.view("left-pad")
    assert upstream.count("/left-pad") == 2


def test_an_upstream_without_etags_is_asked_by_date(upstream, anyone, later):
    date = "Thu, 01 Jan 2015 00:00:00 GMT"
    body = json.dumps({"name": "dated", "versions": {}, "dist-tags": {}}).encode()
    upstream.put_raw("dated", body, headers={"last-modified": date})
    anyone.view("dated")
    later()
    anyone.view("dated")
    assert upstream.last("/dated").headers["if-modified-since"] == date


def test_the_same_words_once_more_are_no_news(upstream, anyone, later):
    upstream.validators = False
    first, before = anyone.view("left-pad"), revision()
    later()
    second = anyone.view("left-pad")
    assert "if-none-match" not in upstream.last("/left-pad").headers
    assert (second.headers["etag"], revision()) == (first.headers["etag"], before)


@pytest.mark.parametrize("path", ["/left-pad/1.1.0", "/left-pad/-/left-pad-1.1.0.tgz", "/left-pad/next"])
def test_a_version_that_is_not_known_yet_is_looked_for_at_once(upstream, anyone, path, monkeypatch):
    monkeypatch.setattr(pullthrough, "_RECHECK_SECONDS", 0)
    anyone.view("left-pad")
    upstream.publish("left-pad", "1.1.0", tag="next")
    assert anyone.send("GET", path).status == 200


def test_a_version_that_nobody_knows_is_not_looked_for_again_and_again(upstream, anyone, monkeypatch):
    monkeypatch.setattr(pullthrough, "_RECHECK_SECONDS", 3600)
    anyone.view("left-pad")
    for _ in range(3):
        answer = anyone.send("GET", "/left-pad/9.9.9")
        assert (answer.status, "left-pad has no version or tag 9.9.9" in answer.json()["error"]) == (404, True)
    assert upstream.count() == 1


def test_a_tarball_is_asked_for_once(upstream, anyone, later):
    first = anyone.download("left-pad", "1.0.0")
    later()
    second = anyone.download("left-pad", "1.0.0")
    assert first.raw == second.raw == upstream.tarball("left-pad", "1.0.0")
    assert upstream.count("*.tgz") == 1


def test_the_lockfile_of_a_machine_that_knows_nothing_is_enough(upstream, anyone):
    """`npm ci` asks for tarballs without asking for packuments."""
    answer = anyone.download("left-pad", "1.0.0")
    assert answer.raw == upstream.tarball("left-pad", "1.0.0")
    assert [request.path for request in upstream.requests] == ["/left-pad", "/left-pad/-/left-pad-1.0.0.tgz"]


def test_that_there_is_no_such_package_is_remembered_for_a_while_and_then_asked_again(upstream, anyone, later):
    for _ in range(3):
        assert anyone.view("right-pad").status == 404
    assert upstream.count("/right-pad") == 1
    upstream.publish("right-pad", "1.0.0")
    later()
    assert versions(anyone.view("right-pad")) == ["1.0.0"]


def test_a_package_that_is_gone_upstream_stays_here(upstream, anyone, later):
    anyone.download("left-pad", "1.0.0")
    upstream.unpublish("left-pad")
    later()
    assert versions(anyone.view("left-pad")) == ["1.0.0"]
    assert anyone.download("left-pad", "1.0.0").status == 200


def test_a_package_that_comes_back_is_asked_for_whole(upstream, anyone, later):
    anyone.view("left-pad")
    upstream.unpublish("left-pad")
    later()
    anyone.view("left-pad")
    upstream.publish("left-pad", "2.0.0")
    later()
    assert "2.0.0" in versions(anyone.view("left-pad"))
    assert "if-none-match" not in upstream.last("/left-pad").headers
