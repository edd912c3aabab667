"""Subscribers for tests."""

from audit.models import Event


class Killed(BaseException):
    """The process is gone; nobody catches this."""


class Listener:
    """A subscriber that remembers what it heard, fails or dies on the subjects that it is told to."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.poisonous: set[str] = set()
        self.deadly: set[str] = set()

    def hear(self, event: Event) -> None:
        if event.subject in self.deadly:
            raise Killed
        if event.subject in self.poisonous:
            raise ValueError(f"cannot swallow {event.subject}")
        self.heard.append(event.subject)
