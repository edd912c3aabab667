"""A packument of 30 MB with 5,000 versions: served as it came, in little memory."""

import json
import random

import pytest

from tests.fake_upstream import FakeUpstream
from tests.server import Server

pytestmark = pytest.mark.django_db(transaction=True)

MB = 1 << 20
NAME = "large"
CORGI = "application/vnd.npm.install-v1+json"


def packument(versions: int = 5000) -> dict:
    """Like that of a compiler which is released every night: most of it is the same in each version."""
    noise = random.Random(7)
    text = "".join(noise.choices("abcdefghijklmnopqrstuvwxyz ", k=4400))
    numbers = [f"1.{number // 100}.{number % 100}" for number in range(versions)]
    moments = {
        number: f"2024-01-01T00:{index // 60 % 60:02}:{index % 60:02}.000Z" for index, number in enumerate(numbers)
    }
    return {
        "_id": NAME,
        "name": NAME,
        "dist-tags": {"latest": numbers[-1]},
        "versions": {number: manifest(number, text, noise) for number in numbers},
        "time": {"created": "2024-01-01T00:00:00.000Z", "modified": "2024-06-01T00:00:00.000Z", **moments},
        "readme": text * 10,
    }


def manifest(number: str, text: str, noise: random.Random) -> dict:
    return {
        "name": NAME,
        "version": number,
        "description": text,
        "dependencies": {f"dependency-{index}": f"^{index}.0.0" for index in range(40)},
        "scripts": {f"script-{index}": "node build.js" for index in range(10)},
        "dist": {
            "integrity": f"sha512-{noise.getrandbits(256):064x}",
            "shasum": f"{noise.getrandbits(160):040x}",
            "tarball": f"http://upstream.example/{NAME}/-/{NAME}-{number}.tgz",
            "signatures": [{"keyid": "SHA256:key", "sig": f"{noise.getrandbits(512):0128x}"}],
        },
    }


def test_it_is_taken_and_served_by_a_worker_of_modest_size():
    document = packument()
    body = json.dumps(document).encode()
    assert len(body) > 29 * MB
    with FakeUpstream() as upstream, Server(upstream=upstream.url, workers=1) as server:
        upstream.put_raw(NAME, body, headers={"etag": '"one"'})
        full = server.get(f"/{NAME}", accept_encoding="gzip")
        abbreviated = server.get(f"/{NAME}", accept=CORGI, accept_encoding="gzip")

        document["versions"]["1.0.0"]["deprecated"] = "too old"
        upstream.put_raw(NAME, json.dumps(document).encode(), headers={"etag": '"two"'})
        server.manage("sync", "--no-tarballs", NAME)
        again = server.get(f"/{NAME}", accept_encoding="zstd")
        peak = server.peak_memory

    served = again.json()
    assert (full.status, abbreviated.status, again.status) == (200, 200, 200)
    assert list(full.json()["versions"]) == list(abbreviated.json()["versions"]) == list(document["versions"])
    for number, theirs in document["versions"].items():
        dist = {**theirs["dist"], "tarball": f"{server.url}/{NAME}/-/{NAME}-{number}.tgz"}
        assert served["versions"][number] == {**theirs, "dist": dist}
    assert {key: served[key] for key in served if key != "versions"} == {
        key: document[key] for key in document if key != "versions"
    }
    print(f"a packument of {len(body) / MB:.1f} MB: the worker had {peak / MB:.0f} MB at most")
    assert peak < 400 * MB
