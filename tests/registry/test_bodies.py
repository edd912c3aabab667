import base64
import hashlib
import io
import json
import os
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import bodies
from registry.bodies import BodyLimits, read_document
from registry.errors import Invalid, TooLarge

TARBALL = b"\x1f\x8b" + os.urandom(1000)  # what it is does not matter here
TEXT = base64.b64encode(TARBALL).decode()


class Drip:
    """A stream that gives at most `most` bytes at a time, as slow connections do."""

    def __init__(self, body, most):
        self._body = io.BytesIO(body)
        self._most = most

    def read(self, size):
        return self._body.read(min(size, self._most))


@pytest.fixture
def read(tmp_path):
    """Reads a body (text, bytes, stream, or what json.dumps takes); at the end no file may be left in the spool."""
    opened = []

    def read(body, **limits):
        if isinstance(body, dict | list):
            body = json.dumps(body)
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, bytes):
            body = io.BytesIO(body)
        opened.append(read_document(body, spool_dir=tmp_path, limits=BodyLimits(**limits)))
        return opened[-1]

    yield read
    for document in opened:
        document.close()
    assert list(tmp_path.iterdir()) == []


def attachment(data=TEXT, **fields):
    return {"content_type": "application/octet-stream", "data": data, "length": len(TARBALL), **fields}


def publish(**fields):
    return {"_id": "x", "name": "x", "versions": {"1.0.0": {}}, "_attachments": {"x-1.0.0.tgz": attachment()}, **fields}


def carrying(data):
    """A body whose tarball's data is exactly this piece of JSON text."""
    return '{"_attachments": {"x.tgz": {"data" : \n' + data + "}}}"


def sentence_of(read, body, error=Invalid, **limits):
    with pytest.raises(error) as caught:
        read(body, **limits)
    return caught.value.sentence


# --- What clients send ----------------------------------------------------------------------------------------------


def test_a_publish_comes_apart_into_document_and_tarball(read):
    body = read(publish(access="public"))
    tarball = body.attachments["x-1.0.0.tgz"]
    assert tarball.path.read_bytes() == TARBALL
    assert tarball.digests.sha512 == hashlib.sha512(TARBALL).hexdigest()
    assert tarball.digests.size == tarball.declared_length == len(TARBALL)
    assert tarball.content_type == "application/octet-stream"
    assert body.document == {
        "_id": "x",
        "name": "x",
        "versions": {"1.0.0": {}},
        "access": "public",
        "_attachments": {
            "x-1.0.0.tgz": {"content_type": "application/octet-stream", "length": len(TARBALL)},
        },
    }


@pytest.mark.parametrize("indent", [None, 2])
def test_the_order_of_keys_does_not_matter(read, indent):
    """yarn berry sends the attachments first, npm last."""
    for first in (["_attachments"], ["name", "versions"]):
        whole = publish()
        ordered = {key: whole[key] for key in [*first, *(key for key in whole if key not in first)]}
        ordered["_attachments"]["x-1.0.0.tgz"] = dict(reversed(attachment().items()))
        body = read(json.dumps(ordered, indent=indent))
        assert body.attachments["x-1.0.0.tgz"].path.read_bytes() == TARBALL
        assert body.document["name"] == "x"


def test_a_provenance_bundle_stays_in_the_document(read):
    bundle = {"content_type": "application/vnd.dev.sigstore.bundle", "data": '{"mediaType": "…"}', "length": 18}
    body = read(publish(_attachments={"@s/x-1.0.0.tgz": attachment(), "@s/x-1.0.0.sigstore": bundle}))
    assert list(body.attachments) == ["@s/x-1.0.0.tgz"]
    assert body.document["_attachments"]["@s/x-1.0.0.sigstore"] == bundle


def test_a_batch_gives_each_document_its_tarball(read):
    documents = [
        publish(name=name, _attachments={f"{name}.tgz": attachment(base64.b64encode(name.encode()).decode())})
        for name in ("a", "b", "c")
    ]
    body = read({"packages": documents})
    assert body.attachments == {}
    for index, name in enumerate("abc"):
        (tarball,) = body.attachments_at("packages", index).values()
        assert tarball.path.read_text() == name
        assert body.document["packages"][index]["name"] == name


def test_a_deprecation_has_no_attachments(read):
    packument = {"name": "x", "versions": {"1.0.0": {"deprecated": "no"}}, "_attachments": {}}
    body = read(packument)
    assert (body.document, body.attachments) == (packument, {})


