"""What an upstream says of versions comes through as it said it, also what it says later."""

import json

import pytest

from tests.actors import CORGI

pytestmark = pytest.mark.django_db(transaction=True)

LATER = {
    "deprecated": "use something else",
    "_npmUser": {"name": "somebody", "email": "s@example.com", "trustedPublisher": {"id": "github"}},
    "funding": {"type": "x", "url": "https://fund.example"},
    "os": ["linux", "!win32"],
    "cpu": ["x64"],
    "libc": ["glibc"],
    "hasInstallScript": True,
    "peerDependenciesMeta": {"react": {"optional": True}},
    "acceptDependencies": {"left-pad": "*"},
    "workspaces": ["packages/*"],
    "engines": {"node": ">=18"},
    "someFieldOfTomorrow": [1, {"a": None}],
}
ONLY_FULL = {"_npmUser", "workspaces", "someFieldOfTomorrow"}
SIGNATURES = [{"keyid": "SHA256:jl3bwswu80PjjokCgh0o2w5c2U4LhQAE57gj9cz1kzA", "sig": "MEUCIQ=="}]
BUNDLE = {"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json", "dsseEnvelope": {"payload": "eyJh", "n": 1.5}}
SLSA = "https://slsa.dev/provenance/v1"


@pytest.fixture
def signed(upstream):
    """A version with signatures, and attestations of which its manifest says where they are."""
    url = f"{upstream.url}/-/npm/v1/attestations/signed@1.0.0"
    dist = {"signatures": SIGNATURES, "attestations": {"url": url, "provenance": {"predicateType": SLSA}}}
    upstream.publish("signed", "1.0.0", dist=dist, time="2020-02-02T02:02:02.222Z")
    upstream.put_raw(
        "-/npm/v1/attestations/signed@1.0.0",
        json.dumps({"attestations": [{"predicateType": SLSA, "bundle": BUNDLE}, {"predicateType": 5}, "x"]}).encode(),
    )
    return upstream


@pytest.mark.parametrize("field", LATER)
def test_a_field_that_is_edited_later(upstream, anyone, later, field):
    upstream.publish("left-pad", "1.0.0")
    upstream.publish("left-pad", "1.1.0")
    before = anyone.view("left-pad").json()["versions"]["1.1.0"]
    upstream._packages["left-pad"].versions["1.0.0"][field] = LATER[field]
    upstream.describe("left-pad")
    later()
    full = anyone.view("left-pad").json()["versions"]
    assert (full["1.0.0"][field], full["1.1.0"]) == (LATER[field], before)
    short = anyone.view("left-pad", accept=CORGI).json()["versions"]["1.0.0"]
    assert (field in short) is (field not in ONLY_FULL)
    del upstream._packages["left-pad"].versions["1.0.0"][field]
    upstream.describe("left-pad")
    later()
    assert field not in anyone.view("left-pad").json()["versions"]["1.0.0"], "and taken back"


def test_maintainers_and_readme_follow(upstream, anyone, later):
    upstream.publish("left-pad", "1.0.0")
    upstream.describe("left-pad", maintainers=[{"name": "a"}], readme="one")
    anyone.view("left-pad")
    upstream.describe("left-pad", maintainers=[{"name": "b"}], readme="two")
    later()
    document = anyone.view("left-pad").json()
    assert (document["maintainers"], document["readme"]) == ([{"name": "b"}], "two")


def test_signatures_provenance_and_times_are_verbatim(signed, anyone):
    document = anyone.view("signed").json()
    dist = document["versions"]["1.0.0"]["dist"]
    assert dist["signatures"] == SIGNATURES
    assert dist["attestations"]["provenance"] == {"predicateType": SLSA}
    assert dist["attestations"]["url"].endswith("/-/npm/v1/attestations/signed@1.0.0")
    assert document["time"]["1.0.0"] == "2020-02-02T02:02:02.222Z"


def test_attestations_are_fetched_when_somebody_asks_and_kept(signed, anyone):
    answer = anyone.send("GET", "/-/npm/v1/attestations/signed@1.0.0")
    assert answer.json() == {"attestations": [{"predicateType": SLSA, "bundle": BUNDLE}]}
    signed.fault("/-/npm/*", "status", code=500)
    assert anyone.send("GET", "/-/npm/v1/attestations/signed@1.0.0").json() == answer.json()
    assert signed.count("/-/npm/*") == 1


@pytest.mark.parametrize(
    ("kind", "status"), [("status", 503), ("not_json", 404), ("huge", 404), ("truncate", 503), ("reset", 503)]
)
def test_attestations_of_an_upstream_that_is_ill(signed, anyone, kind, status):
    anyone.view("signed")
    signed.fault("/-/npm/*", kind)
    assert anyone.send("GET", "/-/npm/v1/attestations/signed@1.0.0").status == status
    signed.heal()


def test_nobody_is_asked_for_attestations_of_what_has_none_or_is_ours(signed, alice, anyone):
    signed.publish("unsigned", "1.0.0")
    alice.publish("@acme/box", "1.0.0")
    anyone.view("unsigned")
    for name in ("unsigned", "@acme%2fbox"):
        assert anyone.send("GET", f"/-/npm/v1/attestations/{name}@1.0.0").status == 404
    assert signed.count("/-/npm/*") == 0
