"""`npm publish --provenance`: what a build said of its version is checked, kept, and served with it."""

import base64
import json

import pytest

from registry.models import Attestation, Package
from tests.actors import CORGI, publish_body

pytestmark = pytest.mark.django_db(transaction=True)

SLSA = "https://slsa.dev/provenance/v1"
MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def statement(body: dict, **change) -> dict:
    """What npm has signed: in-toto's statement about the one version in the body."""
    [(number, manifest)] = body["versions"].items()
    sha512 = base64.b64decode(manifest["dist"]["integrity"].removeprefix("sha512-")).hex()
    purl = f"pkg:npm/{body['name'].replace('@', '%40')}@{number}"
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": purl, "digest": {"sha512": sha512}}],
        "predicateType": SLSA,
        "predicate": {"buildDefinition": {}},
    } | change


def bundle(said: object, /, **change) -> dict:
    """The statement in its envelope, with a signature that nobody checks here."""
    text = said if isinstance(said, bytes) else json.dumps(said).encode()
    envelope = {
        "payload": base64.b64encode(text).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": "MEUCIQ==", "keyid": ""}],
    }
    return {"mediaType": MEDIA_TYPE, "verificationMaterial": {"tlogEntries": []}, "dsseEnvelope": envelope | change}


def attached(body: dict, data: object) -> dict:
    """The body with `data` beside its tarball, in the place and shape that npm, pnpm and yarn berry give it."""
    [number] = body["versions"]
    entry = {"content_type": MEDIA_TYPE, "data": data, "length": len(data) if isinstance(data, str) else 0}
    return body | {"_attachments": {f"{body['name']}-{number}.sigstore": entry, **body["_attachments"]}}


def proven(name: str, number: str = "1.0.0", **more) -> dict:
    body = publish_body(name, number) | more
    return attached(body, json.dumps(bundle(statement(body))))


def attestations(person, name: str, number: str = "1.0.0"):
    return person.send("GET", f"/-/npm/v1/attestations/{name.replace('/', '%2f')}@{number}")


# --- It is kept and served --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["left-pad", "@acme/pad"])
def test_provenance_is_served_with_its_version(alice, anyone, effects, name):
    body = proven(name)
    assert alice.send("PUT", f"/{name.replace('/', '%2f')}", body=body).status == 201
    assert effects() == [f"blob of {name}@1.0.0", f"package.version.published package:{name} by alice"]
    for accept in ("application/json", CORGI):
        announced = anyone.view(name, accept=accept).json()["versions"]["1.0.0"]["dist"]["attestations"]
        assert announced == {
            "url": f"http://registry.test/-/npm/v1/attestations/{name.replace('/', '%2f')}@1.0.0",
            "provenance": {"predicateType": SLSA},
        }
    answer = anyone.send("GET", announced["url"].removeprefix("http://registry.test"))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    [sent] = [entry["data"] for key, entry in body["_attachments"].items() if key.endswith(".sigstore")]
    assert answer.json() == {"attestations": [{"predicateType": SLSA, "bundle": json.loads(sent)}]}
    one = anyone.send("GET", f"/{name.replace('/', '%2f')}/1.0.0").json()
    assert one["dist"]["attestations"] == announced


@pytest.mark.parametrize(
    "spelling", ["@acme%2fpad@1.0.0", "@acme%2Fpad@1.0.0", "@acme/pad@1.0.0", "%40acme%2fpad@1.0.0"]
)
def test_every_spelling_of_the_address_will_do(alice, anyone, spelling):
    alice.send("PUT", "/@acme%2fpad", body=proven("@acme/pad"))
    assert anyone.send("GET", f"/-/npm/v1/attestations/{spelling}").status == 200


def test_each_version_has_its_own(alice, anyone):
    alice.send("PUT", "/left-pad", body=proven("left-pad"))
    alice.publish("left-pad", "1.0.1")
    versions = anyone.view("left-pad").json()["versions"]
    assert "attestations" in versions["1.0.0"]["dist"]
    assert "attestations" not in versions["1.0.1"]["dist"]
    assert attestations(anyone, "left-pad", "1.0.1").status == 404
    assert attestations(anyone, "left-pad", "9.9.9").status == 404
    assert attestations(anyone, "right-pad").status == 404


def test_a_deprecated_version_keeps_its_provenance(alice, anyone):
    alice.send("PUT", "/left-pad", body=proven("left-pad"))
    before = anyone.view("left-pad").json()["versions"]["1.0.0"]
    document = alice.view("left-pad").json()
    document["versions"]["1.0.0"]["deprecated"] = "use padStart"
    assert alice.send("PUT", "/left-pad", body=document).status in (200, 201)
    assert anyone.view("left-pad").json()["versions"]["1.0.0"] == before | {"deprecated": "use padStart"}
    assert attestations(anyone, "left-pad").status == 200


def test_who_may_not_read_a_package_gets_no_provenance_of_it(alice, bob, anyone):
    alice.send("PUT", "/@acme%2fpad", body=proven("@acme/pad", access="restricted"))
    assert attestations(anyone, "@acme/pad").body == attestations(anyone, "@acme/pad", "9.9.9").body
    assert {attestations(person, "@acme/pad").status for person in (anyone, bob)} == {404}
    answer = attestations(alice, "@acme/pad")
    assert (answer.status, answer.headers["cache-control"]) == (200, "private, no-store")


def test_a_closed_registry_asks_who_it_is(alice, anyone, settings):
    alice.send("PUT", "/left-pad", body=proven("left-pad"))
    settings.ANONYMOUS_READ = False
    assert attestations(anyone, "left-pad").status == 401
    assert attestations(alice, "left-pad").status == 200


