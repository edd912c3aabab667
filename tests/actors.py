"""People who speak npm: `alice.publish("left-pad", "1.0.0")`. Each method is a command, each answer what came back."""

import base64
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, urlsplit

from registry.digests import Digests
from tests import tarballs, wsgi
from tests.wsgi import Answer

CORGI = "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*"


@dataclass(frozen=True)
class Person:
    """Somebody with a client; `token` is what `npm login` left in the npmrc."""

    name: str = ""
    token: str | None = None

    def login(self, password: str = "correct horse battery") -> "Person":
        """`npm login`, couch style; where sign-up is open it also makes the account."""
        body = {"_id": f"org.couchdb.user:{self.name}", "name": self.name, "password": password, "type": "user"}
        answer = self.send("PUT", f"/-/user/org.couchdb.user:{self.name}", body=body)
        assert answer.status == 201, answer.body
        return replace(self, token=answer.json()["token"])

    def send(self, method: str, url: str, *, body: Any = None, headers: dict | None = None) -> Answer:
        auth = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return wsgi.request(method, url, body=body, headers={**auth, **(headers or {})})

    def view(self, name: str, *, accept: str = "application/json", **headers: str) -> Answer:
        """The packument, as npm 11 asks for it; `accept=CORGI` as npm 6 to 9 do."""
        sent = {header.replace("_", "-"): value for header, value in headers.items()}
        return self.send("GET", f"/{escaped(name)}", headers={"Accept": accept, **sent})

    def download(self, name: str, version: str, **headers: str) -> Answer:
        base = name.rpartition("/")[2]
        return self.send("GET", f"/{escaped(name)}/-/{base}-{version}.tgz", headers=headers)

    def publish(self, name: str, version: str, **change: Any) -> Answer:
        """`npm publish --tag <tag>`; the rest of `change` goes into package.json."""
        return self.send("PUT", f"/{escaped(name)}", body=publish_body(name, version, **change))

    def read_to_change(self, name: str) -> dict:
        """The packument, as clients read it before they change something."""
        return self.send("GET", f"/{escaped(name)}?write=true").json()

    def deprecate(self, name: str, message: str, *versions: str) -> Answer:
        """`npm deprecate`: the whole packument goes back."""
        document = self.read_to_change(name)
        for version in versions:
            document["versions"][version]["deprecated"] = message
        return self.send("PUT", f"/{escaped(name)}", body=document)

    def unpublish(self, name: str, *versions: str) -> list[Answer]:
        """`npm unpublish` and `pnpm unpublish`, whose steps are the same; without versions of the whole package."""
        document = self.read_to_change(name)
        if not versions:
            return [self.send("DELETE", f"/{escaped(name)}/-rev/{document['_rev']}")]
        gone = [document["versions"].pop(version)["dist"]["tarball"] for version in versions]
        answers = [self.send("PUT", f"/{escaped(name)}/-rev/{document['_rev']}", body=document)]
        for tarball in gone if answers[0].status == 200 else ():
            rev = self.read_to_change(name).get("_rev")
            answers.append(self.send("DELETE", f"{urlsplit(tarball).path}/-rev/{rev}"))
        return answers


def escaped(name: str) -> str:
    return quote(name, safe="@").replace("%2F", "%2f")


def publish_body(
    name: str, version: str, *, tag: str = "latest", files: dict | None = None, tarball: bytes | None = None, **manifest
) -> dict:
    """The document that npm sends."""
    packed = tarball or tarballs.package(name, version, files or {}, **manifest)
    digests = Digests()
    digests.update(packed)
    filename = f"{name}-{version}.tgz"
    dist = {
        "integrity": digests.integrity,
        "shasum": digests.sha1,
        "tarball": f"http://registry.test/{name}/-/{filename}",
    }
    return {
        "_id": name,
        "name": name,
        "dist-tags": {tag: version},
        "versions": {version: {"name": name, "version": version, **manifest, "_id": f"{name}@{version}", "dist": dist}},
        "access": None,
        "_attachments": {
            filename: {
                "content_type": "application/octet-stream",
                "data": base64.b64encode(packed).decode(),
                "length": len(packed),
            }
        },
    }
