"""Somebody who publishes to a running server, over real connections."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any, Protocol

from tests.stories.uploads import Upload
from tests.wsgi import Answer

Pieces = Iterable[bytes]


class Registry(Protocol):
    """Whatever answers: a `Server`, or `bin/run`."""

    def send(self, method: str, path: str, *, body: Any = None, headers: dict | None = None) -> Answer: ...


@dataclass(frozen=True)
class Publisher:
    """A person with an account and a token."""

    server: Registry
    token: str

    @classmethod
    def sign_in(cls, server: Registry, name: str = "alice", password: str = "correct horse battery") -> "Publisher":
        """`npm login`, which makes the account where sign-up is open."""
        body = f'{{"name": "{name}", "password": "{password}", "type": "user"}}'
        answer = server.send("PUT", f"/-/user/org.couchdb.user:{name}", body=body)
        assert answer.status == 201, answer.body
        return cls(server, answer.json()["token"])

    def publish(self, upload: Upload, body: Pieces | None = None, *, chunked: bool = False) -> Answer:
        """`npm publish`. `body` are the upload's own pieces, perhaps with a pause between them."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        if not chunked:
            headers["Content-Length"] = str(upload.content_length)
        return self.server.send("PUT", upload.path, body=body or upload.body(), headers=headers)


def publish_at_once(publishers: list[Publisher], uploads: list[Upload]) -> list[Answer]:
    """All of them at the same moment: each holds the end of its body back until every other has come as far."""
    gate = Barrier(len(uploads), timeout=60)
    with ThreadPoolExecutor(len(uploads)) as crowd:
        return list(crowd.map(lambda one, upload: one.publish(upload, _held_back(upload, gate)), publishers, uploads))


def _held_back(upload: Upload, gate: Barrier) -> Pieces:
    *start, end = upload.body()
    yield from start
    gate.wait()
    yield end
