"""The JSON body of a publish, read as a stream: the small is parsed, the large goes to a file on the way.

A publish carries its tarball as base64 inside JSON, `{"_attachments": {"x-1.0.0.tgz": {"data":
"H4sI..."}}}`, so a body can be hundreds of megabytes although all but a few kilobytes of it are one string.
The walk goes over the text token by token and keeps it in one buffer, the skeleton. Where it comes to the
`data` of a tarball, the skeleton gets the tarball's number instead, and the string is decoded chunk by
chunk into a temporary file while its digests run. At the end the skeleton is parsed as a whole, and the
numbers tell which entry each file belongs to: no client can write one, because `data` must be a string.

The walk only has to know where it is: nesting, keys, and where strings end. It does not judge the text,
because the parser refuses whatever is not JSON.
"""

import binascii
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import msgspec

from registry import jsontext
from registry.digests import Digests
from registry.errors import Invalid, TooLarge

CHUNK = 64 * 1024

# Every repeat is possessive: a token that the end of the buffer cuts off fails at once, and a string full of
# escapes needs no memory. A string counts only together with what follows it, as that tells keys from values.
_TOKEN = re.compile(
    rb'[^"{}\[\]]*+(?:"([^"\\]*+(?:\\.[^"\\]*+)*+)"[ \t\n\r]*+(?:(:)|(?=[^:]))|([{\[])|[}\]])', re.DOTALL
)
_NOT_SPACE = re.compile(rb"[^ \t\n\r]")
_VALUE, _KEY, _OPENING = 1, 2, 3  # the last group of a match; a closing bracket has none

_BASE64 = re.compile(rb"[A-Za-z0-9+/]*+")
_BASE64_END = re.compile(rb"(?:[A-Za-z0-9+/]{2}(?:[A-Za-z0-9+/]{2}|[A-Za-z0-9+/]=|==))?")

Step = str | int
Place = tuple[Step, ...]
Spooled = tuple[Path, Digests]


class Stream(Protocol):
    """A body that can be read once, such as `wsgi.input`."""

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What one body may ask of this machine."""

    metadata_bytes: int = 64 * 1024 * 1024
    attachment_bytes: int = 512 * 1024 * 1024
    attachments: int = 200
    all_attachments_bytes: int = 2 * 1024 * 1024 * 1024
    depth: int = 64


@dataclass(frozen=True, slots=True)
class Attachment:
    """A tarball out of a body: its bytes in a file, and what the body says about them."""

    path: Path
    digests: Digests
    declared_length: int | None
    content_type: str | None


class PublishDocument:
    """A body without its tarballs, and the tarballs. Closing it deletes the files that nobody moved away."""

    def __init__(
        self, document: dict[str, Any], attachments: Mapping[Place, dict[str, Attachment]], files: ExitStack
    ) -> None:
        self.document = document
        self._attachments = attachments
        self._files = files

    @property
    def attachments(self) -> dict[str, Attachment]:
        """The tarballs of the document itself, by their keys under `_attachments`."""
        return self.attachments_at()

    def attachments_at(self, *place: Step) -> dict[str, Attachment]:
        """The tarballs of a document inside a batch: `attachments_at("packages", 2)`."""
        return self._attachments.get(place, {})

    def close(self) -> None:
        """Deletes what is still in the spool."""
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_document(stream: Stream, *, spool_dir: Path, limits: BodyLimits) -> PublishDocument:
    """Reads the whole of `stream`. When that fails nothing is left in the spool."""
    with ExitStack() as files:
        walk = _Walk(_Text(stream, limits.metadata_bytes), _Spool(spool_dir, limits, files), limits.depth)
        walk.to_the_end()
        document = walk.text.parsed()
        return PublishDocument(document, _attached(document, walk.spool.kept), files.pop_all())


class _Text:
    """The skeleton as far as it was read, and the stream that it comes from."""

    def __init__(self, stream: Stream, limit: int) -> None:
        self.skeleton = bytearray()
        self._stream = stream
        self._limit = limit

    def grow(self, at: int) -> bool:
        """Reads on; False at the end of the body.

        Reads at least as much as already waits behind `at`, so that a token far longer than a chunk is looked
        at a few times rather than once per chunk.
        """
        if len(self.skeleton) > self._limit:
            raise TooLarge(
                f"the metadata of this publish is larger than {self._limit:,} bytes: make the readme or the "
                "package.json smaller, or ask an operator to raise the limit"
            )
        size = len(self.skeleton)
        wanted = 2 * size - at
        while chunk := self._stream.read(CHUNK):
            self.skeleton += chunk
            if len(self.skeleton) >= wanted:
                break
        return len(self.skeleton) > size

    def next_character(self, at: int) -> int:
        """Where the space behind `at` ends."""
        while (found := _NOT_SPACE.search(self.skeleton, at)) is None:
            if not self.grow(at):
                raise _cut_off()
        return found.start()

    def cut_string(self, quote: int, *, stand_in: int) -> Iterator[bytes]:
        """Yields what the string at `quote` holds, no escape split, and leaves a number where it stood."""
        piece = bytes(self.skeleton[quote + 1 :])
        del self.skeleton[quote:]
        # An escaped quote ends the search too early, which is as good: base64 has no quotes, escaped or not.
        while (end := piece.find(b'"')) < 0:
            escape = piece.rfind(b"\\", -5)
            whole = len(piece) if escape < 0 else escape
            yield piece[:whole]
            chunk = self._stream.read(CHUNK)
            if not chunk:
                raise _cut_off()
            piece = piece[whole:] + chunk
        yield piece[:end]
        self.skeleton += b"%d %b" % (stand_in, piece[end + 1 :])

    def parsed(self) -> dict[str, Any]:
        """The skeleton's value."""
        if 0 in self.skeleton:  # only UTF-16 has NUL bytes, and jsontext would go and guess that
            raise Invalid("the request body is not UTF-8: publish again with a current npm client")
        try:
            document = jsontext.decode(bytes(self.skeleton))
        except ValueError as error:
            raise Invalid(f"the request body is not JSON ({error}): publish again with a current npm client") from error
        if not isinstance(document, dict):
            raise Invalid("the request body is not a JSON object: send the document that npm publish sends")
        return document


