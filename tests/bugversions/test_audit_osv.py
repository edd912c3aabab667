"""What entries of OSV come to mean in npm's words."""

import json
import random

import pytest

from bugversions import cvss, osv
from registry.semver import Range
from tests.bugversions.osv_entries import ghsa, malware


def read(entry) -> list[osv.Finding]:
    return osv.read(json.dumps(entry).encode(), max_bytes=1 << 20)


def vulnerable(*events, **change) -> tuple[str, str]:
    [found] = read(ghsa("a", *events, **change))
    assert Range.parse(found.vulnerable_versions).alternatives
    return found.vulnerable_versions, found.patched_versions


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([{"introduced": "0"}, {"fixed": "1.3.0"}], ("<1.3.0", ">=1.3.0")),
        ([{"introduced": "1.0.0"}, {"fixed": "1.3.0"}], (">=1.0.0 <1.3.0", ">=1.3.0")),
        ([{"introduced": "1.0.0"}, {"last_affected": "1.3.0"}], (">=1.0.0 <=1.3.0", "<0.0.0")),
        ([{"introduced": "0"}], ("*", "<0.0.0")),
        ([{"introduced": "2.0.0"}], (">=2.0.0", "<0.0.0")),
        (
            [{"introduced": "0"}, {"fixed": "1.3.0"}, {"introduced": "2.0.0-rc.1"}, {"fixed": "2.1.4"}],
            ("<1.3.0 || >=2.0.0-rc.1 <2.1.4", ">=1.3.0 <2.0.0-rc.1 || >=2.1.4"),
        ),
        ([{"introduced": "0"}, {"last_affected": "0"}, {"introduced": "2.0.0"}], (">=2.0.0", "<0.0.0")),
        # Events come in any order.
        ([{"fixed": "1.3.0"}, {"introduced": "1.0.0"}], (">=1.0.0 <1.3.0", ">=1.3.0")),
    ],
)
def test_events_become_ranges(events, expected):
    assert vulnerable(*events) == expected


def test_an_end_that_only_github_knows_bounds_the_range():
    entry = ghsa("a", {"introduced": "1.0.0"})
    entry["affected"][0]["database_specific"] = {"last_known_affected_version_range": "<= 1.4.2"}
    assert read(entry)[0].vulnerable_versions == ">=1.0.0 <=1.4.2"


def test_listed_versions_are_added_to_ranges_that_do_not_have_them():
    entry = ghsa("a", {"introduced": "0"}, {"fixed": "1.0.0"})
    entry["affected"][0]["versions"] = ["0.9.0", "3.1.4", "3.1.4-beta.1"]
    assert read(entry)[0].vulnerable_versions == "<1.0.0 || 3.1.4 || 3.1.4-beta.1"


def test_several_ranges_of_one_package_are_one_finding_and_several_packages_are_several():
    entry = ghsa("a", {"introduced": "0"}, {"fixed": "1.0.0"})
    entry["affected"] += ghsa("a", {"introduced": "2.0.0"}, {"fixed": "2.1.0"})["affected"]
    entry["affected"] += ghsa("b", {"introduced": "0"})["affected"]
    entry["affected"].append({"package": {"ecosystem": "PyPI", "name": "c"}, "versions": ["1.0"]})
    assert [(one.package, one.vulnerable_versions) for one in read(entry)] == [
        ("a", "<1.0.0 || >=2.0.0 <2.1.0"),
        ("b", "*"),
    ]


def test_what_is_told_about_it():
    [found] = read(ghsa("left-pad"))
    assert (found.severity, found.title) == ("high", "left-pad pads too far")
    assert found.url == "https://github.com/advisories/GHSA-aaaa-bbbb-cccc"
    assert (found.aliases, found.cwe) == ("CVE-2026-1234", "CWE-400")
    assert (found.cvss_score, found.cvss_vector) == (7.5, "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N")


def test_malware_is_critical():
    [listed] = read(malware("evil", "1.0.1", "1.0.2"))
    assert (listed.severity, listed.vulnerable_versions) == ("critical", "1.0.1 || 1.0.2")
    assert listed.url == "https://osv.dev/vulnerability/MAL-2026-1"
    assert read(malware("evil"))[0].vulnerable_versions == "*"


def test_a_withdrawn_entry_says_nothing():
    assert read(ghsa(withdrawn="2026-10-05T00:00:00Z")) == []


