"""Packuments of an upstream, read without decoding their versions. Pure."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import jsontext
from sync import reading
from sync.reading import Unreadable

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=4)


def packument(**members) -> bytes:
    return json.dumps({"name": "left-pad", **members}).encode()


@given(versions=st.dictionaries(st.text(), OBJECTS, max_size=5), head=OBJECTS)
def test_every_value_comes_through_as_it_was_said(versions, head):
    body = json.dumps({**head, "name": "left-pad", "versions": versions, "dist-tags": {}}).encode()
    theirs = reading.read(body, "left-pad")
    assert {number: jsontext.decode(bytes(text)) for number, text in theirs.versions.items()} == versions
    told = {key: value for key, value in theirs.head.items() if key not in ("versions", "dist-tags", "time")}
    assert told == {key: value for key, value in {**head, "name": "left-pad"}.items() if key in told}


@given(st.dictionaries(st.text(), OBJECTS, min_size=1, max_size=5), st.data())
def test_a_digest_changes_with_its_version_and_with_no_other(versions, data):
    number = data.draw(st.sampled_from(sorted(versions)))
    changed = {**versions, number: {**versions[number], "deprecated by this test": True}}
    before, after = (reading.read(packument(versions=some), "left-pad").digests for some in (versions, changed))
    assert {one for one in before if before[one] != after[one]} == {number}


def test_the_order_of_the_members_is_kept():
    theirs = reading.read(b'{"readme":"","versions":{},"_id":"left-pad","dist-tags":{},"name":"left-pad"}', "left-pad")
    assert list(theirs.head) == ["readme", "versions", "_id", "dist-tags", "name"]


def test_half_of_a_letter_in_a_readme_is_no_reason_to_refuse_a_package():
    assert reading.read(packument(readme="\ud83d", versions={}), "left-pad").head["readme"] == "\ud83d"


def test_without_a_time_of_modification_it_is_the_newest_time():
    times = {"1.0.0": "2020-01-01T00:00:00.000Z", "2.0.0": "2024-01-01T00:00:00.000Z", "3.0.0": None}
    theirs = reading.read(packument(versions={}, time=times), "left-pad")
    assert theirs.head["time"]["modified"] == "2024-01-01T00:00:00.000Z"


def test_tags_that_are_not_text_are_left_out():
    theirs = reading.read(
        packument(versions={}, **{"dist-tags": {"latest": "1.0.0", "odd": 5, "none": None}}), "left-pad"
    )
    assert theirs.tags == {"latest": "1.0.0"}


@pytest.mark.parametrize("tags", [None, [], "latest", 7])
def test_tags_that_are_no_object_are_none(tags):
    assert reading.read(packument(versions={}, **{"dist-tags": tags}), "left-pad").tags == {}


def test_a_package_whose_versions_were_all_taken_back_has_none():
    assert reading.read(packument(time={"unpublished": {}}), "left-pad").versions == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<!doctype html><title>Please log in</title>",
        b"null",
        b"[]",
        b'"left-pad"',
        b'{"name":"left-pad","versions":{"1.0.0":{}}',
        b'{"name":"left-pad","versions":{"1.0.0":}}',
        b'{"name":"left-pad","readme":"\xff"}',
        b'{"name":"left-pad","deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        packument(versions=[]),
        packument(versions="1.0.0"),
        packument(versions=1),
    ],
    ids=lambda body: body[:40].decode(errors="replace"),
)
def test_what_is_no_packument_is_refused_in_words(body):
    with pytest.raises(Unreadable, match="it is not a packument"):
        reading.read(body, "left-pad")


@pytest.mark.parametrize("name", ["right-pad", "Left-Pad", "", None, 5, ["left-pad"]])
def test_the_packument_of_another_package_is_refused(name):
    with pytest.raises(Unreadable, match="packument of"):
        reading.read(packument(name=name, versions={}), "left-pad")
