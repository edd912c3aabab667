"""A cache in front of us forgets what is withheld, unpublished or restricted."""

import base64
import json
from collections.abc import Iterator

import pytest

from tests.actors import publish_body
from tests.fake_cdn import FakeCDN
from tests.fake_upstream import FakeUpstream
from tests.server import Server
from tests.stories.test_rules_everywhere import RETIRE

BAD = "/axios/-/axios-1.0.1.tgz"
GOOD = "/axios/-/axios-1.0.0.tgz"
WHY = "it steals what it finds"


@pytest.fixture(scope="module")
def cdn() -> Iterator[FakeCDN]:
    with FakeCDN(token="a-secret") as cdn:
        yield cdn


@pytest.fixture(scope="module")
def server(cdn: FakeCDN) -> Iterator[Server]:
    with FakeUpstream() as upstream:
        for number in ("1.0.0", "1.0.1"):
            upstream.publish("axios", number)
        with Server(upstream=upstream.url, workers=1, LARDER_CDN_URLS=cdn.url, LARDER_CDN_TOKEN="a-secret") as server:
            cdn.origin, server.upstream = server.url, upstream
            server.manage("drain")  # it listens from its first pass on
            yield server


def forbid(server: Server) -> None:
    rule = server.var / "rule.json"
    rule.write_text(
        json.dumps({"rules": [{"package": "axios", "versions": "1.0.1", "action": "forbid", "reason": WHY}]})
    )
    server.manage("bugversions", "import", "--file", str(rule))


def retire(server: Server) -> None:
    server.manage("shell", "--no-imports", "-c", RETIRE)


def test_what_is_forbidden_is_gone_from_the_cache_and_back_when_the_rule_ends(server, cdn):
    for path in (BAD, GOOD):
        assert cdn.get(path).status == 200
    assert {BAD, GOOD} <= cdn.kept.keys(), "tarballs are kept for good"
    forbid(server)
    assert cdn.get(BAD).status == 200, "until it is told"
    server.manage("drain")
    refused = cdn.get(BAD)
    assert (refused.status, WHY in refused.json()["error"], BAD in cdn.kept) == (451, True, False)
    assert GOOD in cdn.kept, "what is good stays"
    assert {path for path, _ in cdn.purged} >= {"/axios", BAD, "/axios/download/axios-1.0.1.tgz"}
    assert {tag for _, tag in cdn.purged} == {"package/axios"}
    retire(server)
    server.manage("drain")
    assert cdn.get(BAD).status == 200


def test_one_that_does_not_obey_is_asked_until_it_does(server, cdn):
    assert cdn.get(BAD).status == 200
    cdn.knows_purge = False
    forbid(server)
    server.manage("drain")
    assert BAD in cdn.kept
    cdn.knows_purge = True
    later = "from audit.models import Parked; from django.utils import timezone; "
    server.manage("shell", "--no-imports", "-c", later + "Parked.objects.update(next_try=timezone.now())")
    server.manage("shell", "--no-imports", "-c", "from audit import drain; drain.retry_parked()")
    assert BAD not in cdn.kept
    retire(server)
    server.manage("drain")


def test_what_is_restricted_or_unpublished_is_gone_too(server, cdn):
    login = {"name": "alice", "password": "correct horse battery", "type": "user"}
    token = server.send("PUT", "/-/user/org.couchdb.user:alice", body=json.dumps(login).encode()).json()["token"]
    signed = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    for name in ("@acme/box", "@acme/gone"):
        body = json.dumps(publish_body(name, "1.0.0")).encode()
        assert server.send("PUT", f"/{name.replace('/', '%2f')}", body=body, headers=signed).status == 201
    paths = {name: f"/{name}/-/{name.rpartition('/')[2]}-1.0.0.tgz" for name in ("@acme/box", "@acme/gone")}
    paths["as one segment"] = "/@acme%2fbox/-/box-1.0.0.tgz"
    for path in paths.values():
        assert cdn.get(path).status == 200
    assert len(cdn.kept.keys() & {path.replace("%2f", "%2F") for path in paths.values()}) == 3
    access = json.dumps({"access": "restricted"}).encode()
    assert server.send("POST", "/-/package/@acme%2fbox/access", body=access, headers=signed).status == 200
    rev = server.send("GET", "/@acme%2fgone?write=true", headers=signed).json()["_rev"]
    assert server.send("DELETE", f"/@acme%2fgone/-rev/{rev}", headers=signed).status == 200
    server.manage("drain")
    assert {cdn.get(path).status for path in paths.values()} == {404}
    assert cdn.get(paths["@acme/box"], signed).status == 200
    assert paths["@acme/box"] not in cdn.kept, "what is for some is in no cache"


def test_a_tarball_that_is_replaced_is_gone_and_stays_away_when_it_is_forbidden(server, cdn):
    axios = server.upstream
    path = "/replaced/-/replaced-1.0.0.tgz"
    axios.publish("replaced", "1.0.0")
    assert (server.get("/replaced").status, cdn.get(path).status) == (200, 200)
    assert path in cdn.kept
    axios.publish("replaced", "1.0.0", files={"index.js": "another"})
    server.manage("sync", "replaced", "--no-tarballs")
    server.manage("drain")
    assert path not in cdn.kept


def test_what_is_still_on_its_way_is_tagged_too_and_restricted_is_in_no_cache(server):
    basic = base64.b64encode(b"x:y").decode()
    answer = server.send("GET", GOOD, headers={"Authorization": f"Basic {basic}"})
    assert answer.headers["cache-tag"] == "package/axios"
