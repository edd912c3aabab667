"""Versions and ranges answer as npm does.

`data/semver_cases.json` holds cases of our own and what npm's `semver` package answered to them:

- `versions`: text, canonical text read strictly, the same read loosely, `clean`;
- `ascending`: versions in npm's order;
- `ranges`: text, then the loose and the strict reading, a digit for each of `probes`: 1 in the range, 2 in it
  with prereleases included, 3 both; null where npm refuses the range;
- `max_satisfying`: versions, range, whether prereleases are included, answer.
"""

import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.semver import (
    MAX_COMPONENT,
    MAX_RANGE_LENGTH,
    MAX_VERSION_LENGTH,
    InvalidRange,
    InvalidVersion,
    Range,
    Version,
    clean,
    highest,
    is_range,
    max_satisfying,
)

NPM: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "semver_cases.json").read_text())

words = st.from_regex(r"[0-9]*[A-Za-z-][0-9A-Za-z-]*", fullmatch=True)
small = st.integers(0, 3)
versions = st.builds(
    Version,
    small | st.integers(0, MAX_COMPONENT),
    small,
    small,
    st.lists(small | st.integers(0, 10**30) | st.sampled_from(["a", "a-", "-", "a-b", "1a"]) | words).map(tuple),
)
hostile = st.text("0123xX*vV=<>~^|-+. \tab\n\ufeff\u0661", max_size=60) | st.text()


def canonical(text: str, *, loose: bool) -> str | None:
    try:
        return str(Version.parse(text, loose=loose))
    except InvalidVersion:
        return None


def answers(text: str, *, loose: bool) -> str | None:
    try:
        asked = Range.parse(text, loose=loose)
    except InvalidRange:
        return None
    probes = [Version.parse(probe) for probe in NPM["probes"]]
    return "".join(
        str(asked.satisfied_by(probe) + 2 * asked.satisfied_by(probe, include_prerelease=True)) for probe in probes
    )


class TestAgainstNpm:
    def test_versions_are_read_and_refused_alike(self):
        ours = [[t, canonical(t, loose=False), canonical(t, loose=True), clean(t)] for t, *_ in NPM["versions"]]
        assert ours == NPM["versions"]

    def test_versions_sort_alike_and_so_do_their_keys(self):
        shuffled = [Version.parse(text) for text in NPM["ascending"]]
        random.Random(7).shuffle(shuffled)
        assert [str(version) for version in sorted(shuffled)] == NPM["ascending"]
        by_bytes = sorted(shuffled, key=lambda version: version.order_key.encode())
        assert [str(version) for version in by_bytes] == NPM["ascending"]

    def test_ranges_hold_the_same_versions(self):
        ours = [[text, answers(text, loose=True), answers(text, loose=False)] for text, *_ in NPM["ranges"]]
        assert ours == NPM["ranges"]

    def test_the_highest_in_a_range_is_the_same(self):
        ours = [
            [pool, text, included, max_satisfying(pool, text, include_prerelease=included)]
            for pool, text, included, _ in NPM["max_satisfying"]
        ]
        assert ours == NPM["max_satisfying"]

    @pytest.mark.parametrize("text", ["1.2.3*", "*1.2.3", ">*1.2.3"])
    def test_a_star_glued_to_a_number_is_refused_where_npm_would_drop_it(self, text: str):
        assert not is_range(text)


class TestVersion:
    def test_its_parts_are_numbers_and_words(self):
        version = Version.parse("v1.2.3-rc.10.0a+build.007")
        assert version.core == (1, 2, 3)
        assert version.prerelease == ("rc", 10, "0a")
        assert version.build == ("build", "007")
        assert version.is_prerelease
        assert str(version) == "1.2.3-rc.10.0a"

    def test_build_metadata_makes_no_second_version(self):
        assert Version.parse("1.0.0+a") == Version.parse("1.0.0+b")
        assert len({Version.parse("1.0.0+a"), Version.parse("1.0.0+b"), Version.parse("1.0.0")}) == 1

    def test_it_is_bounded_in_length_and_in_its_numbers(self):
        at_the_limit = "1.2.3-" + "a" * (MAX_VERSION_LENGTH - 6)
        assert str(Version.parse(at_the_limit)) == at_the_limit
        with pytest.raises(InvalidVersion, match="256"):
            Version.parse(at_the_limit + "a")
        assert Version.parse(f"{MAX_COMPONENT}.0.0").major == MAX_COMPONENT
        with pytest.raises(InvalidVersion, match=str(MAX_COMPONENT)):
            Version.parse(f"0.{MAX_COMPONENT + 1}.0")

    @given(versions)
    def test_its_text_reads_back_as_the_same_version(self, version: Version):
        if len(str(version)) <= MAX_VERSION_LENGTH:
            assert Version.parse(str(version)) == version == Version.parse(str(version), loose=True)

    @given(versions, versions)
    def test_keys_compare_as_versions_do(self, one: Version, other: Version):
        assert (one < other) == (one.order_key.encode() < other.order_key.encode())
        assert (one == other) == (one.order_key == other.order_key)
        assert (one <= other) != (one > other)

    @given(versions, st.lists(small | words, min_size=1).map(tuple))
    def test_a_longer_prerelease_is_higher_and_the_release_is_highest(self, version: Version, more: tuple[int | str]):
        core, prerelease = version.core, version.prerelease or (0,)
        shorter = Version(*core, prerelease)
        longer = Version(*core, prerelease + more)
        release = Version(*core)
        assert shorter < longer < release
        assert shorter.order_key < longer.order_key < release.order_key

    def test_the_longest_key_stays_small_enough_for_an_index(self):
        crowded = "0.0.0-" + ".".join("1" * 125)
        assert len(Version.parse(crowded).order_key) < 700


