"""An upstream that is ill: what is here is served, what is not is asked for again later, and nothing half stays."""

import json

import pytest

from registry.models import Blob, Package
from sync import routing
from sync.models import SyncTask, Upstream
from tests.sync.test_http import scripted

pytestmark = pytest.mark.django_db(transaction=True)

ILLNESSES = {
    "too slow": ("slow", {"seconds": 30}),
    "dripping": ("drip", {"seconds": 0.2, "chunk": 1}),
    "an internal error": ("status", {"code": 500}),
    "a bad gateway": ("status", {"code": 502, "body": "<html>"}),
    "overloaded": ("status", {"code": 429, "headers": {"retry-after": "7"}}),
    "closed to us": ("status", {"code": 403}),
    "reset at once": ("reset", {}),
    "reset in the middle": ("reset", {"after": 40}),
    "cut off": ("truncate", {}),
    "flipping bits": ("wrong_bytes", {}),
    "a page that wants a login": ("not_json", {}),
    "redirecting to itself": ("redirect_loop", {}),
    "redirecting to nowhere": ("redirect", {"to": "http://127.0.0.1:1/"}),
    "without end": ("huge", {}),
}


@pytest.fixture(params=ILLNESSES)
def illness(request) -> tuple[str, dict]:
    return ILLNESSES[request.param]


@pytest.fixture(autouse=True)
def _little_patience(upstream, settings):
    settings.UPSTREAM_TIMEOUT_SECONDS, settings.UPSTREAM_BUDGET_SECONDS = 2, 0.5
    settings.MAX_PACKUMENT_BYTES = 1 << 20
    upstream.publish("left-pad", "1.0.0")


def versions(answer) -> list[str]:
    assert answer.status == 200, answer.body
    return list(answer.json()["versions"])


def test_what_is_here_is_served_and_what_is_new_comes_when_it_is_well(upstream, anyone, later, illness, eventually):
    kind, options = illness
    assert versions(anyone.view("left-pad")) == ["1.0.0"]
    upstream.publish("left-pad", "1.1.0")
    upstream.fault("/left-pad", kind, **options)
    later()
    assert versions(anyone.view("left-pad")) == ["1.0.0"]
    assert anyone.send("GET", "/left-pad/1.0.0").status == 200

    upstream.heal()
    later()
    eventually(lambda: later() or versions(anyone.view("left-pad")) == ["1.0.0", "1.1.0"])


def test_what_is_not_here_can_be_asked_for_again(upstream, anyone, later, illness, eventually):
    kind, options = illness
    upstream.fault("/left-pad", kind, **options)
    answer = anyone.view("left-pad")
    assert answer.status == 503
    assert answer.json()["error"].startswith("left-pad is not here, and default cannot be asked now")
    assert int(answer.headers["retry-after"]) > 0
    assert answer.headers["cache-control"] == "no-store"
    assert not Package.objects.exists()

    upstream.heal()
    eventually(lambda: later() or anyone.view("left-pad").status == 200)


def test_when_it_says_itself_when_to_come_back_we_say_so_too(upstream, anyone):
    upstream.fault("/left-pad", "status", code=429, headers={"retry-after": "7"})
    assert anyone.view("left-pad").headers["retry-after"] == "7"
    row = Upstream.objects.get()
    assert row.resting_until is not None
    assert "429" in row.last_error


def test_one_that_is_gone(upstream, anyone, later):
    assert versions(anyone.view("left-pad")) == ["1.0.0"]
    upstream.stop()
    later()
    assert versions(anyone.view("left-pad")) == ["1.0.0"]
    assert anyone.view("right-pad").status == 503
    upstream.start()
    later()
    assert anyone.view("right-pad").status == 404


