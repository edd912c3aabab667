"""Codes that an authenticator app and we compute from one secret and the clock (RFC 6238)."""

import base64
import hashlib
import hmac
import secrets
import struct
from urllib.parse import quote, urlencode

_STEP_SECONDS, _DIGITS = 30, 6
_SECRET_BYTES = 20  # RFC 4226 asks for the length of the hash


def new_secret() -> str:
    """A secret, as people type it into an app that cannot scan."""
    return base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def url(secret: str, *, issuer: str, name: str) -> str:
    """What an app scans. Apps list it under the issuer and the name."""
    query = urlencode({"secret": secret, "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(f'{issuer}:{name}')}?{query}"


def code(secret: str, now: float) -> str:
    """What the app shows at `now`, in seconds since 1970."""
    step = struct.pack(">Q", int(now) // _STEP_SECONDS)
    digest = hmac.digest(base64.b32decode(secret), step, hashlib.sha1)
    start = digest[-1] & 0xF
    number = int.from_bytes(digest[start : start + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**_DIGITS:0{_DIGITS}}"


def is_right(secret: str, shown: str, now: float) -> bool:
    """Whether the app shows it, or showed it a step ago, or will in a step: clocks differ, and people type slowly."""
    typed = shown.encode("utf-8", "replace")
    return any(hmac.compare_digest(typed, code(secret, now + steps * _STEP_SECONDS).encode()) for steps in (-1, 0, 1))
