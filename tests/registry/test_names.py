"""Which names there are, and in how many ways clients write one of them."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from registry.errors import Invalid
from registry.names import MAX_LENGTH, PackageName

LETTERS = "abcxyz019-_."
parts = st.text(LETTERS, min_size=1, max_size=30).filter(
    lambda part: not part.startswith(".") and part not in ("node_modules", "favicon.ico")
)
names = st.one_of(
    st.builds(lambda base: PackageName("", base), parts),
    st.builds(lambda scope, base: PackageName(f"@{scope}", base), parts, parts),
)


@pytest.mark.parametrize("spelling", ["@acme/pad", "@acme%2fpad", "@acme%2Fpad", "%40acme%2fpad", "%40acme/pad"])
def test_a_scoped_name_is_one_name_in_every_spelling(spelling):
    name = PackageName.parse(spelling)
    assert (name.scope, name.base, str(name)) == ("@acme", "pad", "@acme/pad")


@pytest.mark.parametrize("text", ["left-pad", "JSONStream", "express'", "lodash.merge", "_", "a(b)", "-", "a!~*b", "1"])
def test_what_was_ever_published_can_be_read(text):
    assert str(PackageName.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "@", "@acme", "@acme/", "@/pad", "@acme/a/b", "a/b", "..", ".", ".hidden", "@acme/.hidden", "@.acme/pad",
        "@acme/..", "node_modules", "favicon.ico", "@acme/node_modules", "left pad", "left-pad\n", "a\\b", "a\0b",
        "ünï", "%", "a%2fb", "@acme%252fpad", "@acme%2f..%2fpad", "a?b", "a#b", "$", "@@acme/pad", "a@1.0.0", "😀",
        "a" * (MAX_LENGTH + 1),
    ],
)  # fmt: skip
def test_what_no_registry_can_hold_is_refused_in_words(text):
    with pytest.raises(Invalid, match="is not a package name"):
        PackageName.parse(text)


def test_a_refusal_does_not_repeat_a_book():
    with pytest.raises(Invalid) as refused:
        PackageName.parse("/" * 100_000)
    assert len(refused.value.sentence) < 200


@pytest.mark.parametrize("text", ["JSONStream", "express'", "a!b", "_private", "@_acme/pad", "@acme/_pad", "@Acme/pad"])
def test_names_of_old_times_cannot_be_taken_anew(text):
    with pytest.raises(Invalid, match="new package"):
        PackageName.parse(text).check_new()


@pytest.mark.parametrize("text", ["left-pad", "@acme/left_pad", "lodash.merge", "a~b", "0"])
def test_todays_names_can_be_taken(text):
    PackageName.parse(text).check_new()


def test_capitals_make_another_package():
    assert PackageName.parse("JSONStream") != PackageName.parse("jsonstream")


@given(names)
def test_a_name_survives_the_way_into_a_url_and_back(name):
    assert "/" not in name.url
    assert PackageName.parse(name.url) == PackageName.parse(str(name)) == name


@given(names, st.text(LETTERS + "+", min_size=1, max_size=30))
@example(PackageName("", "n"), "1.0.0-rc.1-2")
@example(PackageName("", "n-1.0.0"), "2.0.0")
def test_a_tarballs_file_name_carries_its_version(name, version):
    assert name.version_of(name.tarball(version)) == version


@pytest.mark.parametrize(
    "filename", ["pad-.tgz", "pad-1.0.0.zip", "pad.tgz", "left-pad-1.0.0.tgz", "@acme/pad-1.0.0.tgz"]
)
def test_a_file_of_another_package_carries_none(filename):
    assert PackageName.parse("@acme/pad").version_of(filename) is None


@given(st.text(max_size=250))
def test_any_text_is_a_name_or_is_refused(text):
    try:
        name = PackageName.parse(text)
    except Invalid:
        return
    assert PackageName.parse(str(name)) == name
    assert len(str(name)) <= MAX_LENGTH