class _Spool:
    """Where attachments are decoded to, each remembered by its place in the body."""

    def __init__(self, folder: Path, limits: BodyLimits, files: ExitStack) -> None:
        self.kept: dict[Place, Spooled] = {}
        self._folder = folder
        self._limits = limits
        self._files = files
        self._finished_bytes = 0

    def keep(self, place: Place, pieces: Iterable[bytes]) -> None:
        """Writes the base64 in `pieces` to a file of its own."""
        name = place[-1]
        if place in self.kept:
            raise Invalid(f"the request body has the tarball {name!r} twice: send it once")
        if len(self.kept) == self._limits.attachments:
            raise TooLarge(f"the request body has more than {len(self.kept):,} tarballs: publish in smaller batches")
        with tempfile.NamedTemporaryFile(dir=self._folder, prefix="publish-", delete=False) as file:
            path = Path(file.name)
            self._files.callback(path.unlink, missing_ok=True)
            digests = Digests()
            self.kept[place] = path, digests
            try:
                for chunk in _decoded(pieces):
                    digests.update(chunk)
                    self._check_size(name, digests)
                    file.write(chunk)
            except ValueError as error:
                raise Invalid(f"the data of the tarball {name!r} is not base64 ({error}): publish again") from error
            self._finished_bytes += digests.size

    def _check_size(self, name: Step, digests: Digests) -> None:
        limit = self._limits.attachment_bytes
        if digests.size > limit:
            raise TooLarge(
                f"the tarball {name!r} is larger than {limit:,} bytes: leave files out with `files` in "
                "package.json, or ask an operator to raise the limit"
            )
        if self._finished_bytes + digests.size > self._limits.all_attachments_bytes:
            raise TooLarge(
                f"the request body has tarballs of more than {self._limits.all_attachments_bytes:,} bytes together: "
                "publish in smaller batches"
            )


