"""A small registry with something of everything, and requests that succeed there: one at least for each way to write.

The registry is always the same, so that what is done to one of the requests can be done again. Only secrets differ:
requests have `{rev}`, `{key}` and `{token}` in their place.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from django.db.models import Max
from django.urls import resolve

from audit.models import Event
from registry.api.urls import urlpatterns
from registry.models import Blob, Package, Scope, Token, User
from tests.actors import Person, publish_body
from tests.authenticator import PASSWORD
from tests.wsgi import Answer

BOX = "@acme/box"
_BOX, _ACME, _READERS = "/@acme%2fbox", "/-/org/acme", "/-/team/acme/readers"
_API, _TAGS, _TOKENS = f"/-/package{_BOX}", f"/-/package{_BOX}/dist-tags", "/-/npm/v1/tokens"
_DOCUMENT = {"_id": BOX, "_rev": "{rev}", "name": BOX}
_CAROL = {"name": "carol", "password": PASSWORD, "email": "carol@acme.example"}
_NEW_BOX = publish_body(BOX, "2.0.0", tag="beta", scripts={"install": "make"}, bin={"box": "cli.js"}, readme="# Box")
_NEW_BOXES = {"packages": [publish_body(BOX, "2.0.0"), publish_body("@acme/lid", "1.0.0")]}


@dataclass(frozen=True)
class Request:
    """One request of a client; `body` is JSON, or bytes as they are."""

    method: str
    path: str
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def endpoint(self) -> tuple[str, str]:
        """The route that it takes, and the method."""
        return resolve(unquote(self.path.partition("?")[0])).route, self.method


HONEST = [
    # npm publish, deprecate, star; npm tag of old
    Request("PUT", _BOX, _NEW_BOX),
    Request("PUT", _BOX, {**_DOCUMENT, "versions": {"1.0.0": {"deprecated": "old"}, "1.1.0": {}}}),
    Request("PUT", _BOX, {**_DOCUMENT, "users": {"alice": True}}),
    Request("PUT", f"{_BOX}/beta", "1.0.0"),
    Request("PUT", "/-/pnpm/v1/publish", _NEW_BOXES),
    # npm unpublish, owner
    Request("PUT", f"{_BOX}/-rev/{{rev}}", {**_DOCUMENT, "versions": {"1.1.0": {}}}),
    Request("PUT", f"{_BOX}/-rev/{{rev}}", {**_DOCUMENT, "maintainers": [{"name": "alice"}, {"name": "bob"}]}),
    Request("DELETE", f"{_BOX}/-rev/{{rev}}"),
    Request("DELETE", f"{_BOX}/-/box-1.0.0.tgz/-rev/{{rev}}"),
    Request("DELETE", f"{_BOX}/-/@acme/box-1.0.0.tgz/-rev/{{rev}}"),
    Request("DELETE", f"{_BOX}/download/@acme/box-1.0.0.tgz/-rev/{{rev}}"),
    Request("PUT", f"{_API}/owners", {"user": "bob"}),
    Request("DELETE", f"{_API}/owners/bob"),
    # npm dist-tag
    Request("PUT", _TAGS, {"latest": "1.1.0", "beta": "1.0.0"}),
    Request("POST", _TAGS, {"beta": "1.0.0"}),
    Request("PUT", f"{_TAGS}/beta", "1.0.0"),
    Request("POST", f"{_TAGS}/beta", "1.0.0"),
    Request("DELETE", f"{_TAGS}/next"),
    # npm star, in pnpm's ways
    Request("PUT", "/-/user/v1/star", {"package": BOX}),
    Request("DELETE", "/-/user/v1/star", {"package": BOX}),
    Request("PUT", f"/-/user/package{_BOX}/star"),
    Request("DELETE", f"/-/user/package{_BOX}/star"),
    # npm access
    Request("POST", f"{_API}/access", {"access": "restricted"}),
    Request("POST", f"{_API}/access", {"publish_requires_tfa": False, "automation_token_overrides_tfa": True}),
    # npm org, team
    Request("PUT", "/-/org", {"name": "tools"}),
    Request("DELETE", "/-/org/empty"),
    Request("PUT", f"{_ACME}/user", {"user": "bob", "role": "admin"}),
    Request("DELETE", f"{_ACME}/user", {"user": "bob"}),
    Request("DELETE", f"{_ACME}/member/bob"),
    Request("PUT", f"{_ACME}/team", {"name": "writers", "description": "They write."}),
    Request("DELETE", _READERS),
    Request("PUT", f"{_READERS}/user", {"user": "bob"}),
    Request("DELETE", f"{_READERS}/user", {"user": "bob"}),
    Request("PUT", f"{_READERS}/package", {"package": BOX, "permissions": "read-write"}),
    Request("DELETE", f"{_READERS}/package", {"package": BOX}),
    # npm login, logout, profile
    Request("PUT", "/-/user/org.couchdb.user:carol", _CAROL),
    Request("PUT", "/-/user/org.couchdb.user:carol/-rev/1", _CAROL),
    Request("DELETE", "/-/user/token/{token}"),
    Request("POST", "/-/v1/login", {"hostname": "laptop"}, {"npm-auth-type": "web"}),
    Request("POST", "/-/npm/v1/user", {"fullname": "Alice", "homepage": "https://acme.example", "email": None}),
    Request("POST", "/-/npm/v1/user", {"email": {"email": "a@acme.example", "password": PASSWORD}}),
    Request("POST", "/-/npm/v1/user", {"password": {"old": PASSWORD, "new": f"{PASSWORD} 2"}}),
    Request("POST", "/-/npm/v1/user", {"tfa": {"password": PASSWORD, "mode": "auth-only"}}),
    # npm token
    Request("POST", _TOKENS, {"password": PASSWORD, "readonly": True, "cidr_whitelist": ["127.0.0.0/8"]}),
    Request("POST", _TOKENS, {
        "password": PASSWORD, "name": "ci", "description": "", "expires": 7, "packages": [BOX], "scopes": ["@acme"],
        "orgs": ["acme"], "packages_and_scopes_permission": "read-write", "orgs_permission": "read-only",
        "bypass_2fa": True, "packages_all": False, "cidr_whitelist": [],
    }),
    Request("POST", f"{_TOKENS}/gat", {
        "password": PASSWORD, "name": "ci", "expires": 7, "allowedPackages": [BOX], "allowedScopes": ["@acme"],
        "automation": False, "readonly": False,
    }),
    Request("DELETE", f"{_TOKENS}/token/{{key}}"),
]  # fmt: skip


def ways_to_write() -> Iterator[tuple[str, str]]:
    """The endpoints that there are, but for those that only read."""
    for route in urlpatterns:
        for method in ("put", "post", "patch", "delete"):
            if hasattr(route.callback.view_class, method):
                yield str(route.pattern), method.upper()


class World:
    """The registry, made anew whenever something in it has changed: alice may do everything, bob is her colleague."""

    def __init__(self) -> None:
        self.alice, self.bob = Person("alice"), Person("bob")
        self._secrets: dict[str, str] = {}
        self._made_at: int | None = None

    def send(self, person: Person, request: Request) -> Answer:
        """The request, with the secrets that belong into it; `person` is alice, bob, or nobody."""
        text = request.body if isinstance(request.body, bytes | None) else _json(request.body)
        body = text and self._filled(text.decode("latin-1")).encode("latin-1")
        who = {"alice": self.alice, "bob": self.bob}.get(person.name, person)
        return who.send(request.method, self._filled(request.path), body=body, headers=request.headers)

    def restore(self) -> None:
        """Make it what it was, if anything has happened since."""
        if self._made_at is None or _last_event() != self._made_at:
            self._tear_down()
            self._set_up()
            self._made_at = _last_event()

    def _filled(self, text: str) -> str:
        for name, secret in self._secrets.items():
            text = text.replace(f"{{{name}}}", secret)
        return text

    def _tear_down(self) -> None:
        for rows in (Package, Blob, Scope, User):
            rows.objects.all().delete()

    def _set_up(self) -> None:
        self.alice, self.bob = Person("alice").login(), Person("bob").login()
        User.objects.filter(username="alice").update(is_superuser=True)
        for method, path, body in (
            ("PUT", "/-/org", {"name": "empty"}),
            ("PUT", f"{_ACME}/user", {"user": "alice", "role": "owner"}),
            ("PUT", f"{_ACME}/user", {"user": "bob"}),
            ("PUT", f"{_ACME}/team", {"name": "readers"}),
            ("PUT", f"{_READERS}/user", {"user": "bob"}),
            ("PUT", _BOX, publish_body(BOX, "1.0.0", tag="next")),
            ("PUT", _BOX, publish_body(BOX, "1.1.0")),
            ("PUT", f"{_READERS}/package", {"package": BOX, "permissions": "read-only"}),
        ):
            answer = self.alice.send(method, path, body=body)
            assert answer.status in (200, 201), (path, answer.body)
        spare = replace(self.alice).login()
        self._secrets = {
            "rev": self.alice.read_to_change(BOX)["_rev"],
            "token": str(spare.token),
            "key": Token.objects.latest("pk").key,
        }


def _json(body: Any) -> bytes:
    return json.dumps(body).encode()


def _last_event() -> int | None:
    return Event.objects.aggregate(last=Max("pk"))["last"]
