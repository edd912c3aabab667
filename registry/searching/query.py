"""The language of `npm search`, and the terms that it is answered from.

`react -native keywords:ui,"design system" author:jane not:deprecated`: words that must all be there or begin one that
is, words that must not be there, and labels. A *term* is a word, or a label such as `:keywords:ui`; a package's terms
are one text with a space around each. A *needle* is looked for in that text: ` rea` finds words that begin so,
` :keywords:ui ` finds just that label.

Terms are of letters and digits, and labels of a few signs besides: in no language of a database do they mean anything.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Self

from registry.errors import Invalid

_MAX_LENGTH = 512
_MAX_NEEDLES = 32
_MAX_TERM = 100

_WORD = re.compile(r"[^\W_]+")
_UNSAFE = re.compile(r"[\s\x00-\x1f\x7f_%'\"\\,\ud800-\udfff]+")
_PART = re.compile(r'(-?)(?:(author|maintainer|keywords|scope|is|not):)?((?:"[^"]*"|[^\s"])+)')
_ITEM = re.compile(r'"([^"]*)"|([^,"]+)')


class Clause(NamedTuple):
    """One condition: all of the needles must be there, or any of them."""

    needles: tuple[str, ...]
    is_any: bool = False
    is_negated: bool = False


_NONE = Clause((), is_any=True)


@dataclass(frozen=True, slots=True)
class Query:
    """What somebody looks for. `text` is what they wrote without labels: a name, perhaps."""

    text: str
    words: tuple[str, ...]
    clauses: tuple[Clause, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Any text is a query; signs alone find nothing. Raises `Invalid` for one that is too long to be meant."""
        if len(text) > _MAX_LENGTH:
            raise Invalid(f"search for {_MAX_LENGTH} characters at most")
        folded = _folded(text)
        parts = _PART.findall(folded)
        clauses = [_labelled(minus, key, value) if key else _worded(minus, value) for minus, key, value in parts]
        if sum(len(clause.needles) for clause in clauses) > _MAX_NEEDLES:
            raise Invalid(f"search for {_MAX_NEEDLES} words at most")
        said = [clause for clause in clauses if clause.needles]
        plain = " ".join(value.strip('"') for minus, key, value in parts if words(value) and not (minus or key))
        return cls(plain, tuple(words(plain)), tuple(said or [_NONE] * bool(folded.strip())))


def words(text: str) -> list[str]:
    """The words in a text, each once, in their order."""
    return list(dict.fromkeys(word[:_MAX_TERM] for word in _WORD.findall(_folded(text))))


def label(key: str, value: str) -> str:
    """The term for one value of a label: `:keywords:design-system`. A label of nothing is empty."""
    plain = _UNSAFE.sub("-", _folded(value).lstrip("@"))[:_MAX_TERM].strip("-")
    return f":{key}:{plain}" if plain else ""


def joined(terms: Iterable[str]) -> str:
    """The terms as one text, each once, with a space around each."""
    return f" {' '.join(dict.fromkeys(filter(None, terms)))} "


def _worded(minus: str, value: str) -> Clause:
    needles = tuple(f" {word}" for word in words(value))
    return Clause(needles, is_negated=bool(minus))


def _labelled(minus: str, key: str, value: str) -> Clause:
    items = (quoted or plain for quoted, plain in _ITEM.findall(value))
    labels = (label("is" if key == "not" else key, item) for item in items)
    needles = tuple(f" {one} " for one in labels if one)
    return Clause(needles, is_any=True, is_negated=bool(minus) != (key == "not"))


def _folded(text: str) -> str:
    """As letters are compared: `É` is `é`, and it is one letter, not two."""
    return unicodedata.normalize("NFKC", text).casefold().replace("\0", " ")
