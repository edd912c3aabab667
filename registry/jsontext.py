"""JSON as registries speak it: fast where the text is clean, and forgiving where JavaScript is.

msgspec reads and writes it. What it refuses and JavaScript accepts (lone surrogates) takes the standard library's way,
so that no field of an upstream is lost.
"""

import json
from collections.abc import Iterable
from typing import Any, NoReturn

import msgspec

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder()
_slices = msgspec.json.Decoder(dict[str, msgspec.Raw])


def decode(text: bytes | str) -> Any:
    """The value of `text`. Raises ValueError for what is not JSON; `NaN` and `Infinity` are not."""
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        return json.loads(text, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("the JSON is nested too deeply") from error


def slices(text: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of the object in `text`, each as the slice of text that it stands in, not decoded.

    Raises ValueError when `text` is not an object. A packument of 20 MB costs little more than itself this way.
    """
    try:
        return _slices.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    value = decode(bytes(text))
    if isinstance(value, dict):
        return {key: msgspec.Raw(encode(member).encode()) for key, member in value.items()}
    raise ValueError("not a JSON object")


def texts(text: bytes | msgspec.Raw) -> dict[str, str]:
    """The members of the object in `text`, each as its text. Raises ValueError when `text` is not an object."""
    return {key: bytes(member).decode() for key, member in slices(text).items()}


def compact(text: bytes) -> bytes:
    """`text` without white space between its tokens; as it is, where msgspec cannot read it."""
    try:
        return msgspec.json.format(text, indent=-1)
    except msgspec.DecodeError:
        return text


def encode(value: Any) -> str:
    """The compact text of `value`, keys in their order. Raises ValueError for what JSON cannot hold."""
    try:
        return _encoder.encode(value).decode()
    except (UnicodeError, msgspec.EncodeError, OverflowError):
        return json.dumps(value, separators=(",", ":"), allow_nan=False)


def members(pairs: Iterable[tuple[str, str]]) -> str:
    """The text of an object whose members' texts are given."""
    return "{" + ",".join(f"{encode(key)}:{text}" for key, text in pairs) + "}"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
