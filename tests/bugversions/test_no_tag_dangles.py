"""Whatever rules there are: no tag points at a version that is not shown, and what is withheld is nowhere."""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from audit.actors import Actor
from bugversions import editing
from bugversions.models import BugVersion
from bugversions.values import Rule
from registry import semver
from registry.errors import Conflict, Invalid
from tests.actors import CORGI, Person
from tests.bugversions.conftest import WHY

pytestmark = pytest.mark.django_db(transaction=True)

places = count()
OPERATOR = Actor.system("a test")
EXTRAS = {"replace": {"replacement": "1.0.0"}, "override": {"overrides": {"scripts": {"postinstall": ""}}}}

numbers = st.builds(
    "{}.{}.{}{}".format,
    st.integers(0, 2), st.integers(0, 2), st.integers(0, 1), st.sampled_from(["", "", "-beta.1", "-rc.0"]),
)  # fmt: skip
tag_names = st.sampled_from(["latest", "next", "beta", "old"])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[str], dict[str, str], list[Rule]]:
    """Versions of a package, tags on some of them, and rules about some of them and about others."""
    versions = draw(st.lists(numbers, min_size=3, max_size=7, unique=True))
    tags = {"latest": versions[-1], **draw(st.dictionaries(tag_names, st.sampled_from(versions), max_size=4))}
    ranges = st.builds("{}{}".format, st.sampled_from(["", "^", "~", ">=", "<", "<="]), st.sampled_from(versions))
    rules = st.builds(
        lambda versions, action: Rule("box", versions, action, WHY, **EXTRAS.get(action, {})),
        st.sampled_from(versions) | ranges | numbers,
        st.sampled_from(["forbid", "forbid", "hide", "hide", "replace", "override"]),
    )
    return versions, tags, draw(st.lists(rules, min_size=1, max_size=4))


@pytest.fixture(autouse=True)
def _an_hour_is_fresh(upstream, settings):
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600


@given(world=worlds())
@settings(
    max_examples=30,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate],  # each example is many requests: to make a failing one smaller would take minutes
)
def test_no_tag_dangles_and_nothing_withheld_is_shown(upstream, anyone, world):
    versions, tags, rules = world
    name = f"box-{next(places)}"  # a new one each time: what an upstream takes away is not believed at once
    serve(upstream, name, versions, tags)
    for rule in rules:
        with suppress(Invalid, Conflict):  # chains and the like are refused, and change nothing
            editing.add(replace(rule, package=name), actor=OPERATOR)
    withheld = {number for number in versions if counting(name, number) in ("hide", "forbid")}
    event("all" if len(withheld) == len(versions) else "some" if withheld else "none")
    left = set(versions) - withheld

    full, short = (anyone.view(name, accept=accept).json() for accept in ("application/json", CORGI))
    for document in (full, short, anyone.send("GET", f"/{name}?cache=0").json()):
        assert set(document["versions"]) == left
        assert_tags(document["dist-tags"], tags, left)
    assert anyone.send("GET", f"/-/package/{name}/dist-tags").json() == full["dist-tags"] == short["dist-tags"]
    assert_single_versions(anyone, full, tags, withheld)


def serve(upstream, name: str, versions: list[str], tags: Mapping[str, str]) -> None:
    """Let the upstream have the package."""
    for number in versions:
        upstream.publish(name, number, tag=None)
    for tag, number in tags.items():
        upstream.set_tag(name, tag, number)


def counting(name: str, number: str) -> str | None:
    """What counts for a version, said once more in the plainest way: exact before ranges, withheld before changed."""
    fitting = [
        rule
        for rule in BugVersion.objects.filter(package=name)
        if rule.versions == number
        or (
            semver.clean(rule.versions) is None
            and semver.Range.parse(rule.versions).satisfied_by(semver.Version.parse(number), include_prerelease=True)
        )
    ]
    order = ["forbid", "hide", "replace", "override"]
    fitting.sort(key=lambda rule: (rule.versions != number, order.index(rule.action)))
    return fitting[0].action if fitting else None


def assert_tags(shown: Mapping[str, str], given: Mapping[str, str], left: set[str]) -> None:
    """Each points at a version that is shown, those that can stay do, and `latest` is there while anything is."""
    assert set(shown.values()) <= left
    assert {tag: number for tag, number in given.items() if number in left}.items() <= shown.items()
    assert set(shown) - {"latest"} <= set(given)
    assert ("latest" in shown) == bool(left)


def assert_single_versions(anyone: Person, full: dict, tags: Iterable[str], withheld: set[str]) -> None:
    """Versions, tags and ranges are answered as the document says."""
    name = full["name"]
    for number in withheld:
        assert anyone.send("GET", f"/{name}/{number}").status == 451
    for number, manifest in full["versions"].items():
        assert anyone.send("GET", f"/{name}/{number}").json() == manifest
    for tag in tags:
        answer = anyone.send("GET", f"/{name}/{tag}")
        if tag in full["dist-tags"]:
            assert answer.json() == full["versions"][full["dist-tags"][tag]]
        else:
            assert answer.status == 404
    for spec in ("*", "^1.0.0", "<2.0.0-0"):
        answer = anyone.send("GET", f"/{name}/{quote(spec)}")
        assert answer.status in (404, 451) or answer.json() in full["versions"].values()