def test_build_metadata_and_a_repository_in_the_subject_are_no_mismatch(alice, anyone):
    body = publish_body("left-pad", "1.0.0+build5")
    said = statement(body)
    said["subject"][0]["name"] += "?repository_url=http://registry.test/"
    assert alice.send("PUT", "/left-pad", body=attached(body, json.dumps(bundle(said)))).status == 201
    assert attestations(anyone, "left-pad").status == 200


def test_the_bundle_comes_back_as_it_was_sent(alice, anyone):
    body = publish_body("left-pad", "1.0.0")
    sent = json.dumps(bundle(statement(body)) | {"note": "\ud83d é \0 \x01", "big": 2**80}, indent=1)
    assert alice.send("PUT", "/left-pad", body=attached(body, sent)).status == 201
    assert Attestation.objects.get().bundle == sent
    assert sent.encode() in attestations(anyone, "left-pad").body


# --- It does not fit --------------------------------------------------------------------------------------------------


def subject_of(body: dict, **change) -> dict:
    [subject] = statement(body)["subject"]
    return subject | change


BODY = publish_body("left-pad", "1.0.0")
SAID = statement(BODY)
OTHER_BYTES = {"sha512": "0" * 128}


REFUSED = [
    (bundle(SAID | {"subject": [subject_of(BODY, name="pkg:npm/right-pad@1.0.0")]}), "right-pad"),
    (bundle(SAID | {"subject": [subject_of(BODY, name="pkg:npm/left-pad@1.0.1")]}), "left-pad@1.0.1"),
    (bundle(SAID | {"subject": [subject_of(BODY, name="pkg:npm/%40acme/left-pad@1.0.0")]}), "left-pad@1.0.0"),
    (bundle(SAID | {"subject": [subject_of(BODY, name="left-pad@1.0.0")]}), "left-pad@1.0.0"),
    (bundle(SAID | {"subject": [subject_of(BODY, name="\ud83d\0")]}), "left-pad@1.0.0"),
    (bundle(SAID | {"subject": [subject_of(BODY, name=7)]}), "left-pad@1.0.0"),
    (bundle(SAID | {"subject": [subject_of(BODY, digest=OTHER_BYTES)]}), "another tarball"),
    (bundle(SAID | {"subject": [subject_of(BODY, digest={"sha256": "0" * 64})]}), "another tarball"),
    (bundle(SAID | {"subject": [subject_of(BODY, digest="sha512")]}), "another tarball"),
    (bundle(SAID | {"subject": []}), "one subject"),
    (bundle(SAID | {"subject": [subject_of(BODY), subject_of(BODY)]}), "one subject"),
    (bundle(SAID | {"subject": ["left-pad"]}), "one subject"),
    (bundle(SAID | {"predicateType": None}), "predicateType"),
    (bundle(SAID | {"predicateType": "a\ud83d"}), "predicateType"),
    (bundle(SAID | {"predicateType": "x" * 256}), "predicateType"),
    (bundle([]), "object"),
    (bundle(b"{"), "JSON"),
    (bundle(b"\xff"), "base64"),
    (bundle(SAID, payload="!"), "base64"),
    (bundle(SAID, payload="\u00e9"), "base64"),
    (bundle(SAID, payload=None), "JSON"),
    (bundle(SAID, signatures=[]), "signature"),
    (bundle(SAID, signatures=["x"]), "signature"),
    ({"mediaType": MEDIA_TYPE, "messageSignature": {}}, "dsseEnvelope"),
    ({"dsseEnvelope": "x"}, "dsseEnvelope"),
    ([], "object"),
]


def test_provenance_of_something_else_is_refused_in_words(alice, effects):
    for data, word in REFUSED:
        answer = alice.send("PUT", "/left-pad", body=attached(BODY, json.dumps(data)))
        assert (answer.status, word in answer.json()["error"]) == (400, True), (word, answer.body)
    assert effects() == []
    assert not Package.objects.exists()


def test_what_is_no_bundle_is_refused_in_words(alice, effects):
    deep = ["[" * 100_000, '{"a":' * 5_000]
    for data in ["", "{", "bnVsbA==", "NaN", '"\ud83d"', "\0", *deep, 7, None, {}]:
        answer = alice.send("PUT", "/left-pad", body=attached(BODY, data))
        assert (answer.status, "provenance" in answer.json()["error"]) == (400, True), (str(data)[:20], answer.body)
    assert effects() == []


def test_two_bundles_are_one_too_many(alice, effects):
    body = attached(BODY, json.dumps(bundle(SAID)))
    body["_attachments"]["other.sigstore"] = body["_attachments"]["left-pad-1.0.0.sigstore"]
    assert alice.send("PUT", "/left-pad", body=body).status == 400
    assert effects() == []


def test_what_a_client_announces_itself_is_not_believed(alice, anyone):
    body = publish_body("left-pad", "1.0.0")
    body["versions"]["1.0.0"]["dist"]["attestations"] = {"url": "/-/npm/v1/attestations/left-pad@1.0.0"}
    assert alice.send("PUT", "/left-pad", body=body).status == 201
    assert "attestations" not in anyone.view("left-pad").json()["versions"]["1.0.0"]["dist"]


def test_what_an_upstream_announces_is_passed_through(anyone, upstream):
    announced = {"url": "https://registry.example/-/npm/v1/attestations/left-pad@1.0.0", "provenance": {"x": 1}}
    upstream.publish("left-pad", "1.0.0", dist={"attestations": announced})
    assert anyone.view("left-pad").json()["versions"]["1.0.0"]["dist"]["attestations"] == announced
