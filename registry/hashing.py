"""How passwords are hashed: Django's Argon2, a bounded number at a time, whoever asks: clients, pages, or the admin."""

import base64
import hashlib
import threading
from typing import Any

import bcrypt
from django.contrib.auth.hashers import Argon2PasswordHasher, BasePasswordHasher, mask_hash
from django.utils.crypto import constant_time_compare

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


class Foreign(BasePasswordHasher):
    """A hash that came from another registry: verified, and replaced by one of ours when it was right."""

    def digest(self, password: str, salt: str) -> str:
        """What the other registry keeps of the password."""
        raise NotImplementedError

    def decode(self, encoded: str) -> dict[str, Any]:
        """Its parts."""
        algorithm, _, rest = encoded.partition("$")
        salt, _, digest = rest.rpartition("$")
        return {"algorithm": algorithm, "salt": salt, "hash": digest}

    def verify(self, password: str, encoded: str) -> bool:
        """Whether the password is the one of this hash."""
        known = self.decode(encoded)
        return constant_time_compare(known["hash"], self.digest(password, known["salt"]))

    def encode(self, password: str, salt: str) -> str:
        """Only for the time that it takes: no new password is kept like this."""
        return f"{self.algorithm}${salt}${self.digest(password, salt)}"

    def safe_summary(self, encoded: str) -> Any:
        """What the admin shows."""
        return {"algorithm": self.algorithm, "hash": mask_hash(self.decode(encoded)["hash"])}

    def must_update(self, encoded: str) -> bool:
        """Always."""
        return True

    def harden_runtime(self, password: str, encoded: str) -> None:
        """Nothing: what is imported tells by its time that it was imported, until its person has signed in once."""


class Bcrypt(Foreign):
    """bcrypt of htpasswd, behind `bcrypt$`; it reads 72 bytes of a password."""

    algorithm = "bcrypt"

    def verify(self, password: str, encoded: str) -> bool:
        """Whether the password is the one of this hash. Takes long on purpose."""
        try:
            with _places:
                return bcrypt.checkpw(password.encode()[:72], encoded.partition("$")[2].encode())
        except ValueError:  # it is no hash
            return False


class Htpasswd(Foreign):
    """`{SHA}` of htpasswd: base64 of one sha1 without salt."""

    algorithm = "sha1_htpasswd"

    def digest(self, password: str, salt: str) -> str:
        """One sha1."""
        return base64.b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()


class Cnpmcore(Foreign):
    """cnpmcore's: base64 of one sha512 over salt and password."""

    algorithm = "sha512_cnpmcore"

    def digest(self, password: str, salt: str) -> str:
        """One sha512."""
        return base64.b64encode(hashlib.sha512(f"{salt}{password}".encode()).digest()).decode()
