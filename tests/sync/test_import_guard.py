"""An attacker has registered our names upstream. On no road are they asked for there, however they came to be ours."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from audit.actors import Actor
from registry import orgs
from registry.errors import Forbidden
from registry.models import Blob, Package, Version
from registry.names import PackageName
from sync import fetching, following, queue, rules, running, tarballs
from sync.models import FeedCursor, ScopeRule, SyncTask, Upstream
from tests.actors import Person

pytestmark = pytest.mark.django_db(transaction=True)

OPERATOR = Actor.system("a test")
Mode = ScopeRule.Mode


def _by_setting(alice: Person) -> str:
    return "@acme/secret"


def _by_scope_row(alice: Person) -> str:
    orgs.create("fresh", actor=OPERATOR)
    return "@fresh/secret"


def _by_scope_rule(alice: Person) -> str:
    rules.put("@corp", Mode.PRIVATE, actor=OPERATOR)
    return "@corp/secret"


def _by_capitals(alice: Person) -> str:
    rules.put("@corp", Mode.PRIVATE, actor=OPERATOR)
    return "@Corp/secret"


def _by_rule(alice: Person) -> str:
    rules.put("our-secret", Mode.PRIVATE, actor=OPERATOR)
    return "our-secret"


def _by_beginning(alice: Person) -> str:
    rules.put("our-*", Mode.PRIVATE, actor=OPERATOR)
    return "our-secret"


def _by_block(alice: Person) -> str:
    rules.put("@evil/*", Mode.BLOCKED, actor=OPERATOR)
    return "@evil/thing"


def _by_publishing(alice: Person) -> str:
    assert alice.publish("mine", "1.0.0").status == 201
    return "mine"


def _by_having_published(alice: Person) -> str:
    name = _by_publishing(alice)
    assert [answer.status for answer in alice.unpublish(name)] == [200]
    return name


OURS = [
    _by_setting, _by_scope_row, _by_scope_rule, _by_capitals, _by_rule, _by_beginning, _by_block,
    _by_publishing, _by_having_published,
]  # fmt: skip


# --- Roads ----------------------------------------------------------------------------------------------------------


def _reading(name: str, alice: Person) -> None:
    quoted, base = name.replace("/", "%2f"), name.rpartition("/")[2]
    for path in (f"/{name}", f"/{quoted}/6.6.6", f"/{quoted}/^6", f"/-/package/{quoted}/dist-tags"):
        assert alice.send("GET", path).status in (200, 404)
    assert alice.send("GET", f"/{name}/-/{base}-6.6.6.tgz").status == 404


def _by_command(name: str, alice: Person) -> None:
    with pytest.raises(CommandError, match=f"1 of 1 did not come in: {name}"):
        call_command("sync", name, stdout=io.StringIO())


def _by_task(name: str, alice: Person) -> None:
    task = queue.ask(name, why="a test", with_tarballs=True)
    assert not running.run(task.pk).is_done
    task.refresh_from_db()
    assert (task.state, task.error.startswith("not fetched: ")) == (SyncTask.State.REFUSED, True)


def _as_dependency(name: str, alice: Person) -> None:
    queue.ask("carrier", why="a test", with_dependencies=True)
    for _ in range(3):
        for pk in SyncTask.objects.due().values_list("pk", flat=True):
            running.run(pk)
    assert Package.objects.filter(name="carrier").exists()
    assert not SyncTask.objects.live().exists()


def _by_feed(name: str, alice: Person) -> None:
    following.follow(Upstream.objects.get())
    assert FeedCursor.objects.get().since == "2"
    assert not SyncTask.objects.live().filter(name=name).exists()


def _over_http(name: str, alice: Person) -> None:
    quoted = name.replace("/", "%2f")
    assert alice.send("PUT", f"/-/package/{quoted}/syncs").status == 403
    assert alice.send("PUT", f"/{quoted}/sync").status == 403


def _past_all_of_them(name: str, alice: Person) -> None:
    """The last guard is where requests are made: no road that is built later can go around it."""
    with pytest.raises(Forbidden, match="not fetched"):
        fetching.fetch(PackageName.parse(name), Upstream.objects.get(), newer_than=0)


def _publishing_it_first(name: str, alice: Person) -> None:
    """Whether the name is taken elsewhere does not matter, and is not asked."""
    assert alice.publish(name, "1.0.1").status in (201, 400, 403)


ROADS = [
    _reading, _by_command, _by_task, _as_dependency, _by_feed, _over_http, _past_all_of_them, _publishing_it_first,
]  # fmt: skip


@pytest.mark.parametrize("become_ours", OURS, ids=lambda way: way.__name__.removeprefix("_"))
def test_a_name_of_ours_is_asked_for_nowhere(upstream, alice, later, become_ours):
    # All else is mirrored, so that every road is open to what is not guarded.
    rules.put("*", Mode.MIRROR, actor=OPERATOR)
    name = become_ours(alice)
    upstream.publish(name, "6.6.6")
    upstream.publish("carrier", "1.0.0", dependencies={name: "*", "alias": f"npm:{name}@6"})
    results = [{"seq": 1, "id": name, "changes": []}, {"seq": 2, "id": "carrier", "changes": []}]
    upstream.put_raw("_changes", json.dumps({"results": results, "last_seq": 2}).encode())
    upstream.requests.clear()
    later()
    for road in ROADS:
        road(name, alice)
        seen = [request.path for request in upstream.requests if name.rpartition("/")[2] in request.path]
        assert seen == [], road.__name__
    assert not Version.objects.filter(number="6.6.6").exists()
    assert not Package.objects.filter(name=name).exclude(origin=None).exists()


def test_an_upstream_is_not_even_tried_out_with_a_private_name(upstream):
    rules.put("our-*", Mode.PRIVATE, actor=OPERATOR)
    for name in ("@acme/secret", "our-secret"):
        with pytest.raises(CommandError, match="not even to try it out"):
            call_command("upstream", "test", "default", name)
    assert upstream.count() == 0


def test_what_came_before_its_name_was_ours_is_served_no_more_and_its_tarballs_do_not_come(upstream, anyone, later):
    upstream.publish("our-secret", "6.6.6")
    assert anyone.view("our-secret").status == 200
    rules.put("our-*", Mode.PRIVATE, actor=OPERATOR)
    asked = upstream.count()
    refused = anyone.view("our-secret")
    assert (refused.status, "the rule for our-* says private" in refused.json()["error"]) == (451, True)
    assert anyone.download("our-secret", "6.6.6").status == 451
    version = Version.objects.select_related("package").get()
    with pytest.raises(Forbidden, match="the rule for our-\\* says private"):
        tarballs.fetch_whole(version, Upstream.objects.get())
    assert (upstream.count(), Blob.objects.count()) == (asked, 0)
    rules.remove("our-*", actor=OPERATOR)
    assert anyone.view("our-secret").status == 200