class _Walk:
    """The way through the text of a body, from bracket to bracket."""

    def __init__(self, text: _Text, spool: _Spool, depth: int) -> None:
        self.text = text
        self.spool = spool
        self._depth = depth
        # One step for each open bracket: its key, or its index in an array. Scalars in an array are not
        # counted, so that the walk need not stop at commas: a batch is an array of objects.
        self._steps: list[Step] = []
        self._children: list[int] = [0]
        self._in_tarball = False

    def to_the_end(self) -> None:
        """Reads all of the body into the skeleton, but for the attachments."""
        at, key = 0, None
        skeleton, next_token = self.text.skeleton, _TOKEN.match
        while True:
            token = next_token(skeleton, at)
            if token is None:
                if self.text.grow(at):
                    continue
                break
            at, kind = token.end(), token.lastindex
            if kind == _KEY:
                key = token[1]
                if self._in_tarball and _string(key) == "data":
                    at = self._divert(at)
                continue
            if kind == _OPENING:
                self._enter(key)
            elif kind != _VALUE:
                self._leave()
            key = None
        if self._steps:
            raise _cut_off()

    def _enter(self, key: bytes | None) -> None:
        if len(self._steps) == self._depth:
            raise Invalid(f"the request body is nested deeper than {self._depth} levels: flatten the package.json")
        self._steps.append(self._children[-1] if key is None else _string(key))
        self._children[-1] += 1
        self._children.append(0)
        self._in_tarball = _is_tarball(self._steps)

    def _leave(self) -> None:
        if self._steps:
            self._steps.pop()
            self._children.pop()
        self._in_tarball = _is_tarball(self._steps)

    def _divert(self, at: int) -> int:
        place = tuple(self._steps[1:])
        value = self.text.next_character(at)
        if self.text.skeleton[value] != ord('"'):
            raise Invalid(f"the data of the tarball {place[-1]!r} is not a string: send it as base64")
        self.spool.keep(place, self.text.cut_string(value, stand_in=len(self.spool.kept)))
        return value


def _is_tarball(steps: list[Step]) -> bool:
    return len(steps) > 2 and steps[-2] == "_attachments" and str(steps[-1]).endswith((".tgz", ".tar.gz"))


def _string(raw: bytes) -> str:
    """The value of a JSON string; anything, when it is malformed, because the parser will refuse it."""
    try:
        return str(jsontext.decode(b'"%b"' % raw))
    except ValueError:
        return ""


def _decoded(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Strict base64, in JSON's escapes, chunk by chunk. Raises ValueError."""
    rest = b""
    for piece in pieces:
        characters = msgspec.json.decode(b'"%b"' % piece, type=str).encode("ascii", "replace")
        text = rest + characters.translate(None, b" \t\r\n")
        whole = max(len(text) - 1, 0) // 4 * 4  # the last group waits, because only it may be padded
        if not _BASE64.fullmatch(text, 0, whole):
            raise ValueError("it has characters outside the alphabet, or padding before its end")
        yield binascii.a2b_base64(text[:whole])
        rest = text[whole:]
    if not _BASE64_END.fullmatch(rest):
        raise ValueError("it does not end with a whole, padded group of four characters")
    yield binascii.a2b_base64(rest)


def _attached(document: dict[str, Any], kept: Mapping[Place, Spooled]) -> dict[Place, dict[str, Attachment]]:
    """The attachments by the place of the document that they belong to; `data` is taken out of it.

    An attachment that is not found was in an object that a later key of the same name replaced.
    """
    attached: dict[Place, dict[str, Attachment]] = {}
    for number, (place, (path, digests)) in enumerate(kept.items()):
        entry = _at(place, document)
        if not isinstance(entry, dict) or entry.get("data") != number:
            continue
        del entry["data"]
        length, content_type = entry.get("length"), entry.get("content_type")
        attached.setdefault(place[:-2], {})[str(place[-1])] = Attachment(
            path,
            digests,
            declared_length=length if type(length) is int else None,
            content_type=content_type if isinstance(content_type, str) else None,
        )
    return attached


def _at(place: Place, node: Any) -> Any:
    for step in place:
        try:
            node = node[step]
        except (LookupError, TypeError):
            return None
    return node


def _cut_off() -> Invalid:
    return Invalid("the request body ends in the middle, as when a connection is cut: publish again")
