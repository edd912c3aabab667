"""Commands in the words of every client, and checks of what they should have changed in the registry.

    tags = Chapter()

    @tags.row("dist-tag add", npm="dist-tag add {package}@1.0.0 old", yarn_1="tag add {package}@1.0.0 old")
    def dist_tag_add(walk: Walk, said: str) -> None:
        assert walk.tags()["old"] == "1.0.0"

Whose words a client uses is in VOICES. One that has none in a row is asked for npm's command, and must say itself that
it knows no such thing. The chapters are in `tests/clients/phrases/`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.clients.commands import Completed

if TYPE_CHECKING:
    from tests.clients.walks import Walk

UNKNOWN = r"(?i)unknown command|command( \S+)? not found|script not found|reserved for future use"


@dataclass(frozen=True)
class Cannot:
    """Why a client cannot do a row, and what it says itself when it is asked for it."""

    reason: str
    asked: str = ""
    told: str = ""


# What a client is told to do: words, with {names} in them, or a function that does it.
Words = str | Callable[["Walk"], Completed] | Cannot


@dataclass(frozen=True)
class Row:
    """A command, in the words of each client, and a check of what came of it."""

    title: str
    words: dict[str, Words]  # by voice, see VOICES
    check: "Check"

    def of(self, client: str) -> Words:
        """The words of one client. It is asked for the command of npm when there are none."""
        for voice in VOICES[client]:
            if voice in self.words:
                return self.words[voice]
        return absent(self.title)


# Whose words a client uses: the first of these that a row has.
VOICES = {
    "npm-6": ("npm_6", "old_npm", "npm"),
    "npm-8": ("old_npm", "npm"),
    "npm-9": ("npm",),
    "npm-10": ("npm",),
    "npm-11": ("npm_11", "npm"),
    "npm-12": ("npm_12", "npm_11", "npm"),
    "pnpm-8": ("old_pnpm", "npm_11", "npm"),
    "pnpm-10": ("old_pnpm", "npm_11", "npm"),
    "pnpm-11": ("pnpm_11", "pnpm", "npm"),
    "pnpm-12": ("pnpm", "npm"),
    "yarn-1": ("yarn_1",),
    "yarn-4": ("yarn_4",),
    "bun": ("bun",),
}
HANDS_ON = ("pnpm-8", "pnpm-10")  # to npm, all but their installing


def absent(title: str) -> Cannot:
    """A client's lack of a whole command."""
    return Cannot("no such command", title.split(maxsplit=1)[0], UNKNOWN)


Check = Callable[["Walk", str], None]  # is given all that the command said


class Chapter(list[Row]):
    """Rows that belong together, in the order in which a client takes them."""

    def row(self, title: str, **words: Words) -> Callable[[Check], Check]:
        """Add a row with its words by voice; the function checks what came of it."""

        def add(check: Check) -> Check:
            self.append(Row(title, words, check))
            return check

        return add


def everybody(words: Words) -> dict[str, Words]:
    """The same for every client."""
    return dict.fromkeys(("npm", "yarn_1", "yarn_4", "bun"), words)
