"""A document is of one moment, and nobody else's."""

import pytest

from registry import documents
from registry.cache import DocumentKey
from registry.models import Stamp
from registry.packuments import Flavour
from registry.policies import Judgement

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_commit_between_its_versions_and_its_tags_makes_it_be_read_again(alice, anyone, monkeypatch):
    alice.publish("@acme/pad", "1.0.0")
    read_tags, published = documents.read_tags, []

    def read_after_a_publish(*arguments):
        if not published:
            published.append(alice.publish("@acme/pad", "2.0.0").status)
        return read_tags(*arguments)

    monkeypatch.setattr(documents, "read_tags", read_after_a_publish)
    document = anyone.view("@acme/pad").json()
    assert published == [201]
    assert document["dist-tags"]["latest"] in document["versions"]


def test_etags_of_two_hosts_are_never_the_same():
    stamp = Stamp(1, 1, None, None)
    etags = {
        documents.etag(DocumentKey("react", Flavour.FULL, "gzip", f"http://{host}.example"), stamp, Judgement())
        for host in range(1000)
    }
    assert len(etags) == 1000
    assert max(map(len, etags)) < 64


def test_what_a_policy_changes_is_news_to_a_client_that_goes_by_dates():
    head = {"time": {"modified": "2020-01-01T00:00:00.000Z"}}
    stamp = Stamp(1, 1_700_000_000_000_000, None, None)
    assert documents._modified(head, stamp, Judgement()) == 1577836800
    assert documents._modified(head, stamp, Judgement(hidden={"1.0.0": "bad"})) == 1_700_000_000
