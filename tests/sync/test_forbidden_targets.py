"""A public upstream cannot send us into private networks; one on loopback may point at loopback."""

import ipaddress
import json
import socket

import pytest

from registry.models import Blob
from sync import addresses
from sync.addresses import AddressClass
from sync.models import BinaryCategory, Upstream
from tests.fake_upstream import FakeUpstream
from tests.node_dist import NodeDist

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def public(upstream, monkeypatch):
    """The upstream, at an address that counts as public; everything else is what it is."""
    classify = addresses.classify

    def pretend(address: ipaddress.IPv4Address) -> AddressClass:
        return AddressClass.PUBLIC if str(address) == "127.0.0.1" else classify(address)

    monkeypatch.setattr(addresses, "classify", pretend)
    upstream.publish("left-pad", "1.0.0")
    return upstream


@pytest.fixture
def secret():
    """A server of the inner network: nobody must ever connect to it."""
    with socket.create_server(("127.0.0.2", 0)) as listening:
        listening.setblocking(False)
        yield f"http://127.0.0.2:{listening.getsockname()[1]}"
        with pytest.raises(BlockingIOError):
            listening.accept()


def refused(answer) -> bool:
    """Whether the answer says that there is nothing now, and does not say what is in the inner network."""
    return answer.status == 503 and "leads into a network that is neither public" in json.loads(answer.body)["error"]


def test_a_redirect_of_a_packument_is_not_followed_there(public, secret, anyone):
    public.fault("/left-pad", "redirect", to=f"{secret}{{path}}")
    assert refused(anyone.view("left-pad"))


def test_a_redirect_of_a_tarball_is_not_followed_there(public, secret, anyone):
    public.fault("*.tgz", "redirect", to=f"{secret}{{path}}")
    assert refused(anyone.download("left-pad", "1.0.0"))


def test_a_tarball_is_not_fetched_from_there(public, secret, anyone):
    public.publish("trap", "1.0.0", dist={"tarball": f"{secret}/trap.tgz"})
    assert refused(anyone.download("trap", "1.0.0"))
    assert not Blob.objects.exists()


@pytest.mark.parametrize(
    "host", ["169.254.169.254", "[::ffff:169.254.169.254]", "0.0.0.0", "100.100.100.200", "[fe80::1]"]
)
def test_where_no_registry_lives_is_refused_to_every_upstream(upstream, anyone, host):
    upstream.publish("trap", "1.0.0", dist={"tarball": f"http://{host}/latest/meta-data"})
    assert refused(anyone.download("trap", "1.0.0"))


def test_who_sets_such_traps_does_not_close_the_upstream_for_everybody(public, secret, anyone):
    public.publish("trap", "1.0.0", dist={"tarball": f"{secret}/trap.tgz"})
    for _ in range(10):
        anyone.download("trap", "1.0.0")
    assert anyone.view("left-pad").status == 200
    assert Upstream.objects.get().resting_until is None


def test_an_upstream_on_loopback_may_have_its_tarballs_on_another_port_of_it(upstream, anyone):
    with FakeUpstream() as files:
        files.publish("left-pad", "1.0.0")
        upstream.publish("left-pad", "1.0.0", dist={"tarball": f"{files.url}/left-pad/-/left-pad-1.0.0.tgz"})
        assert anyone.download("left-pad", "1.0.0").raw == files.tarball("left-pad", "1.0.0")
        assert (upstream.count("*.tgz"), files.count("*.tgz")) == (0, 1)


def test_and_may_send_us_there(upstream, anyone):
    with FakeUpstream() as mirror:
        mirror.publish("left-pad", "1.0.0")
        upstream.fault("/left-pad", "redirect", to=f"{mirror.url}{{path}}")
        assert anyone.view("left-pad").status == 200


@pytest.mark.parametrize("path", ["index.json", "v22.1.0/SHASUMS256.txt", "v22.1.0/node-v22.1.0-linux-x64.tar.gz"])
def test_a_mirror_of_binaries_is_not_led_there(public, secret, anyone, settings, path):
    dist = NodeDist(public)
    dist.release("22.1.0")
    settings.NODE_DIST_URL = dist.url
    public.fault(f"/dist/{path}", "redirect", to=f"{secret}{{path}}")
    assert refused(anyone.send("GET", f"/-/binary/node/{path}"))
    assert BinaryCategory.objects.get().failures == 0


def test_whoever_names_the_hash_of_a_secret_tarball_does_not_get_it(upstream, alice, anyone):
    """It stands in every lockfile: an upstream that says it has those bytes must show them."""
    alice.publish("@acme/secret", "1.0.0")
    alice.send("POST", "/-/package/@acme%2fsecret/access", body={"access": "restricted"})
    secret = alice.view("@acme/secret").json()["versions"]["1.0.0"]["dist"]
    assert anyone.download("@acme/secret", "1.0.0").status in (401, 404)
    upstream.publish("evil", "1.0.0", dist={"integrity": secret["integrity"], "shasum": None})
    anyone.view("evil")
    answer = anyone.download("evil", "1.0.0")
    assert answer.status == 503
    assert answer.raw != alice.download("@acme/secret", "1.0.0").raw