def test_a_reader_who_did_not_wait_finds_the_answer_later(upstream, anyone, later, eventually, settings):
    settings.FRESH_SECONDS, settings.UPSTREAM_TIMEOUT_SECONDS = 3600, 30
    anyone.view("left-pad")
    upstream.publish("left-pad", "1.1.0")
    later()
    with upstream.gate("/left-pad") as gate:
        assert versions(anyone.view("left-pad")) == ["1.0.0"]
        gate.wait_arrived(1)
    eventually(lambda: versions(anyone.view("left-pad")) == ["1.0.0", "1.1.0"])
    assert upstream.count() == 2, "the fetch that nobody waited for was enough"


def test_a_failure_about_something_that_is_here_is_made_up_for_by_a_task(upstream, anyone, later, effects):
    anyone.view("left-pad")
    effects()
    upstream.fault("/left-pad", "status", code=500)
    later()
    anyone.view("left-pad")
    assert effects() == ["sync of left-pad: waiting"]
    assert SyncTask.objects.get().priority == SyncTask.Priority.MISS


def test_publishing_a_new_name_waits_for_an_upstream_that_can_be_asked(upstream, alice, later, effects):
    upstream.fault("/mine", "status", times=1, code=500)
    assert alice.publish("mine", "1.0.0").status == 503
    assert not Package.objects.exists()
    assert effects() == []
    assert alice.publish("mine", "1.0.0").status == 201


@pytest.mark.parametrize(
    "fault",
    [
        ("slow", {"seconds": 30}),
        ("status", {"code": 500}),
        ("status", {"code": 403}),
        ("status", {"code": 429, "headers": {"retry-after": "7"}}),
        ("reset", {}),
        ("reset", {"after": 40}),
        ("truncate", {}),
        ("wrong_bytes", {}),
        ("redirect_loop", {}),
        ("huge", {}),
        ("not_json", {}),
    ],
    ids=str,
)
def test_a_tarball_that_does_not_come_whole_is_not_kept_and_the_next_one_is(
    upstream, anyone, later, eventually, settings, fault
):
    kind, options = fault
    settings.MAX_TARBALL_BYTES = 1 << 20
    anyone.view("left-pad")
    upstream.fault("*.tgz", kind, **options)
    answer = anyone.download("left-pad", "1.0.0")
    assert (answer.status, int(answer.headers["retry-after"]) > 0) == (503, True)
    assert json.loads(answer.body)["error"]
    assert not Blob.objects.exists()

    upstream.heal()
    later()
    eventually(lambda: later() or anyone.download("left-pad", "1.0.0").raw == upstream.tarball("left-pad", "1.0.0"))
    assert Blob.objects.get().version_set.get().number == "1.0.0"


def test_a_tarball_that_the_upstream_does_not_have_is_not_found(upstream, anyone):
    upstream.fault("*.tgz", "status", code=404)
    answer = anyone.download("left-pad", "1.0.0")
    assert (answer.status, answer.json()["error"]) == (404, "default does not have the tarball of left-pad@1.0.0")


def test_a_tarball_that_is_here_needs_no_upstream(upstream, anyone, later):
    whole = anyone.download("left-pad", "1.0.0").raw
    upstream.stop()
    later()
    assert anyone.download("left-pad", "1.0.0").raw == whole


def test_words_of_an_upstream_that_no_database_keeps_are_an_illness_like_any_other(upstream, anyone, later, settings):
    """On PostgreSQL a NUL in a reason phrase would fail the very row that remembers the illness."""
    upstream.publish("left-pad", "1.0.0")
    assert anyone.view("left-pad").status == 200
    later()
    answer = b"HTTP/1.1 500 a\x00b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    with scripted(*[answer] * 4) as url:
        settings.UPSTREAM_URL, settings.FRESH_SECONDS = url, 0
        routing.forget()
        assert anyone.view("left-pad").status == 200, "what is here is served"
        assert anyone.view("unknown").status == 503
    source = Upstream.objects.get()
    assert (source.failures, "\0" in source.last_error) == (2, False)
