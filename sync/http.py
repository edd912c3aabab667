"""The one HTTP client for upstreams: pooled, guarded, and honest about what it got.

urllib3 does the protocol. What it leaves open is decided here: redirects are followed by hand, so that the
authorization stays with the origin it was configured for and every target is vetted (`sync.addresses`); a total
deadline holds for every byte of an answer, so that an upstream which drips is ended; bodies come as they stood on
the wire, or decoded within a bound; and whatever goes wrong is one of five errors with a sentence for an operator.

Nothing is retried, but for one case: a kept-alive connection that the server gave up just before we used it.
"""

import http.client
import io
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import unquote, urljoin
from urllib.request import getproxies_environment, proxy_bypass_environment

import urllib3
import zstandard
from urllib3 import exceptions as failures
from urllib3.util import Url, parse_url

from sync import addresses

REDIRECTS = frozenset({301, 302, 303, 307, 308})
DEFAULT_PORTS = {"http": 80, "https": 443}
RETRY_AFTER_MAX = 3600.0
# An unread body up to this size is read to its end, because that is cheaper than a new connection.
DRAIN_MAX = 65536
# The most that is given to a decompressor at once. What it expands to is only known afterwards: at worst 16 MB (zstd).
INFLATE_STEP = 512


class UpstreamError(Exception):
    """An upstream did not give what was asked; the sentence tells an operator why."""

    def __init__(self, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.retry_after = retry_after


class Unreachable(UpstreamError):
    """No answer: the name, the connection, TLS or the time."""


class BadAnswer(UpstreamError):
    """An answer that says "not now", or that makes no sense."""


class Truncated(UpstreamError):
    """The connection ended before the body did."""


class TooLarge(UpstreamError):
    """The body is larger than the caller wants to hold."""


class ForbiddenTarget(UpstreamError):
    """A URL that we will not follow, wherever it came from."""
