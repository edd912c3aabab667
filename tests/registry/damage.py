"""What may be wrong with a request: strategies for `hypothesis` that begin with an honest one and damage it somewhere.

They shrink to the honest one.
"""

import copy
import json
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

from tests.registry.honest import Request

NASTY = [
    "", "\0", "\ud800", "\u2028", "\ufeff", "\x7f", "..", "/", ".", "-", "-rev", "*", "%", "%2f", "@acme/box",
    "@ACME/box", "@acme/", "acme:readers", "1.0.0", "latest", "^1", "alice", "bob", "__proto__", "constructor",
    "{{7*7}}", "é", "💥", "x" * 300, "9" * 400,
]  # fmt: skip
# Pieces of paths, %-encoded as no client would.
_PIECES = [
    "", "%00", "%2e%2e", "..", ".", "%2f", "%252f", "%5c", "%", "%zz", "%ff", "%c0%af", "%ed%a0%80", "%0d%0a", "%20",
    "%01", "%f0%9f%92%a5", "%EF%BC%8F", "%u0041", "+", ";", "-", "-rev", "download", "@acme", "@ACME%2fbox",
    "@Acme%2FBox", "%40acme%2Fbox", "@acme%252fbox", "@acme%2f..", "@acme%2f%2e%2e%2fbox", "@acme%2fbox%00",
    "box-1.0.0.tgz", "box-%00.tgz", "1.0.0", "latest", "^1%20||%202", "org.couchdb.user:", "__proto__", "x" * 300,
    "%41" * 3000,
]  # fmt: skip
_TEXTS = [
    b"\0", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b'"\\ud800"', b"NaN", b"-Infinity", b"1e999", b"9" * 5000,
    b"\\u0000", b"[" * 5000, b'{"a":' * 5000, b'"', b"}", b",", b"/* */", b'{"name":1,',
    b'"_attachments":{"x.tgz":{"data":"!"}},',
]  # fmt: skip
_PARAMETERS = ["text", "size", "from", "key", "user", "page", "perPage", "format", "write", "rev"]

_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(2**64)
    | st.floats()
    | st.sampled_from(NASTY)
    | st.text(max_size=20)
)
values = st.recursive(
    _scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NASTY) | st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
_keys = st.sampled_from(NASTY) | st.text(max_size=9)
queries = st.lists(
    st.tuples(st.sampled_from(_PARAMETERS), _keys),
    max_size=3,
).map(lambda pairs: "&".join(f"{key}={quote(value.encode(errors='surrogatepass'))}" for key, value in pairs))


def places(node: Any, at: tuple = ()) -> list[tuple]:
    """Every place in a document, as the keys and indexes that lead there."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [at, *(place for key, child in children for place in places(child, (*at, key)))]


@st.composite
def damaged(draw: st.DrawFn, document: Any, *, most: int = 3) -> Any:
    """The document, but for a few places where anything may stand, or nothing, or the same under another key."""
    root = {"document": copy.deepcopy(document)}
    for _ in range(draw(st.integers(0, most))):
        *above, key = draw(st.sampled_from([place for place in places(root) if place]))
        node = root
        for step in above:
            node = node[step]
        match draw(st.sampled_from(["replace", "repeat", "remove", "wrap", "rename"])):
            case "replace":
                node[key] = draw(values)
            case "repeat":
                node[key] = [node[key]] * draw(st.sampled_from([0, 2, 300]))
            case "remove" if above:
                del node[key]
            case "wrap":
                node[key] = {draw(_keys): node[key]}
            case "rename" if isinstance(node, dict) and above:
                node[draw(_keys)] = node.pop(key)
    return root["document"]


@st.composite
def broken(draw: st.DrawFn, text: bytes) -> bytes:
    """The text, cut off, with something strange in it, or in another encoding."""
    at = draw(st.integers(0, len(text)))
    match draw(st.sampled_from(["insert", "overwrite", "cut", "twice", "utf-16"])):
        case "insert":
            return text[:at] + draw(st.sampled_from(_TEXTS)) + text[at:]
        case "overwrite":
            return text[:at] + draw(st.binary(min_size=1, max_size=4)) + text[at + 4 :]
        case "cut":
            return text[:at]
        case "twice":  # each key of the outermost object
            return text[:-1] + b"," + text[1:] if text.startswith(b"{") else text + text
        case _:
            return text.decode("latin-1").encode("utf-16")


@st.composite
def paths(draw: st.DrawFn, honest: str) -> str:
    """The path, with another piece somewhere in it, or without one."""
    pieces = honest.split("/")
    at = draw(st.integers(1, len(pieces) - 1))
    another = draw(
        st.sampled_from(_PIECES) | st.text(max_size=8).map(lambda text: quote(text.encode(errors="replace")))
    )
    match draw(st.sampled_from(["replace", "insert", "remove", "append"])):
        case "replace":
            pieces[at] = another
        case "insert":
            pieces.insert(at, another)
        case "remove":
            del pieces[at]
        case _:
            pieces[at] += another
    return "/".join(["", *pieces[1:]])


@st.composite
def nearly(draw: st.DrawFn, honest: list[Request]) -> Request:
    """One of the honest requests, damaged in its body, in the text of its body, in its path, or nowhere."""
    request = draw(st.sampled_from(honest))
    what = draw(st.sampled_from(["body", "body", "text", "path", "path and body"]))
    body = request.body
    if "body" in what:
        body = draw(st.none() | values) if body is None else draw(damaged(body))
    if what == "text":
        body = draw(broken(json.dumps(body).encode()))
    path = draw(paths(request.path)) if "path" in what else request.path
    return replace(request, path=path, body=body)
