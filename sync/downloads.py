"""Fetching files from configured places that are no upstreams: what we ship for `REGISTRY["DOWNLOAD"]`."""

from pathlib import Path

from django.conf import settings

from registry.errors import TooLarge, Unavailable
from registry.fetching import Validators
from sync import http
from sync.http import USUAL, Origin, Response, Timeouts, UpstreamError
from sync.kinds.registry import client

_LONGEST = {"etag": 300, "last-modified": 100}


def download(url: str, into: Path, *, unless: Validators, max_bytes: int) -> Validators | None:
    """Fetch `url` as it is, within the time that a tarball may take."""
    conditions = {"if-none-match": unless.etag, "if-modified-since": "" if unless.etag else unless.last_modified}
    headers = {"accept-encoding": "identity"} | {name: value for name, value in conditions.items() if value}
    timeout = Timeouts(read=USUAL.read, total=settings.TARBALL_TIMEOUT_SECONDS)
    try:
        with client().get(
            url, origin=Origin.of(url), headers=headers, max_bytes=max_bytes, timeout=timeout
        ) as response:
            if response.status == 304 and len(headers) > 1:
                return None
            if response.status != 200:
                raise Unavailable(f"{response.shown} answered {response.status}")
            with into.open("wb") as file:
                for chunk in response.stream():
                    file.write(chunk)
            return Validators(_header(response, "etag"), _header(response, "last-modified"))
    except http.TooLarge as error:
        raise TooLarge(error.sentence) from error
    except UpstreamError as error:
        raise Unavailable(error.sentence) from error


def _header(response: Response, name: str) -> str:
    """A validator, if we can keep it."""
    value = response.headers.get(name, "")
    return value if value.isprintable() and len(value) <= _LONGEST[name] else ""
