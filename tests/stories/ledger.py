"""What people did to one package at once: what each was told, what the journal tells, and what readers see.

Nothing is lost when the three agree. Every request has an id, and the journal keeps it, so that an acknowledged change
can be found in the journal and one that was refused cannot. The journal, told anew from its beginning, gives what is
served; and nobody in it publishes at a moment when they may not.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Barrier
from typing import Any
from uuid import uuid4

from tests.server import Server
from tests.wsgi import Answer

ORDERLY = {200, 201, 204, 403, 404, 409}
PATIENT = 200

_EVENTS = """
import json
from audit.models import Event
from audit.sequencer import sequence
while sequence(): pass
fields = ("request_id", "kind", "actor_name", "facts")
print(json.dumps(list(Event.objects.sequenced().filter(subject={subject!r}).values(*fields))))
"""

Event = dict[str, Any]


@dataclass
class Ledger:
    """Which requests were acknowledged, each with the kind of event that must tell of it, and which were not."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)

    def __contains__(self, request: str) -> bool:
        return request in self.acknowledged or request in self.refused

    def agree(self, events: Iterable[Event]) -> None:
        """Assert that the journal tells of what was acknowledged, and of nothing else."""
        told = {(event["request_id"], event["kind"]) for event in events}
        lost = Counter(kind for deed in self.acknowledged.items() if deed not in told for kind in deed[1:] if kind)
        assert not lost, lost
        assert {request for request, _ in told} & self.refused.keys() == set()
        assert {request for request, _ in told} <= self.acknowledged.keys()


@dataclass(frozen=True)
class Somebody:
    """A person whose requests are written down in the ledger."""

    server: Server
    name: str
    token: str
    ledger: Ledger

    def send(self, method: str, path: str, body: Any = None, *, tells: str = "") -> Answer:
        """One request; `tells` is the kind of event that it must leave when it succeeds, if it always leaves one."""
        request = uuid4().hex
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "X-Request-Id": request}
        answer = self.server.send(method, path, body=sent, headers=headers)
        assert answer.status in ORDERLY, (method, path, answer.status, answer.body)
        if answer.status < 300:
            self.ledger.acknowledged[request] = tells
        else:
            self.ledger.refused[request] = answer.status
        return answer

    def change(
        self, path: str, make: Callable[[dict], tuple[str, str, Any] | None], *, tells: str = ""
    ) -> Answer | None:
        """Read the document at `path`, and send what `make` makes of it; again, when somebody else was faster.

        None when the document is not there, or `make` does not want to change it any more.
        """
        for _ in range(PATIENT):
            read = self.send("GET", f"{path}?write=true")
            wanted = make(read.json()) if read.status == 200 else None
            if wanted is None:
                return None
            answer = self.send(*wanted, tells=tells)
            if answer.status != 409:
                return answer
        raise AssertionError("somebody else was always faster")


def all_at_once(*deeds: Callable[[], object]) -> None:
    """Each in a thread of its own; they begin together."""
    gate = Barrier(len(deeds), timeout=60)

    def begin(deed: Callable[[], object]) -> None:
        gate.wait()
        deed()

    with ThreadPoolExecutor(len(deeds)) as crowd:
        for done in [crowd.submit(begin, deed) for deed in deeds]:
            done.result()


def events_of(server: Server, subject: str) -> list[Event]:
    """What the journal tells of the subject, in its order."""
    script = _EVENTS.format(subject=subject)
    return json.loads(server.manage("shell", "--no-imports", "-c", script).stdout)


@dataclass
class Told:
    """What a package is after all that the journal tells of it."""

    versions: dict[str, str | None] = field(default_factory=dict)  # each with the message that it is deprecated with
    tags: dict[str, str] = field(default_factory=dict)
    owners: set[str] = field(default_factory=set)
    stars: set[str] = field(default_factory=set)
    grants: dict[str, str] = field(default_factory=dict)
    access: str = "public"
    numbers: list[str] = field(default_factory=list)  # all that were ever given

    @classmethod
    def by(cls, events: Iterable[Event], *, members: dict[str, set[str]]) -> "Told":
        """The journal, told anew; `members` are the people of the teams."""
        told = cls()
        for event in events:
            told._hear(event["kind"], event["facts"], event["actor_name"], members)
        return told

    def _hear(self, kind: str, facts: dict[str, Any], actor: str, members: dict[str, set[str]]) -> None:
        match kind:
            case "package.version.published":
                self._publish(facts, actor, members)
            case "package.version.unpublished":
                self._bury({facts["version"]})
                self.tags["latest"] = facts["latest"]
            case "package.unpublished":
                assert set(facts["versions"]) == self.versions.keys()
                self._bury(self.versions.keys())
            case "package.tag.set":
                self.tags[facts["tag"]] = facts["version"]
            case "package.tag.removed":
                assert self.tags.pop(facts["tag"]) == facts["version"]
            case "package.deprecated" | "package.undeprecated":
                self.versions |= dict.fromkeys(facts["versions"], facts.get("message"))
            case _:
                self._hear_of_people(kind, facts, actor)

    def _hear_of_people(self, kind: str, facts: dict[str, Any], actor: str) -> None:
        match kind:
            case "package.owner.added":
                self.owners.add(facts["owner"])
            case "package.owner.removed":
                self.owners.remove(facts["owner"])
            case "package.starred":
                self.stars.add(actor)
            case "package.unstarred":
                self.stars.remove(actor)
            case "package.access.changed":
                assert self.access != facts["access"]
                self.access = facts["access"]
            case "team.package.granted":
                assert self.grants.get(facts["team"]) == facts["previous"]
                self.grants[facts["team"]] = facts["permission"]
            case "team.package.revoked":
                del self.grants[facts["team"]]

    def _publish(self, facts: dict[str, Any], actor: str, members: dict[str, set[str]]) -> None:
        assert facts["version"] not in self.numbers, "a number was given twice"
        self.owners = self.owners or {actor}
        writers = {one for team, may in self.grants.items() if may == "read-write" for one in members.get(team, ())}
        assert actor in self.owners | writers, f"{actor} published and could not"
        self.numbers.append(facts["version"])
        self.versions[facts["version"]] = None
        self.tags |= dict.fromkeys(facts["tags"], facts["version"])

    def _bury(self, numbers: Iterable[str]) -> None:
        gone = set(numbers)
        self.versions = {number: message for number, message in self.versions.items() if number not in gone}
        self.tags = {tag: number for tag, number in self.tags.items() if number not in gone}
