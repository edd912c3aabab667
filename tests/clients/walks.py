"""One client's walk through the commands: its person, its packages, and the eyes with which the registry is watched."""

import json
import re
import time
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from registry import totp
from tests.browser import Browser
from tests.clients import matrix, toolbox
from tests.clients.commands import Completed, Reply
from tests.clients.dialects import BUN, YARN_1
from tests.clients.phrasebook import HANDS_ON, Cannot, Row
from tests.clients.toolbox import Client, Project
from tests.server import Server

PASSWORD = "correct horse battery"
FRIEND = "friend"


@dataclass
class Walk:
    """Somebody at one client, who owns the organisation `at-<client>`."""

    client: Client
    larder: Server
    folder: Path
    secrets: list[str] = field(default_factory=list)  # tokens that were shown
    lacking: dict[str, Completed] = field(default_factory=dict)  # what it said to commands that it does not have
    recovery_codes: list[str] = field(default_factory=list)

    @property
    def person(self) -> str:
        """Who walks."""
        return self.client.name

    @property
    def scope(self) -> str:
        """Their organisation."""
        return f"at-{self.client.name}"

    @property
    def package(self) -> str:
        """What they publish first."""
        return f"@{self.scope}/tool"

    @property
    def plain(self) -> str:
        """What they publish without a scope."""
        return f"tool-of-{self.client.name}"

    @property
    def hidden(self) -> str:
        """What they publish restricted."""
        return f"@{self.scope}/hidden"

    @cached_property
    def eyes(self) -> str:
        """A token of theirs that their client does not know, to watch the registry with."""
        return toolbox.sign_in(self.larder.url, self.person, PASSWORD)

    @cached_property
    def project(self) -> Project:
        """Where they work. yarn 1 and bun have no login that lasts, so they are given a token."""
        lasts = self.client.release.dialect not in (YARN_1, BUN)
        return self.new_project(token=None if lasts else self.eyes)

    def new_project(self, *, token: str | None, **dependencies: str) -> Project:
        """Another folder and home of the same client."""
        place = self.folder / f"project-{len(list(self.folder.iterdir()))}"
        return self.client.project(place, self.larder.url, {"dependencies": dependencies}, token=token)

    # --- Doing ------------------------------------------------------------------------------------------------------

    def take(self, row: Row) -> str:
        """Do one row; return its cell, or fail as an assertion."""
        words = row.of(self.client.name)
        if isinstance(words, Cannot):
            self._confirm(words)
            return words.reason
        done = self.say(words) if isinstance(words, str) else words(self)
        assert done.returncode == 0, done
        row.check(self, done.stdout + done.stderr)
        handed_on = self.client.name in HANDS_ON and row.title != "install"
        return matrix.HANDED_ON if handed_on else matrix.YES

    def say(self, words: str, *, answers: dict[str, Reply] | None = None) -> Completed:
        """Run a command whose words may have our names in braces; at a terminal when there is something to answer."""
        names = {"person": self.person, "friend": FRIEND, "scope": self.scope, "team": f"{self.scope}:crew"}
        names |= {"package": self.package, "plain": self.plain, "hidden": self.hidden}
        said = [word.format_map(names) for word in words.split()]
        return self.project.run(*said, answers=answers, terminal=answers is not None)

    def publish(self, name: str, version: str, **options: str) -> Completed:
        """Publish a small package."""
        return self.project.publish(self.written(name, version), **options)

    def written(self, name: str, version: str) -> Path:
        """A small package in a folder."""
        folder = self.folder / f"{name.rpartition('/')[2]}-{version}"
        folder.mkdir()
        manifest = {"name": name, "version": version, "license": "MIT", "description": f"made by {self.client.name}"}
        (folder / "package.json").write_text(json.dumps(manifest))
        (folder / "index.js").write_text("module.exports = 1\n")
        return folder

    def _confirm(self, cannot: Cannot) -> None:
        """Have the client say itself that it cannot."""
        if not cannot.asked:
            return
        if cannot.asked not in self.lacking:
            self.lacking[cannot.asked] = self.say(
                f"npm {cannot.asked}" if self.client.name == "yarn-4" else cannot.asked
            )
        done = self.lacking[cannot.asked]
        assert re.search(cannot.told, done.stdout + done.stderr), done

    # --- Watching ---------------------------------------------------------------------------------------------------

    def get(self, path: str) -> Any:
        """What the registry answers to the person, as JSON; the status for a refusal."""
        answer = self.larder.get(path, authorization=f"Bearer {self.eyes}")
        return json.loads(answer.body) if answer.status == 200 else answer.status

    def anyone_gets(self, path: str) -> int:
        """The status that the registry answers to anybody."""
        return self.larder.get(path).status

    def tags(self) -> dict[str, str]:
        """The dist-tags of the package."""
        tags: dict[str, str] = self.get(f"/-/package/{self.package}/dist-tags")
        return tags

    def versions(self, name: str) -> dict[str, dict[str, Any]]:
        """The versions of a package, by number."""
        versions: dict[str, dict[str, Any]] = self.get(f"/{name}")["versions"]
        return versions

    def maintainers(self) -> set[str]:
        """Who maintains the package without a scope."""
        return {person["name"] for person in self.get(f"/{self.plain}")["maintainers"]}

    def tokens(self) -> list[dict[str, Any]]:
        """The person's tokens, as the registry lists them; sessions too."""
        tokens: list[dict[str, Any]] = self.get("/-/npm/v1/tokens")["objects"]
        return tokens

    def created(self) -> list[dict[str, Any]]:
        """The tokens that were created with `token create` and are still there."""
        return [token for token in self.tokens() if any(secret.startswith(token["token"]) for secret in self.secrets)]

    def name_of(self, secret: str) -> str | None:
        """Whose the registry says a token is; None when it opens nothing."""
        answer = self.larder.get("/-/whoami", authorization=f"Bearer {secret}")
        return json.loads(answer.body)["username"] if answer.status == 200 else None

    # --- At the terminal --------------------------------------------------------------------------------------------

    def sign_in_in_the_browser(self, said: str) -> None:
        """Open the URL that a client shows, and sign in."""
        self.in_the_browser(said, name=self.person, password=PASSWORD)

    def in_the_browser(self, said: str, **fields: str) -> None:
        """Open the URL that a client shows, and fill in the form."""
        [url] = set(re.findall(r"http://\S+/-/web/login/\S+", said))
        browser = Browser(self.larder.send)
        browser.open(url)
        page = browser.fill(**fields).body
        assert b"Go back" in page, page.decode()

    def authenticator_code(self, said: str) -> str:
        """What an authenticator app shows that was given the secret on the screen."""
        [secret] = re.findall(r"\b[A-Z2-7]{32}\b", said)
        return totp.code(secret, time.time())