def test_severity_from_a_score_when_nobody_says():
    assert read(ghsa(database_specific={}))[0].severity == "high"
    assert read(ghsa(database_specific={}, severity=[]))[0].severity == "high"
    low = [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:L/AC:H/PR:H/UI:R/S:U/C:L/I:N/A:N"}]
    assert read(ghsa(database_specific={}, severity=low) | {"severity": low})[0].severity == "low"


def test_no_text_obeys_a_terminal():
    [found] = read(ghsa(summary="a\x1b[2Jb\u202ec\r\nd" + "x" * 5000))
    assert found.title == "a[2Jbc"


MANY = [{key: f"{n}.{minor}.0"} for n in range(501) for key, minor in (("introduced", 0), ("fixed", 1))]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"id": 7}, "id"),
        ({"id": "G" * 65}, "id"),
        ({"id": "\ud800"}, "id"),
        ({"id": "GHSA-1 \x1b[2J"}, "id"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1.0.0"] * 5001}]}, "5000 versions"),
        ({"affected": ghsa("a", *MANY)["affected"]}, "500 ranges"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "a b"}}]}, "no name of a package"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": ["a"]}}]}, "no name of a package"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "a"}}]}, "which versions"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["latest"]}]}, "not a version"),
        ({"affected": [{"package": {"ecosystem": "npm", "name": "a"}, "versions": [{}]}]}, "not a version"),
        (
            {
                "affected": [
                    {"package": {"ecosystem": "npm", "name": "a"}, "versions": [f"1.0.{n}" for n in range(3000)]}
                ]
            },
            "characters",
        ),
    ],
)
def test_what_makes_no_sense_is_unreadable(change, why):
    with pytest.raises(osv.Unreadable, match=why):
        read(ghsa() | change)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"[" * 100_000, b"\xff\xfe", b'{"id": null}', b"x" * 2_000_000])
def test_what_is_no_entry_is_unreadable(text):
    with pytest.raises(osv.Unreadable):
        osv.read(text, max_bytes=1 << 20)


@pytest.mark.parametrize(
    "entry", [{"affected": 7}, {"affected": [7]}, {"affected": [{"package": 7}]}, {"affected": None}]
)
def test_what_is_about_nothing_says_nothing(entry):
    assert read(ghsa() | entry) == []


@pytest.mark.parametrize(
    ("vector", "score"),
    [
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", 9.8),
        ("CVSS:3.1/AV:N/AC:L/PR:N/UI:R/S:C/C:L/I:L/A:N", 6.1),
        ("CVSS:3.0/AV:N/AC:L/PR:N/UI:N/S:C/C:H/I:H/A:H", 10.0),
        ("CVSS:3.1/AV:L/AC:L/PR:L/UI:N/S:U/C:N/I:N/A:N", 0.0),
        ("CVSS:3.1/AV:N/AC:H/PR:N/UI:N/S:U/C:N/I:N/A:H", 5.9),
        ("CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:N/SI:N/SA:N", None),
        ("CVSS:3.1/AV:N", None),
        ("nonsense", None),
    ],
)
def test_scores_are_those_of_the_specification(vector, score):
    assert cvss.score(vector) == score


JUNK = [
    None,
    7,
    1e308,
    "",
    [],
    {},
    [[]],
    "\ud800",
    "\x00",
    "9" * 400,
    "0",
    "1.0.0",
    "<= 1",
    "<= 0",
    True,
    {"a": None},
    "*",
]


def spoiled(value, chance: random.Random):
    """The value, with some of its parts replaced by others that do not belong there."""
    if chance.random() < 0.06:
        return chance.choice(JUNK)
    if isinstance(value, dict):
        return {key: spoiled(member, chance) for key, member in value.items()}
    return [spoiled(member, chance) for member in value] if isinstance(value, list) else value


def test_whatever_is_in_an_entry_it_is_read_or_unreadable():
    chance, whole = (
        random.Random(5),
        ghsa("a", {"introduced": "0"}, {"last_affected": "1.0.0"}, {"introduced": "2.0.0"}),
    )
    whole["affected"][0] |= {
        "versions": ["3.0.0"],
        "database_specific": {"last_known_affected_version_range": "<= 5.0.0"},
    }
    outcomes = set()
    for _ in range(3000):
        try:
            for finding in read(spoiled(whole, chance)):
                assert Range.parse(finding.vulnerable_versions)
                outcomes.add("read")
        except osv.Unreadable:
            outcomes.add("unreadable")
    assert outcomes == {"read", "unreadable"}
