"""What a rule is about: one name, a scope, or the beginning of names. Pure.

A pattern is a name (`left-pad`, `@acme/tools`), a scope (`@acme`, which is short for `@acme/*`), the beginning of names
(`left-*`, `@acme/tool-*`) or `*`. The longest that fits decides. Beginnings never end within a scope: `@acme*` would
be `@acme-labs` too, which is somebody else.
"""

from collections.abc import Iterator

from registry.errors import Invalid
from registry.names import PackageName

EVERYTHING = "*"


def canonical(text: str) -> str:
    """The one spelling of a pattern. Raises `Invalid`.

    Scopes are in lower case, as npm has no others: with capitals in it nothing escapes a rule.
    """
    if text == EVERYTHING:
        return text
    pattern = f"{text}/*" if text.startswith("@") and not {"/", "*"} & set(text) else text
    beginning = pattern.removesuffix("*")
    is_open = beginning != pattern
    refusal = Invalid(
        f'"{text[:80]}" is no pattern: write a name, @scope, @scope/begin-*, begin-* or * (all that is left)'
    )
    if "*" in beginning:  # names of old may have one
        raise refusal
    try:
        # With whatever may follow the beginning of a name must be one; by itself it need not be: `@acme/`.
        name = PackageName.parse(f"{beginning}x" if is_open else beginning)
    except Invalid as error:
        raise refusal from error
    return f"{_folded(name)[:-1]}*" if is_open else _folded(name)


def is_one(text: str) -> bool:
    """Whether `text` is a pattern."""
    try:
        canonical(text)
    except Invalid:
        return False
    return True


def fitting(name: PackageName) -> Iterator[str]:
    """Every pattern that fits the name, the most specific first."""
    text = _folded(name)
    yield text
    for length in range(len(text), len(name.scope), -1):
        yield f"{text[:length]}*"
    yield EVERYTHING


def fits(pattern: str, name: PackageName) -> bool:
    """Whether the name is one that a pattern, spelled canonically, is about."""
    return pattern in fitting(name)


def _folded(name: PackageName) -> str:
    return f"{name.scope.lower()}/{name.base}" if name.scope else name.base
