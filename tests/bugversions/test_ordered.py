"""All versions that a rule is about are found at once, and are those that it is about one by one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bugversions import deciding, values
from bugversions.models import BugVersion
from bugversions.ordered import Ordered, _place
from registry.semver import Version
from tests.bugversions.conftest import WHY

parts = st.integers(0, 3)
numbers = st.builds(
    "{}{}.{}.{}{}".format,
    st.sampled_from(["", "", "", "v", "="]), parts, parts, parts,
    st.sampled_from(["", "", "", "-0", "-beta", "-beta.2", "-beta.10", "-rc.1", "+build", "-rc.1+build", "beta"]),
) | st.sampled_from(["latest", "1.2", ""])  # fmt: skip
partials = numbers | st.builds("{}.{}".format, parts, parts | st.just("x")) | parts.map(str) | st.just("*")
simple = st.builds("{}{}".format, st.sampled_from(["", "^", "~", ">", ">=", "<", "<=", "=", "> ", "v"]), partials)
sides = simple | st.builds("{} {}".format, simple, simple) | st.builds("{} - {}".format, partials, partials)
ranges = sides | st.builds("{} || {}".format, sides, sides)


@given(numbers=st.lists(numbers, max_size=20, unique=True), versions=ranges)
@example(numbers=["1.0.0-0", "1.0.0", "1.1.0-beta", "2.0.0-0", "2.0.0"], versions="1.x")
@example(numbers=["1.0.0", "1.0.0+build", "v1.0.0"], versions="1.0.0")
@example(numbers=["2.0.0", "1.0.0"], versions=">=2 <1")
@example(numbers=["nothing", "1.0.0"], versions="nothing")
@example(numbers=["1.2", "1.2.0"], versions="1.2")
def test_they_are_those_that_match_one_by_one(numbers, versions):
    found = set(Ordered(numbers).about(versions))
    assert found == {number for number in numbers if values.matches(versions, number)}


@pytest.mark.parametrize("versions", ["2.{}.1", ">=2.{0}.1 <2.{0}.3"])
def test_versions_are_read_once_however_many_rules_there_are(versions, monkeypatch):
    rules = [BugVersion(package="x", versions=versions.format(n), action="hide", reason=WHY) for n in range(50)]
    many = [f"2.{n // 100}.{n % 100}" for n in range(5_000)]
    parse, read = Version.parse.__func__, []
    monkeypatch.setattr(Version, "parse", classmethod(lambda *given, **how: read.append(1) or parse(*given, **how)))
    _place.cache_clear()
    chosen = deciding.choose(rules, many)
    assert len(read) < len(many) + 10 * len(rules)
    assert len(chosen) == 50 * (1 if versions.startswith("2") else 2)
