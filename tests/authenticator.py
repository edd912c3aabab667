"""The app on a person's phone: `phone = Phone.of(alice)`, then `alice.publish(…, otp=phone.code())`."""

import time
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from registry import totp
from tests.actors import Person
from tests.wsgi import Answer

PASSWORD = "correct horse battery"
PROFILE = "/-/npm/v1/user"


@dataclass(frozen=True)
class Phone:
    secret: str
    recovery_codes: list[str]

    @classmethod
    def of(cls, person: Person, mode: str = "auth-and-writes") -> "Phone":
        """`npm profile enable-2fa <mode>`, up to the recovery codes."""
        begun = post(person, {"tfa": {"password": PASSWORD, "mode": mode}})
        assert begun.status == 200, begun.body
        secret = scanned(begun)
        done = post(person, {"tfa": [totp.code(secret, time.time())]})
        assert done.status == 200, done.body
        return cls(secret, done.json()["tfa"])

    def code(self) -> str:
        """What it shows now."""
        return totp.code(self.secret, time.time())


def post(person: Person, body: object, otp: str = "") -> Answer:
    """A change of the profile, as npm sends it."""
    return person.send("POST", PROFILE, body=body, headers=with_otp(otp))


def scanned(answer: Answer) -> str:
    """The secret in the URL that npm draws as a QR code."""
    return parse_qs(urlsplit(answer.json()["tfa"]).query)["secret"][0]


def with_otp(otp: str) -> dict[str, str]:
    return {"npm-otp": otp} if otp else {}
