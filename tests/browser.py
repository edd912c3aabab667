"""A browser without JavaScript: `browser.open(url)`, then `browser.fill(name="alice", password="…")`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from http.cookies import SimpleCookie
from urllib.parse import urlencode, urlsplit

from tests import wsgi
from tests.wsgi import Answer


@dataclass
class Browser:
    """One person's: keeps cookies, and the form of the page that is open. `send` is how it reaches the server."""

    send: Callable[..., Answer] = wsgi.request
    cookies: SimpleCookie = field(default_factory=SimpleCookie)
    url: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)

    def open(self, url: str) -> Answer:
        """Follow a link; those with only a query are of the page that is open."""
        place = urlsplit(url)
        path = place.path or urlsplit(self.url).path
        self.url = f"{path}?{place.query}" if place.query else path
        return self._ask("GET")

    def fill(self, **values: str) -> Answer:
        """Fill in the form and send it with what it has hidden; what the form does not have is sent all the same."""
        return self._ask("POST", urlencode({**self.fields, **values}))

    def _ask(self, method: str, body: str = "") -> Answer:
        headers = {"Accept": "text/html", "Content-Type": "application/x-www-form-urlencoded"}
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={cookie.value}" for name, cookie in self.cookies.items())
        answer = self.send(method, self.url, body=body, headers=headers)
        self.cookies.load(answer.headers.get("set-cookie", ""))
        page = _Form()
        page.feed(answer.body.decode())
        self.fields = page.fields
        return answer


class _Form(HTMLParser):
    """The inputs of a page, with their values."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("name"):
            self.fields[given["name"] or ""] = given.get("value") or ""
