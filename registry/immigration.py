"""People of another registry become people here, with the passwords and tokens that they have.

What another registry keeps of a password is a hash in its own manner. It is kept as it is, and replaced by ours when
its person signs in for the first time (`registry.hashing`). Nobody who is here already is changed by it.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from audit import journal
from audit.actors import Actor
from audit.facts import storable_text
from registry import access, tokens
from registry.errors import Invalid
from registry.events import TOKEN_CREATED, USER_CREATED
from registry.models import Token, User

# Up to a cost that takes about two seconds: to try one of 31 would take days.
_BCRYPT = re.compile(r"\$2[aby]\$(?:0[4-9]|1[0-5])\$[./A-Za-z0-9]{53}")
_LONGEST_SALT = 120
_SHA512_HEX = re.compile(r"[0-9a-f]{128}")


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody of another registry; `password` as Django stores it, empty when it cannot be verified here."""

    name: str
    password: str = ""
    email: str = ""
    why_not: str = ""
    # The other registry's number for them, by which its tokens name them.
    number: str = ""


@dataclass(frozen=True, slots=True)
class ForeignToken:
    """A token that somebody has; `key_hash` as we store it."""

    owner: str  # the number of its person there
    key_hash: str
    prefix: str
    is_read_only: bool


@dataclass(slots=True)
class Report:
    """What became of each."""

    admitted: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)  # somebody here has that name
    without_password: dict[str, str] = field(default_factory=dict)  # admitted, and why they cannot sign in yet
    refused: dict[str, str] = field(default_factory=dict)
    tokens: int = 0


def admit(people: Iterable[Newcomer], foreign: Iterable[ForeignToken] = (), *, actor: Actor) -> Report:
    """Make them people here, in one transaction, and let their tokens open what they opened."""
    access.require_operator(actor)
    report, users = Report(), dict[str, User]()
    with transaction.atomic():
        for one in people:
            user = _admit(one, report, actor)
            if user is not None and one.number:
                users[one.number] = user
        for token in foreign:
            if token.owner in users and _keep(token, users[token.owner], actor):
                report.tokens += 1
    return report


def _admit(one: Newcomer, report: Report, actor: Actor) -> User | None:
    user = User(username=one.name, email=one.email, password=one.password or "!")
    try:
        user.clean_fields(exclude=["password"])
    except ValidationError as error:
        report.refused[storable_text(one.name)[:100]] = "; ".join(error.messages)
        return None
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        report.known.append(one.name)
        return None
    journal.record(USER_CREATED, f"user:{user.username}", actor=actor, is_admin=False)
    report.admitted.append(one.name)
    if not one.password:
        report.without_password[one.name] = one.why_not
    return user


def _keep(token: ForeignToken, user: User, actor: Actor) -> bool:
    kind = Token.Kind.READ_ONLY if token.is_read_only else Token.Kind.PUBLISH
    try:
        with transaction.atomic():
            Token.objects.create(
                user=user, key=tokens.new_key(), key_hash=token.key_hash, prefix=token.prefix[:12], kind=kind
            )
    except IntegrityError:
        return False
    journal.record(TOKEN_CREATED, f"user:{user.username}", actor=actor, prefix=token.prefix[:12], token_kind=kind)
    return True


# --- Where they come from -----------------------------------------------------------------------------------------


def from_htpasswd(text: str) -> list[Newcomer]:
    """The people of Verdaccio's htpasswd file: `name:hash`, and what may follow."""
    found = list[Newcomer]()
    for place, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, rest = line.partition(":")
        if not colon:
            raise Invalid(f"line {place} is no line of an htpasswd file: it has no colon")
        found.append(_of_htpasswd(name.strip(), rest.partition(":")[0].strip()))
    return found


def _of_htpasswd(name: str, hashed: str) -> Newcomer:
    if _BCRYPT.fullmatch(hashed):
        return Newcomer(name, f"bcrypt${hashed}")
    if hashed.startswith("{SHA}") and (digest := _base64(hashed[5:], 20)):
        return Newcomer(name, f"sha1_htpasswd${digest}")
    kind = "MD5" if hashed.startswith("$apr1$") else "crypt"
    return Newcomer(name, why_not=f"its password is kept as {kind}, which is too weak to be taken over: invite them")


def from_cnpmcore(lines: Iterable[str]) -> tuple[list[Newcomer], list[ForeignToken]]:
    """The people and tokens of an export of cnpmcore's tables `users` and `tokens`: one JSON object in a line.

    Its passwords are one round of sha512 over salt and password, its token keys the sha512 of the token.
    """
    people, keys = list[Newcomer](), list[ForeignToken]()
    for row in _rows(lines):
        if isinstance(row.get("token_key"), str):
            keys += _key_of(row)
        elif isinstance(row.get("name"), str):
            people += _person_of(row)
    return people, keys


def _rows(lines: Iterable[str]) -> Iterator[dict[str, Any]]:
    for place, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"line {place} is no JSON: {str(error)[:100]}") from error
        if not isinstance(row, dict):
            raise Invalid(f"line {place} is no row: each line is an object with the columns of a table")
        yield row


def _person_of(row: dict[str, Any]) -> list[Newcomer]:
    """Nobody for the authors of mirrored packages, who have a row there too: `npm:somebody`."""
    name, salt, kept = row["name"], row.get("password_salt"), row.get("password_integrity")
    if ":" in name:
        return []
    email = row.get("email") if isinstance(row.get("email"), str) else ""
    number = str(row.get("user_id", ""))
    digest = _base64(kept.removeprefix("sha512-"), 64) if isinstance(kept, str) else ""
    if not (digest and isinstance(salt, str) and _is_salt(salt)):
        return [Newcomer(name, email=email or "", number=number, why_not="it has no password: invite them")]
    return [Newcomer(name, f"sha512_cnpmcore${salt}${digest}", email or "", number=number)]


def _is_salt(text: str) -> bool:
    return len(text) <= _LONGEST_SALT and text.isascii() and text.isprintable() and "$" not in text


def _key_of(row: dict[str, Any]) -> list[ForeignToken]:
    """Not those that are limited to packages or networks, or that end: we would have to know how."""
    key = row["token_key"]
    is_plain = row.get("type") in (None, "classic") and not row.get("expired_at") and not _networks(row)
    if not (_SHA512_HEX.fullmatch(key) and is_plain):
        return []
    mark = row.get("token_mark")
    prefix = mark if isinstance(mark, str) and mark.isprintable() else "cnpmcore"
    is_read_only = bool(row.get("is_readonly"))
    return [ForeignToken(str(row.get("user_id", "")), tokens.of_cnpmcore(key), prefix, is_read_only)]


def _networks(row: dict[str, Any]) -> object:
    kept = row.get("cidr_whitelist")
    return None if kept in ("[]", "", []) else kept


def _base64(text: str, size: int) -> str:
    """The text, if it is the base64 of so many bytes; else nothing."""
    try:
        return text if len(base64.b64decode(text, validate=True)) == size else ""
    except (ValueError, binascii.Error):
        return ""
