"""Who does something, and the circumstances in which they do it."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self


class ActorKind(StrEnum):
    USER = "user"
    TOKEN = "token"  # noqa: S105  the kind of actor, not a secret
    UPSTREAM = "upstream"
    SYSTEM = "system"
    ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """Which request this is, and the address that it came from; both empty outside a request."""

    request_id: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts. The name is copied into history, so that history outlives its people.

    The ids, and whether a one-time password was shown and right, are for deciding rights while the action runs; they
    are not recorded.
    """

    kind: ActorKind
    name: str
    origin: str = ""
    request_id: str = ""
    user_id: int | None = None
    token_id: int | None = None
    has_shown_otp: bool = False

    @classmethod
    def user(cls, name: str, *, user_id: int | None = None) -> Self:
        return cls(ActorKind.USER, name, user_id=user_id)

    @classmethod
    def token(cls, name: str, *, token_id: int | None = None, user_id: int | None = None) -> Self:
        return cls(ActorKind.TOKEN, name, user_id=user_id, token_id=token_id)

    @classmethod
    def upstream(cls, name: str) -> Self:
        return cls(ActorKind.UPSTREAM, name)

    @classmethod
    def system(cls, name: str) -> Self:
        return cls(ActorKind.SYSTEM, name)

    @classmethod
    def anonymous(cls) -> Self:
        return cls(ActorKind.ANONYMOUS, "")

    def as_of(self, request: RequestFacts) -> Self:
        """The same actor, seen in this request."""
        return replace(self, origin=request.origin, request_id=request.request_id)

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()