def test_only_a_tarball_directly_in_an_attachment_is_taken_out(read):
    document = {
        "data": "a",
        "x.tgz": {"data": "b"},
        "_attachments": {
            "data": "c",
            "x.txt": {"data": "d"},
            "x.tgz": {"more": {"data": "e"}, "list": [{"data": "f"}], "datas": "g"},
            "y.tgz": [{"data": "h"}],
            "z.tgz": "i",
        },
        "list": ["_attachments", {"x.tgz": {"data": "j"}}],
    }
    body = read(document)
    assert (body.document, body.attachments) == (document, {})


def test_the_file_belongs_to_whoever_moves_it_away(read, tmp_path, tmp_path_factory):
    kept = tmp_path_factory.mktemp("store") / "blob"
    with read(publish()) as body:
        body.attachments["x-1.0.0.tgz"].path.rename(kept)
    assert kept.read_bytes() == TARBALL
    assert list(tmp_path.iterdir()) == []


# --- JSON, in all its ways -------------------------------------------------------------------------------------------


def test_escapes_and_white_space_in_base64_are_read(read):
    for text in (
        TEXT.replace("/", "\\/"),
        TEXT.replace("+", "\\u002b").replace("/", "\\u002F"),
        "".join(f"\\u{ord(character):04x}" for character in TEXT),
        "\\r\\n".join(TEXT[at : at + 76] for at in range(0, len(TEXT), 76)) + "\\n",
        f" {TEXT}\\t",
    ):
        body = read(carrying(f'"{text}"'))
        assert body.attachments["x.tgz"].path.read_bytes() == TARBALL


def test_escapes_in_keys_are_read(read):
    body = read('{"_\\u0061ttachments": {"x\\u002etgz": {"d\\u0061ta": "' + TEXT + '"}}}')
    assert body.attachments["x.tgz"].path.read_bytes() == TARBALL


def test_an_empty_tarball_is_a_file_without_bytes(read):
    assert read({"_attachments": {"x.tgz": {"data": ""}}}).attachments["x.tgz"].path.read_bytes() == b""


def test_odd_claims_about_a_tarball_are_no_claims(read):
    body = read(
        {"_attachments": {"x.tgz": attachment(length="many", content_type=5), "y.tgz": attachment(length=True)}}
    )
    assert [one.declared_length for one in body.attachments.values()] == [None, None]
    assert body.attachments["x.tgz"].content_type is None


def test_lone_surrogates_are_kept_as_javascript_keeps_them(read):
    assert read('{"description": "\\ud83d"}').document == {"description": "\ud83d"}


def test_the_last_of_equal_keys_wins(read):
    assert read('{"name": "x", "name": "y"}').document == {"name": "y"}


def test_a_tarball_whose_object_is_replaced_is_no_attachment(read):
    entry = json.dumps({"x.tgz": attachment()})
    for later in ("{}", "[]", "5", '"x.tgz"', '{"x.tgz": {"length": 5}}', '{"x.tgz": 0}'):
        body = read(f'{{"_attachments": {entry}, "_attachments": {later}}}')
        assert body.attachments == {}
        assert body.document == {"_attachments": json.loads(later)}


def test_one_tarball_twice_is_refused(read):
    one = json.dumps(attachment())
    for body in (
        f'{{"_attachments": {{"x.tgz": {one}, "x.tgz": {one}}}}}',
        f'{{"_attachments": {{"x.tgz": {one}}}, "_attachments": {{"x.tgz": {one}}}}}',
        '{"_attachments": {"x.tgz": {"data": "", "data": ""}}}',
    ):
        assert "'x.tgz' twice" in sentence_of(read, body)


@pytest.mark.parametrize("other", ["0", "1", "null", "true", "{}", "[]", '["AAAA"]'])
def test_data_that_is_no_string_is_refused(read, other):
    """Were it let through, a body could name another attachment's file as its own."""
    assert "'x.tgz' is not a string" in sentence_of(read, carrying(other))


def test_digits_behind_a_tarball_are_no_json(read):
    for number in range(3):
        before = "".join(f'"{n}.tgz": {{"data": ""}}, ' for n in range(number))
        body = '{"_attachments": {' + before + '"x.tgz": {"data": "AAAA"1}}}'
        assert "not JSON" in sentence_of(read, body)


