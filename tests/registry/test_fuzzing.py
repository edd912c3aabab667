"""Whatever is sent, the registry answers in words and stays in one piece."""

import base64
import copy
import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests import tarballs
from tests.actors import publish_body
from tests.registry.consistency import assert_consistent

pytestmark = pytest.mark.django_db(transaction=True)

# One database and one alice for all examples of a test: they only ever add to what is there.
bounded = settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck), database=None)

NASTY = [
    "",
    "\0",
    "\ud800",
    "\u2028",
    "..",
    "/",
    "@acme/pad",
    "1.0.0",
    "latest",
    "^1",
    "__proto__",
    "constructor",
    "é",
    "💥",
]
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(NASTY) | st.text(max_size=20)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NASTY) | st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=8,
)
segments = st.sampled_from(
    [*NASTY, "-", "left-pad", "pad-1.0.0.tgz", "download", "dist-tags", "package", "user", "-rev"]
) | st.text(max_size=8)


def answers_in_words(answer) -> None:
    assert answer.status < 500 or answer.status == 503, answer.body
    if answer.raw and answer.status >= 400:
        assert answer.json()["error"]


def places(node, at=()) -> list[tuple]:
    """Every place in a document, as the keys that lead there."""
    children = node.items() if isinstance(node, dict) else ()
    return [at, *(place for key, child in children for place in places(child, (*at, key)))]


@st.composite
def documents(draw) -> dict:
    """A document as npm sends it, but for a few places where anything may stand, or nothing, or another key."""
    body = copy.deepcopy(publish_body("@acme/pad", f"1.{draw(st.integers(0, 30))}.0", scripts={"install": "x"}, bin={}))
    for _ in range(draw(st.integers(0, 3))):
        *above, key = draw(st.sampled_from([place for place in places(body) if place]))
        node = body
        for step in above:
            node = node[step]
        match draw(st.sampled_from(["replace", "remove", "rename"])):
            case "replace":
                node[key] = draw(values)
            case "remove":
                del node[key]
            case "rename":
                node[draw(st.sampled_from(NASTY) | st.text(max_size=9))] = node.pop(key)
    return body


def test_documents_that_are_nearly_right_leave_all_in_one_piece(alice):
    @bounded
    @given(body=documents())
    def publish(body):
        answers_in_words(alice.send("PUT", "/@acme%2fpad", body=json.dumps(body)))

    publish()
    assert_consistent()


@bounded
@given(
    manifest=st.dictionaries(st.sampled_from(["name", "version", "scripts", "bin", "x"]), values, max_size=4),
    data=st.binary(max_size=60),
)
def test_tarballs_that_hold_anything(alice, manifest, data):
    for packed in (tarballs.tarball({"package.json": manifest, "README.md": data}), tarballs.zipped(data), data):
        body = publish_body("@acme/pad", "1.0.0", tarball=tarballs.package("@acme/pad", "1.0.0"))
        body["_attachments"]["@acme/pad-1.0.0.tgz"]["data"] = base64.b64encode(packed).decode()
        del body["versions"]["1.0.0"]["dist"]
        answers_in_words(alice.send("PUT", "/@acme%2fpad", body=body))


@bounded
@given(
    method=st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "PATCH"]),
    path=st.lists(segments, max_size=6),
    is_api=st.booleans(),
    header=st.sampled_from(
        ["Accept", "Accept-Encoding", "If-None-Match", "If-Modified-Since", "Range", "Authorization"]
    ),
    value=st.text(st.characters(max_codepoint=255), max_size=20),
    body=st.none() | values,
)
def test_paths_and_headers_of_any_kind(anyone, method, path, is_api, header, value, body):
    joined = "/".join(quote(segment.encode(errors="surrogatepass"), safe="@/%") for segment in path)
    sent = None if body is None else json.dumps(body)
    answers_in_words(
        anyone.send(method, f"/-/{joined}" if is_api else f"/{joined}", body=sent, headers={header: value})
    )