class TestRange:
    def test_a_prerelease_is_offered_only_to_those_who_named_one_of_its_version(self):
        beta, next_beta = Version.parse("1.2.3-beta.2"), Version.parse("1.3.0-beta")
        assert Range.parse("^1.2.3-beta.1").satisfied_by(beta)
        assert not Range.parse("^1.2.3-beta.1").satisfied_by(next_beta)
        assert not Range.parse("^1.0.0").satisfied_by(beta)
        assert Range.parse("^1.0.0").satisfied_by(beta, include_prerelease=True)

    def test_the_next_major_has_no_prerelease_below_the_upper_bound(self):
        early = Version.parse("2.0.0-alpha")
        assert not Range.parse("^1.0.0").satisfied_by(early, include_prerelease=True)
        assert Range.parse("<2.0.0").satisfied_by(early, include_prerelease=True)

    def test_loose_reading_skips_a_word_that_strict_reading_refuses(self):
        assert Range.parse(">=1.0.0 stable").satisfied_by(Version.parse("1.5.0"))
        with pytest.raises(InvalidRange, match="stable"):
            Range.parse(">=1.0.0 stable", loose=False)

    def test_its_text_is_bounded(self):
        longest = "1.0.0".ljust(MAX_RANGE_LENGTH)
        assert Range.parse(longest).text == "1.0.0"
        with pytest.raises(InvalidRange, match="1024"):
            Range.parse(longest + " ")

    def test_equal_ranges_can_be_kept_in_a_set(self):
        assert {Range.parse("^1.0"), Range.parse(" ^1.0")} == {Range.parse("^1.0")}

    @pytest.mark.parametrize("name", ["latest", "next", "beta-1", "release_candidate", "stable!", "-"])
    def test_the_name_of_a_tag_is_no_range(self, name: str):
        assert not is_range(name)

    @pytest.mark.parametrize("name", ["1", "v1.4", "x", "", "*", ">=2 <3", "1.2.3beta"])
    def test_what_clients_resolve_as_a_range_is_no_name_for_a_tag(self, name: str):
        assert is_range(name)


class TestHighest:
    def test_a_release_is_preferred_to_a_higher_prerelease(self):
        assert highest(["1.9.0", "2.0.0-rc.1", "1.10.0", "not a version"]) == "1.10.0"

    def test_prereleases_are_compared_when_there_is_nothing_else(self):
        assert highest(["1.0.0-beta.10", "1.0.0-beta.9", "1.0.0-alpha"]) == "1.0.0-beta.10"

    def test_nothing_is_the_highest_of_nothing(self):
        assert highest([]) is None
        assert highest(["not a version"]) is None

    def test_the_answer_is_spelled_as_it_was_given(self):
        assert highest(["v1.0.0", "=2.0.0"]) == "=2.0.0"
        assert max_satisfying(["1.0.0+build", "0.9.0"], "1") == "1.0.0+build"


class TestHostileText:
    """A pattern that backtracks would not fail here but never come back."""

    @pytest.mark.parametrize(
        "text",
        [
            "1.2." + "3" * 1_000 + "!",
            "1.2.3-" + "a." * 500 + "!",
            "1.2.3" + "-" * 1_000 + "!",
            "=v" * 500 + "!",
            "> " * 500 + "!",
            "~ " * 500 + "!",
            "+a" * 500 + "!",
            " - " * 300 + "!",
        ],
    )
    def test_long_nonsense_is_refused(self, text: str):
        assert not is_range(text)
        assert canonical(text, loose=True) is None
        assert canonical(text[: MAX_VERSION_LENGTH - 1] + "!", loose=True) is None
        assert clean(text) is None

    @given(hostile)
    def test_text_is_read_or_refused_and_nothing_else_happens(self, text: str):
        version = canonical(text, loose=False)
        assert version is None or version == clean(text) == canonical(text, loose=True)
        for loose in (True, False):
            answers(text, loose=loose)
        assert max_satisfying([text], text) in {None, text}