@pytest.mark.parametrize(
    "body",
    [
        "",
        " ",
        "nonsense",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": -Infinity}',
        '{"a": 1,}',
        '{"a" 1}',
        "{} {}",
        '{} "more"',
        '{"a": [}]}',
        '{"a": "\n"}',
        '{"a": "\\x"}',
        '{"\\x": {}}',
        "{'a': 1}",
        b'{"a": "\xff"}',
        "}",
        "]]]]",
        '{"a": 1}'.encode("utf-16"),
        '{"a": 1}'.encode("utf-16-le"),
    ],
)
def test_what_is_not_json_is_refused(read, body):
    assert "the request body is not" in sentence_of(read, body)


@pytest.mark.parametrize("body", ["[]", '"text"', "5", "null", '[{"_attachments": {"x.tgz": {"data": "AAAA"}}}]'])
def test_the_body_must_be_an_object(read, body):
    assert "not a JSON object" in sentence_of(read, body)


# --- Damaged base64 --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        "AAA",
        "AAAAA",
        "AA=",
        "A===",
        "====",
        "AA==AA==",
        "AAAA=",
        "AAAA====",
        "AA=A",
        "AA-_",
        "AA*A",
        "AAAé",
        "data:;base64,AAAA",
        "AA\\\\A",
        'AA\\"A',
        "AAAA\\",
        "AA\\x",
        "AA\\u00",
        "AA\\ud83d",
        "AA\nAA",
        "AA\\fAA",
        "AA\0AA",
    ],
)
def test_base64_is_read_strictly(read, data):
    assert "'x.tgz' is not base64" in sentence_of(read, carrying(f'"{data}"'))


def test_padding_inside_a_long_tarball_is_refused(read):
    text = "A" * 200_000
    assert "not base64" in sentence_of(read, {"_attachments": {"x.tgz": {"data": text + "AA==" + text}}})


# --- Cut off and too large -------------------------------------------------------------------------------------------


def test_a_body_that_ends_early_is_refused_wherever_it_ends(read):
    whole = json.dumps(publish(), indent=1).encode()
    for end in range(1, len(whole)):
        assert "ends in the middle" in sentence_of(read, whole[:end]), end


def test_metadata_has_a_limit_that_tarballs_do_not_count_in(read):
    body = publish(readme="r" * 1000)
    size = len(json.dumps(body)) - len(TEXT)
    assert read(body, metadata_bytes=size).document["readme"] == "r" * 1000
    assert "larger than 1,000 bytes" in sentence_of(read, body, TooLarge, metadata_bytes=1000)
    assert "larger than 1,000" in sentence_of(read, b'{"a": "' + b"a" * 10_000_000, TooLarge, metadata_bytes=1000)
    assert "larger than 1,000" in sentence_of(read, b"{}" + b" " * 10_000_000, TooLarge, metadata_bytes=1000)


def test_a_tarball_has_a_limit(read):
    assert read(publish(), attachment_bytes=len(TARBALL)).attachments
    words = sentence_of(read, publish(), TooLarge, attachment_bytes=len(TARBALL) - 1)
    assert "'x-1.0.0.tgz' is larger than" in words


def test_tarballs_are_counted(read):
    body = {"_attachments": {f"{number}.tgz": attachment("") for number in range(5)}}
    assert len(read(body, attachments=5).attachments) == 5
    assert "more than 4 tarballs" in sentence_of(read, body, TooLarge, attachments=4)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth_has_a_limit(read, opening, closing):
    levels = 63 // len(closing)
    body = '{"a": ' + opening * levels + "1" + closing * levels + "}"
    assert read(body).document["a"]
    assert "deeper than 64" in sentence_of(read, '{"a": ' + opening * 100_000)
    assert "deeper than" in sentence_of(read, body, depth=levels * len(closing))


def test_a_failure_leaves_nothing_behind(read, tmp_path):
    """Neither a refusal after the tarball was written nor a connection that breaks down."""

    class Breaks:
        def __init__(self):
            self.chunks = iter([json.dumps(publish()).encode()[:900]])

        def read(self, size):
            try:
                return next(self.chunks)
            except StopIteration:
                raise ConnectionResetError from None

    sentence_of(read, json.dumps(publish()) + "more")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConnectionResetError):
        read(Breaks())
    assert list(tmp_path.iterdir()) == []


