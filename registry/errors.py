"""What can go wrong, in words for the person at the terminal.

Verbs raise these; `registry/api/errors.py` is the only place that knows their HTTP statuses. The sentence is shown
by npm, pnpm and yarn as it stands, so it says what happened and what to do.
"""

from typing import ClassVar


class RegistryError(Exception):
    """A request that cannot be served, with a stable code and a sentence for the user."""

    code: ClassVar[str] = "error"

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class NotFound(RegistryError):
    """There is no such thing here, or the reader may not know that there is."""

    code = "not_found"


class Unauthenticated(RegistryError):
    """The request needs credentials, or the ones that it carries are not valid."""

    code = "unauthenticated"


class OtpRequired(Unauthenticated):
    """Credentials are good, and the change needs a one-time password besides."""

    code = "otp_required"


class WrongNetwork(Unauthenticated):
    """The token is good, but not from where the request comes."""

    code = "wrong_network"


class Forbidden(RegistryError):
    """We know who asks, and they may not do this."""

    code = "forbidden"


class Conflict(RegistryError):
    """The state here has moved on since the client read it."""

    code = "conflict"


class Invalid(RegistryError):
    """The request or the package is malformed."""

    code = "invalid"


class TooLarge(RegistryError):
    """A body or a part of one is above its limit."""

    code = "too_large"


class Blocked(RegistryError):
    """An operator or a policy withholds this, for the reason that the sentence gives."""

    code = "blocked"


class Unavailable(RegistryError):
    """An upstream that we need does not answer now; asking again after `retry_after` seconds may help."""

    code = "unavailable"

    def __init__(self, sentence: str, *, retry_after: int = 10) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class TooManyAttempts(RegistryError):
    """Too many wrong passwords or codes were tried; after `retry_after` seconds one more may be."""

    code = "too_many_attempts"

    def __init__(self, sentence: str, *, retry_after: int) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after
