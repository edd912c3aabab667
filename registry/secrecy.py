"""Secrets that must be read again are encrypted at rest: a copy of the database alone opens nothing.

The key comes from `SECRET_KEY`. Keys in `SECRET_KEY_FALLBACKS` still open what was sealed with them.
"""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

_PURPOSE = b"registry.secrecy"


class Unreadable(Exception):
    """It was sealed with a key that is not ours any more, or it was changed since."""


def seal(text: str) -> str:
    """The text, encrypted."""
    return _keys().encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """The text that was sealed. Raises `Unreadable`."""
    try:
        return _keys().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise Unreadable("sealed with another LARDER_SECRET_KEY, or damaged") from error


def _keys() -> MultiFernet:
    return MultiFernet([Fernet(_derived(key)) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)])


def _derived(key: str | bytes) -> bytes:
    material = key.encode() if isinstance(key, str) else key
    return base64.urlsafe_b64encode(hmac.digest(material, _PURPOSE, hashlib.sha256))
