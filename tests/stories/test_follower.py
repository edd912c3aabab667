"""Many publish at once to the processes of a server, and those who follow its changes feed miss nothing."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from registry import manifests
from registry.models import DistTag, Version
from registry.names import PackageName
from sync import following, routing, running
from sync.models import FeedCursor, ScopeRule, SyncTask, Upstream
from tests.server import Server
from tests.stories.conftest import eventually
from tests.stories.publisher import Publisher
from tests.stories.uploads import Upload

pytestmark = pytest.mark.django_db(transaction=True)

PUBLISHERS, ROUNDS, SHARED = 6, 4, 3

# Two workers compete for giving the events their places, as soon as they are committed.
SEQUENCE = """
import pathlib, time
from audit.sequencer import sequence
end = time.monotonic() + 20
while time.monotonic() < end and not pathlib.Path({stop!r}).exists():
    sequence()
    time.sleep(0.01)
"""
# On PostgreSQL transactions overlap: here each takes a while between its event and its commit, so that events are
# committed in another order than they were written.
DAWDLE = """
from django.db import connection
connection.cursor().execute('''
    CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN PERFORM pg_sleep(random() * 0.05); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON audit_event
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION dawdle();
''')
"""
UNSEQUENCED = "from audit.models import Event; print(Event.objects.unsequenced().count())"


@pytest.fixture(scope="module")
def server(database: str) -> Iterator[Server]:
    with Server(workers=2, threads=32) as server:
        if database == "postgresql":
            server.manage("shell", "--no-imports", "-c", DAWDLE)
        yield server


@pytest.fixture(autouse=True)
def _sequencers(server: Server, box: str) -> Iterator[None]:
    stop = server.var / f"stop-{box.rpartition('/')[2]}"

    def sequence() -> None:
        while not stop.exists():
            server.manage("shell", "--no-imports", "-c", SEQUENCE.format(stop=str(stop)))

    with ThreadPoolExecutor(2) as workers:
        both = [workers.submit(sequence) for _ in range(2)]
        try:
            yield
        finally:
            stop.touch()
        for one in both:
            one.result()


@pytest.fixture
def boxes(box: str) -> list[str]:
    """Packages that everybody publishes to, and then some that are published once each: a miss would never mend."""
    return [f"{box}-{number}" for number in range(SHARED + PUBLISHERS * ROUNDS)]


def while_all_publish(alice: Publisher, boxes: list[str], follow: Callable[[], object]) -> int:
    """Follow, again and again, while many publish, tag and deprecate; returns the place of the last change."""
    for box in boxes[:SHARED]:
        assert alice.publish(Upload(box, "1.0.0")).status == 201
    with ThreadPoolExecutor(PUBLISHERS) as crowd:
        busy = [crowd.submit(publish_a_line, alice, boxes, line) for line in range(PUBLISHERS)]
        while not all(one.done() for one in busy):
            follow()
        for one in busy:
            one.result()
    eventually(lambda: alice.server.manage("shell", "--no-imports", "-c", UNSEQUENCED).stdout.strip() == "0")
    return int(alice.server.get("/").json()["update_seq"])


def publish_a_line(alice: Publisher, boxes: list[str], line: int) -> None:
    choices = Random(line)
    for number in range(ROUNDS):
        box = choices.choice(boxes[:SHARED])
        version = f"1.{line + 1}.{number}"
        assert alice.publish(Upload(box, version, tag=f"line-{line}")).status == 201
        assert alice.publish(Upload(boxes[SHARED + line * ROUNDS + number])).status == 201
        if choices.random() < 0.3:
            change(alice, f"/{escaped(box)}", {"versions": {version: {"deprecated": f"{version} is old"}}})
        if choices.random() < 0.3:
            change(alice, f"/-/package/{escaped(box)}/dist-tags/moving", version)


def change(alice: Publisher, path: str, body: object) -> None:
    headers = {"Authorization": f"Bearer {alice.token}", "Content-Type": "application/json"}
    answer = alice.server.send("PUT", path, body=json.dumps(body), headers=headers)
    assert answer.status in (200, 201), answer.body


def escaped(name: str) -> str:
    return PackageName.parse(name).url


def told(server: Server, name: str) -> dict:
    """What a packument says that followers must have too."""
    document = server.get(f"/{escaped(name)}").json()
    messages = {number: one.get("deprecated") for number, one in document["versions"].items()}
    return {"versions": messages, "tags": document["dist-tags"]}


class Listener:
    """Somebody who reads the feed, and nothing else: never far behind what is just being committed."""

    def __init__(self, server: Server, *, page: int) -> None:
        self.server = server
        self.since = 0
        self.places: list[int] = []
        self.names: set[str] = set()
        self._page = page

    def read_on(self) -> None:
        """Read a page."""
        page = self.server.get(f"/_changes?since={self.since}&limit={self._page}").json()
        for one in page["results"]:
            self.places.append(one["seq"])
            self.names.add(one["id"])
            self.hear_of(one["id"])
        self.since = page["last_seq"]

    def hear_of(self, name: str) -> None:
        """A package changed."""


class Copier(Listener):
    """Somebody with a copy of all packages, who reads one anew when the feed says that it changed, and never else."""

    def __init__(self, server: Server, *, page: int) -> None:
        super().__init__(server, page=page)
        self.copies: dict[str, dict] = {}

    def hear_of(self, name: str) -> None:
        self.copies[name] = told(self.server, name)


@pytest.mark.parametrize("kind", [Listener, Copier])
def test_whoever_reads_the_feed_misses_nothing(server: Server, alice: Publisher, boxes: list[str], kind):
    follower = kind(server, page=5)
    end = while_all_publish(alice, boxes, follower.read_on)
    while follower.since < end:
        follower.read_on()
    assert follower.places == sorted(set(follower.places))
    assert set(boxes) - follower.names == set()
    if kind is Copier:
        assert {box: follower.copies[box] for box in boxes} == {box: told(server, box) for box in boxes}


@pytest.fixture
def source(server: Server, settings) -> Upstream:
    """The server, as one whose packages we mirror."""
    settings.PRIVATE_SCOPES = frozenset()
    row = Upstream.objects.create(name="theirs", url=server.url, kind=Upstream.Kind.LARDER)
    ScopeRule.objects.create(pattern="@acme/*", mode=ScopeRule.Mode.MIRROR, upstream=row)
    routing.forget()
    return row


def test_a_larder_that_follows_a_larder_has_all_it_has(
    server: Server, alice: Publisher, boxes: list[str], source: Upstream
):
    def follow() -> None:
        following.follow(source)
        running.work(1)

    end = while_all_publish(alice, boxes, follow)
    eventually(lambda: follow() or int(FeedCursor.objects.get().since) >= end)
    eventually(lambda: follow() or not SyncTask.objects.live().exists())
    assert FeedCursor.objects.get().error == ""
    for box in boxes:
        assert ours(box) == told(server, box)
    assert not Version.objects.filter(package__name__in=boxes, blob=None).exists()


def ours(name: str) -> dict:
    """The same of what is here."""
    rows = Version.objects.filter(package__name=name, unpublished_at=None)
    messages = {row.number: manifests.parse(row.manifest).get("deprecated") for row in rows}
    tags = DistTag.objects.filter(package__name=name).values_list("tag", "version__number")
    return {"versions": messages, "tags": dict(tags)}