# --- Streams ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 2, 3, 7, 64])
def test_chunks_may_end_anywhere(read, most):
    text = TEXT.replace("/", "\\/").replace("A", "\\u0041")
    whole = json.dumps(publish(readme='a "quoted" \\ tail', é="ü")).replace(TEXT, text).replace(": ", " :  ")
    body = read(Drip(whole.encode(), most))
    assert body.attachments["x-1.0.0.tgz"].path.read_bytes() == TARBALL
    assert body.document["readme"] == 'a "quoted" \\ tail'


class Generated:
    """A publish with a tarball of `count` times 48 KiB that never exists as a whole."""

    def __init__(self, count):
        piece = base64.b64encode(b"tarball." * 6144)
        self._parts = iter([b'{"name": "x", "_attachments": {"x.tgz": {"data": "', *[piece] * count, b'"}}}'])
        self._rest = b""

    def read(self, size):
        while len(self._rest) < size and (part := next(self._parts, b"")):
            self._rest += part
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return chunk


def test_a_tarball_of_any_size_needs_little_memory(read):
    stream = Generated(1600)  # 100 MB of base64
    tracemalloc.start()
    try:
        body = read(stream)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert body.attachments["x.tgz"].digests.size == 1600 * 49_152
    assert peak < 8_000_000


@pytest.mark.parametrize(
    "hostile",
    [
        b'{"a": "' + b"\\\\" * 4_000_000 + b'"}',
        b'{"a": "' + b"a" * 8_000_000 + b'"}',
        b'{"a"' + b" " * 8_000_000 + b": 1}",
        b'{"_attachments": {"x.tgz": {"data":' + b" " * 8_000_000 + b'"AAAA"}}}',
        b'{"a": [' + b"1," * 4_000_000 + b"1]}",
    ],
    ids=["escapes", "string", "space", "space before data", "array"],
)
def test_long_tokens_are_not_read_again_with_every_chunk(read, hostile, monkeypatch):
    looks = []

    class Counting:
        def __init__(self, pattern):
            self.match = lambda *where: looks.append(1) or pattern.match(*where)
            self.search = lambda *where: looks.append(1) or pattern.search(*where)

    monkeypatch.setattr(bodies, "_TOKEN", Counting(bodies._TOKEN))
    monkeypatch.setattr(bodies, "_NOT_SPACE", Counting(bodies._NOT_SPACE))
    assert read(Drip(hostile, 4096)).document
    assert len(looks) < 50  # and not 2,000, one for each chunk


# --- Anything at all -------------------------------------------------------------------------------------------------

_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
_tarballs = st.dictionaries(st.text(max_size=8).map("{}.tgz".format), st.binary(max_size=200), max_size=3)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    metadata=st.dictionaries(st.text(max_size=8), _values, max_size=5),
    batches=st.lists(_tarballs, max_size=3),
    ascii_only=st.booleans(),
    indent=st.none() | st.integers(0, 3),
    most=st.integers(1, 200),
)
def test_every_document_comes_back_as_it_was(tmp_path, metadata, batches, ascii_only, indent, most):
    packages = [
        {**metadata, "_attachments": {name: {"data": base64.b64encode(data).decode()} for name, data in one.items()}}
        for one in batches
    ]
    text = json.dumps({**metadata, "packages": packages}, ensure_ascii=ascii_only, indent=indent)
    stream = Drip(text.encode(), most)
    with read_document(stream, spool_dir=tmp_path, limits=BodyLimits()) as body:
        for index, one in enumerate(batches):
            found = body.attachments_at("packages", index)
            assert {name: attached.path.read_bytes() for name, attached in found.items()} == one
            packages[index]["_attachments"] = {name: {} for name in one}
        assert body.document == {**metadata, "packages": packages}
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_body_is_read_as_json_or_refused(tmp_path, data):
    whole = bytearray(json.dumps({"packages": [publish(), publish(readme='"\\é')]}).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(whole)))
        end = data.draw(st.integers(start, min(len(whole), start + 40)))
        whole[start:end] = data.draw(
            st.binary(max_size=6) | st.sampled_from([b'"', b"{", b"}", b"[", b"\\", b'"data":"'])
        )
    with (
        suppress(Invalid, TooLarge),
        read_document(io.BytesIO(whole), spool_dir=tmp_path, limits=BodyLimits(metadata_bytes=4000)) as body,
    ):
        assert json.loads(whole).keys() == body.document.keys()
    assert list(tmp_path.iterdir()) == []
