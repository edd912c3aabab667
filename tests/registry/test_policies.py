"""Policies hide, rewrite and refuse, in documents and at tarballs alike, and say why."""

import time

import pytest

from registry import policies
from registry.manifests import Fragments
from registry.policies import Judgement
from tests.actors import CORGI
from tests.registry.scripted import Scripted, touch

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("_either_way")]

REASON = "it mines coins: wait for 1.1.1"


def seen(person, name: str, accept: str = "*/*") -> dict:
    """The document, the second time that it is asked for."""
    answers = [person.view(name, accept=accept) for _ in range(2)]
    assert answers[0].raw == answers[1].raw
    return answers[1].json()


def test_a_hidden_version_is_not_there_and_the_document_says_why(anyone, pad, judge):
    etag = anyone.view(pad).headers["etag"]
    judge(hidden={"1.1.0": REASON})
    for accept in ("*/*", CORGI):
        document = seen(anyone, pad, accept)
        assert list(document["versions"]) == ["1.0.0", "2.0.0-rc.1"]
        assert document["dist-tags"] == {"latest": "1.0.0", "next": "2.0.0-rc.1"}
        assert document["policyRestrictions"] == {"message": REASON, "versions": {"1.1.0": {"version": "1.1.0"}}}
    assert anyone.view(pad, if_none_match=etag).status == 200


def test_nor_is_it_found_in_any_other_way(anyone, pad, judge):
    judge(hidden={"1.1.0": REASON})
    answer = anyone.send("GET", "/@acme%2fpad/1.1.0")
    assert (answer.status, answer.json()["error"]) == (451, f"@acme/pad@1.1.0 is withheld: {REASON}")
    assert answer.reason == f"@acme/pad@1.1.0 is withheld: {REASON}"  # all that pnpm and yarn berry show
    for spec in ("latest", "^1.0.0"):
        assert anyone.send("GET", f"/@acme%2fpad/{spec}").json()["version"] == "1.0.0"
    assert anyone.send("GET", "/-/package/@acme%2fpad/dist-tags").json()["latest"] == "1.0.0"
    assert anyone.download(pad, "1.1.0").status == 200  # only refusing takes what lockfiles name


def test_where_all_is_hidden_there_is_no_latest(anyone, pad, judge):
    judge(hidden=dict.fromkeys(["1.0.0", "1.1.0", "2.0.0-rc.1"], REASON))
    document = seen(anyone, pad)
    assert (document["versions"], document["dist-tags"]) == ({}, {})


def test_a_refused_tarball_is_not_given_to_anybody(anyone, alice, pad, judge):
    warm = [anyone.download(pad, "1.1.0").status for _ in range(2)]
    judge(refused={"1.1.0": REASON})
    for person in (anyone, alice):
        answer = person.download(pad, "1.1.0")
        assert (answer.status, answer.json()["error"]) == (451, f"@acme/pad@1.1.0 is withheld: {REASON}")
        assert answer.reason == answer.json()["error"]
    assert warm == [200, 200]
    assert anyone.download(pad, "1.0.0").status == 200


def test_a_rewritten_version_reads_otherwise_everywhere(anyone, pad, judge):
    full, short = '{"name":"@acme/pad","version":"1.1.0","x":"full"}', '{"version":"1.1.0","x":"short"}'
    judge(rewritten={"1.1.0": Fragments(full, short)})
    assert seen(anyone, pad)["versions"]["1.1.0"]["x"] == "full"
    assert seen(anyone, pad, CORGI)["versions"]["1.1.0"]["x"] == "short"
    assert anyone.send("GET", "/@acme%2fpad/latest").json()["x"] == "full"
    assert "x" not in seen(anyone, pad)["versions"]["1.0.0"]


def test_an_answer_that_depends_on_the_clock_ends_with_it(anyone, pad, judge, monkeypatch):
    now = time.time()
    judge(hidden={"1.1.0": REASON}, until=now + 3600)
    assert "1.1.0" not in seen(anyone, pad)["versions"]
    # The hour is over; no row has changed, and nobody was told.
    monkeypatch.setattr(Scripted, "judgement", Judgement())
    assert "1.1.0" not in seen(anyone, pad)["versions"]
    monkeypatch.setattr("registry.cache.time.time", lambda: now + 3601)
    assert "1.1.0" in seen(anyone, pad)["versions"]


def test_a_blocked_package_is_refused_whole(anyone, alice, pad):
    assert (anyone.view(pad).status, anyone.download(pad, "1.0.0").status) == (200, 200)
    touch(blocked_reason="malware, see the incident log")
    for path in (
        "/@acme%2fpad",
        "/@acme%2fpad/1.0.0",
        "/-/package/@acme%2fpad/dist-tags",
        "/@acme/pad/-/pad-1.0.0.tgz",
    ):
        for _ in range(2):
            answer = anyone.send("GET", path)
            assert (answer.status, answer.json()["error"]) == (
                451,
                "@acme/pad was blocked: malware, see the incident log",
            )
    touch(blocked_reason=None)
    assert (anyone.view(pad).status, anyone.download(pad, "1.0.0").status) == (200, 200)


def test_a_reason_in_any_language_fits_into_a_status_line(anyone, pad):
    touch(blocked_reason="恶意软件\r\nSet-Cookie: x=1")
    answer = anyone.view(pad)
    assert answer.status == 451
    assert "恶意软件" in answer.json()["error"]
    assert answer.reason.isascii()
    assert "\n" not in answer.reason


def test_the_first_policy_that_names_a_version_decides(anyone, pad, judge, settings):
    class Second:
        def judge(self, name, stamp) -> Judgement:
            return Judgement(hidden={"1.1.0": "second", "1.0.0": "second"})

    globals()["Second"] = Second
    settings.REGISTRY = {**settings.REGISTRY, "POLICIES": [f"{__name__}.Scripted", f"{__name__}.Second"]}
    policies._policies.cache_clear()
    judge(hidden={"1.1.0": "first"})
    assert "first" in anyone.send("GET", "/@acme%2fpad/1.1.0").json()["error"]
    assert "second" in anyone.send("GET", "/@acme%2fpad/1.0.0").json()["error"]
