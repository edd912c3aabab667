"""A certified OpenID provider, the npm package `oidc-provider`, on loopback, and a browser to sign in there.

    with OpenIdProvider() as provider:
        provider.tell(people={"00u7": {"preferred_username": "erin", "email": "erin@example.org"}})
        back = provider.visit(url_that_we_redirected_to, "00u7")

It signs with `keys`, which the test knows too, so that a test can also forge what the provider would never say.
"""

import html
import json
import re
import shutil
import signal
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.parse import urljoin

import requests
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.clients import toolbox
from tests.services import _process, _wait

PACKAGE, VERSION = "oidc-provider", "9.13.3"
CLIENT, SECRET = "larder", "a secret of larder and its provider"


class OpenIdProvider:
    """One process. Its people are claims by subject; its faults are answers by path, given instead of its own."""

    def __init__(self) -> None:
        kept = toolbox.ROOM / f"{PACKAGE}@{VERSION}"
        toolbox.install_once(kept, {PACKAGE: VERSION})
        self._program = kept / "node_modules" / PACKAGE / "lib" / "index.js"
        self._node = toolbox.node()
        self._folder = Path(tempfile.mkdtemp(prefix="larder-openid-"))
        self._running = ExitStack()
        self.issuer = ""
        self._key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256", "kid": "the key"})

    def __enter__(self) -> Self:
        keys, world, log = self._folder / "keys.json", self._folder / "world.json", self._folder / "log"
        keys.write_text(json.dumps({"keys": [self._key.as_dict(private=True)]}))
        self.tell()
        script = Path(__file__).with_name("provider.mjs")
        command = [self._node, script, self._program, keys, world]
        self._running.enter_context(_process(command, None, self._folder, signal.SIGTERM))
        _wait(lambda: "http://127.0.0.1" in log.read_text())
        self.issuer = re.search(r"^http://127\.0\.0\.1:\d+$", log.read_text(), re.MULTILINE)[0]
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()
        shutil.rmtree(self._folder)

    def tell(self, people: dict[str, Any] | None = None, faults: dict[str, Any] | None = None) -> None:
        """From now on these are its people, and these its faults."""
        new = self._folder / "world.new"
        new.write_text(json.dumps({"people": people or {}, "faults": faults or {}}))
        new.rename(self._folder / "world.json")

    def sign(self, claims: dict[str, Any], key: RSAKey | None = None) -> str:
        """A token that says this, by the provider's key or by another."""
        return jwt.encode({"alg": "RS256", "kid": "the key"}, claims, key or self._key)

    def visit(self, url: str, subject: str) -> str:
        """Sign in and consent there, as a new browser; where it is sent after that."""
        with requests.Session() as browser:
            browser.trust_env = False
            answer = browser.get(url, allow_redirects=False)
            while True:
                if answer.is_redirect:
                    url = urljoin(url, answer.headers["location"])
                    if not url.startswith(self.issuer):
                        return url
                    answer = browser.get(url, allow_redirects=False)
                    continue
                assert answer.status_code == 200, answer.text
                action = html.unescape(re.search(r'action="([^"]+)"', answer.text)[1])
                prompt = re.search(r'name="prompt" value="(\w+)"', answer.text)[1]
                form = {"prompt": prompt, "login": subject, "password": "any"}
                answer = browser.post(urljoin(url, action), data=form, allow_redirects=False)
