"""How passwords are hashed: Django's Argon2, a bounded number at a time, whoever asks: clients, pages, or the admin."""

import threading

from django.contrib.auth.hashers import Argon2PasswordHasher

# Each hash takes 100 MB while it is made; many at once would take gigabytes.
_places = threading.BoundedSemaphore(2)


class Argon2(Argon2PasswordHasher):
    """Argon2, for two at a time in each process; the others wait."""

    def encode(self, password: str, salt: str) -> str:
        """The hash of a new password."""
        with _places:
            return super().encode(password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        """Whether the password is the one of this hash."""
        with _places:
            return super().verify(password, encoded)
