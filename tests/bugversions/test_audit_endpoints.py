"""What the three endpoints of `npm audit` answer, to whom, and what they refuse."""

import gzip
import json
from datetime import timedelta

import pytest
from django.utils import timezone

from audit.actors import Actor
from bugversions import advisories
from bugversions.models import Advisory, BugVersion
from registry.models import Package
from tests.actors import Person
from tests.bugversions.osv_entries import folder, ghsa, malware

pytestmark = pytest.mark.django_db(transaction=True)

BULK = "/-/npm/v1/security/advisories/bulk"
FULL, QUICK = "/-/npm/v1/security/audits", "/-/npm/v1/security/audits/quick"


@pytest.fixture(autouse=True)
def known(tmp_path) -> None:
    """Advisories about left-pad below 1.3.0, and about one malicious version of evil."""
    entries = ghsa(), malware("evil", "1.0.1")
    advisories.bring_in(folder(tmp_path / "dump", *entries), actor=Actor.system("test"))


def rule(package: str, versions: str, action: str = "forbid", **change) -> BugVersion:
    reason = change.pop("reason", "it mines coins on build machines")
    return BugVersion.objects.create(package=package, versions=versions, action=action, reason=reason, **change)


def bulk(reader: Person, **asked: list[str]) -> dict:
    answer = reader.send("POST", BULK, body=asked)
    assert answer.status == 200, answer.body
    assert answer.headers["cache-control"] == "private, no-store"
    return answer.json()


def titles(answer: dict) -> dict[str, list[str]]:
    return {name: [one["title"] for one in advices] for name, advices in answer.items()}


# --- Bulk ------------------------------------------------------------------------------------------------------------


def test_an_advisory_in_the_words_of_npm(anyone):
    answer = bulk(anyone, **{"left-pad": ["1.2.0", "1.3.0"], "evil": ["1.0.0"], "express": ["4.0.0"]})
    [found] = answer.pop("left-pad")
    assert answer == {}
    assert isinstance(found.pop("id"), int)
    assert found == {
        "url": "https://github.com/advisories/GHSA-aaaa-bbbb-cccc",
        "title": "left-pad pads too far",
        "severity": "high",
        "vulnerable_versions": "<1.3.0",
        "cwe": ["CWE-400"],
        "cvss": {"score": 7.5, "vectorString": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"},
    }


def test_what_is_clean_is_clean(anyone):
    assert bulk(anyone, **{"left-pad": ["1.3.0"], "evil": ["1.0.0", "1.0.2"], "": ["1"], "a\x00b": ["1.0.0"]}) == {}
    assert bulk(anyone) == {}


def test_prereleases_of_a_vulnerable_version_are_vulnerable(anyone):
    assert "left-pad" in bulk(anyone, **{"left-pad": ["1.3.0-rc.1"]})
    assert bulk(anyone, **{"left-pad": ["1.3.1-rc.1", "not a version", "9" * 300]}) == {}


def test_numbers_of_advisories_outlive_an_import(anyone, tmp_path):
    [before] = bulk(anyone, evil=["1.0.1"])["evil"]
    Advisory.objects.all().delete()
    advisories.bring_in(folder(tmp_path / "again", malware("evil", "1.0.1")), actor=Actor.system("test"))
    assert bulk(anyone, evil=["1.0.1"])["evil"] == [before]


def test_what_two_databases_say_of_the_same_is_told_once(anyone, tmp_path):
    entries = [
        ghsa("twice", {"introduced": "0"}, source="GHSA-1111-2222-3333", aliases=[]),
        malware("twice", source="MAL-2026-2", aliases=["GHSA-1111-2222-3333"]),
        malware("mutual", source="MAL-2026-3", aliases=["MAL-2026-4"]),
        malware("mutual", source="MAL-2026-4", aliases=["MAL-2026-3"]),
    ]
    advisories.bring_in(folder(tmp_path / "dump2", ghsa(), *entries), actor=Actor.system("test"))
    answer = bulk(anyone, twice=["1.0.0"], mutual=["1.0.0"])
    assert {name: [one["url"].rpartition("/")[2] for one in ones] for name, ones in answer.items()} == {
        "twice": ["GHSA-1111-2222-3333"],
        "mutual": ["MAL-2026-3"],
    }


@pytest.mark.parametrize(
    ("action", "severity"), [("forbid", "critical"), ("hide", "high"), ("replace", "high"), ("override", "moderate")]
)
def test_a_rule_in_force_is_told_with_its_reason(action, severity, anyone):
    rule("express", ">=4.0.0 <4.1.0", action)
    [found] = bulk(anyone, express=["4.0.5"])["express"]
    assert (found["title"], found["severity"]) == ("it mines coins on build machines", severity)
    assert (found["vulnerable_versions"], found["url"]) == (">=4.0.0 <4.1.0", "http://registry.test/express")
    assert bulk(anyone, express=["4.1.0"]) == {}


def test_a_rule_that_is_off_is_not_told(anyone):
    rule("express", "4.0.0", is_active=False)
    assert bulk(anyone, express=["4.0.0"]) == {}


def test_a_rule_is_told_while_it_is_valid(anyone):
    now = timezone.now()
    rule("express", "4.0.0", valid_from=now + timedelta(hours=1))
    rule("koa", "2.0.0", valid_until=now - timedelta(hours=1))
    assert bulk(anyone, express=["4.0.0"], koa=["2.0.0"]) == {}


def test_of_several_rules_about_a_version_the_one_that_counts_is_told(anyone):
    rule("express", "4.x", "forbid", reason="an imported range", source="bug-versions")
    rule("express", "4.0.0", "override", reason="ours, about the scripts", overrides={"scripts": {"install": ""}})
    assert titles(bulk(anyone, express=["4.0.0"])) == {"express": ["ours, about the scripts"]}
    assert titles(bulk(anyone, express=["4.1.0"])) == {"express": ["an imported range"]}


def test_a_rule_about_a_private_package_is_told_to_those_who_may_read_it(anyone, alice, bob):
    assert alice.publish("@acme/secret", "1.0.0").status == 201
    Package.objects.filter(name="@acme/secret").update(is_restricted=True)
    rule("@acme/secret", "1.0.0", reason="leaks the customer list")
    rule("@acme/planned", "1.0.0", reason="a name that nobody knows of yet")
    asked = {"@acme/secret": ["1.0.0"], "@acme/planned": ["1.0.0"]}
    assert titles(bulk(alice, **asked)) == {"@acme/secret": ["leaks the customer list"]}
    for outsider in (anyone, bob):
        assert bulk(outsider, **asked) == {}


def test_what_the_world_says_of_a_name_is_not_said_of_our_own_package(anyone, alice, bob, tmp_path):
    """Malware is often published under names that companies use at home; ours is not that malware."""
    assert alice.publish("our-tools", "1.0.0").status == 201
    entries = ghsa(), malware("our-tools")
    advisories.bring_in(folder(tmp_path / "dump2", *entries), actor=Actor.system("test"))
    assert bulk(anyone, **{"our-tools": ["1.0.0"]}) == {}
    Package.objects.filter(name="our-tools").update(is_restricted=True)
    assert bulk(alice, **{"our-tools": ["1.0.0"]}) == {}
    for outsider in (anyone, bob):  # as if there were no such package here
        assert titles(bulk(outsider, **{"our-tools": ["1.0.0"]})) == {
            "our-tools": ["Malicious code in our-tools (npm)"]
        }


def test_a_closed_registry_tells_strangers_nothing(anyone, alice, settings):
    settings.ANONYMOUS_READ = False
    asked = {"left-pad": ["1.2.0"]}
    assert anyone.send("POST", BULK, body=asked).status == 401
    assert anyone.send("POST", FULL, body={"dependencies": {}}).status == 401
    assert "left-pad" in bulk(alice, **asked)


def test_a_token_that_is_no_good_breaks_no_audit():
    assert "left-pad" in bulk(Person("mallory", token="npm_" + "x" * 36), **{"left-pad": ["1.2.0"]})


def test_more_names_than_one_query_holds(anyone, tmp_path, django_assert_max_num_queries):
    entries = [ghsa(f"p{n}", source=f"GHSA-{n:04}") for n in range(0, 1200, 100)]
    advisories.bring_in(folder(tmp_path / "many", *entries, ghsa()), actor=Actor.system("test"))
    with django_assert_max_num_queries(12):
        found = bulk(anyone, **{f"p{n}": ["1.0.0"] for n in range(1200)})
    assert sorted(found) == sorted(f"p{n}" for n in range(0, 1200, 100))


# --- Bodies ----------------------------------------------------------------------------------------------------------


def post(reader: Person, body: bytes, **headers: str) -> tuple[int, str]:
    answer = reader.send("POST", BULK, body=body, headers={key.replace("_", "-"): headers[key] for key in headers})
    return answer.status, answer.body.decode()


def test_gzip_as_npm_and_bun_send_it(anyone):
    status, body = post(anyone, gzip.compress(json.dumps({"left-pad": ["1.2.0"]}).encode()), content_encoding="gzip")
    assert (status, "left-pad" in body) == (200, True)


@pytest.mark.parametrize(
    ("body", "coding", "status", "why"),
    [
        (gzip.compress(b" " * (2 << 20), mtime=0), "gzip", 413, "1 MiB at most"),
        (b" " * (2 << 20), "", 413, "1 MiB at most"),
        (gzip.compress(b"{}", mtime=0)[:-9], "gzip", 400, "ends too early"),
        (b"{}", "gzip", 400, "not gzip"),
        (b"{}", "br", 400, "not with br"),
        (b"[]", "", 400, "JSON object"),
        (b"{", "", 400, "not JSON"),
        (b"[" * 100_000, "", 400, "not JSON"),
        (b"", "", 400, "not JSON"),
        (b"\xff\xfe\x00", "", 400, "not JSON"),
    ],
)
def test_bodies_that_are_refused_with_a_sentence(body, coding, status, why, anyone, settings):
    settings.MAX_AUDIT_BYTES = 1 << 20
    given = post(anyone, body, **({"content_encoding": coding} if coding else {}))
    assert given[0] == status
    assert why in json.loads(given[1])["error"]


def test_what_nobody_knows_is_passed_over(anyone):
    body = {"left-pad": "1.2.0", "evil": [7, None, {"a": 1}, "1.0.1"], "\ud800": ["1.0.0"], "x" * 300: ["1.0.0"]}
    status, found = post(anyone, json.dumps(body).encode())
    assert (status, list(json.loads(found))) == (200, ["evil"])


def test_too_many_names(anyone, settings):
    settings.MAX_AUDIT_NAMES = 3
    assert anyone.send("POST", BULK, body={f"p{n}": ["1.0.0"] for n in range(4)}).status == 413


def test_only_post_is_an_audit(anyone):
    assert anyone.send("GET", BULK).status == 405


# --- Trees -----------------------------------------------------------------------------------------------------------


TREE = {  # what npm 6 sends: where packages lie, and what each requires
    "name": "app",
    "version": "1.0.0",
    "requires": {"pads": "^2.0.0", "left-pad": "^1.0.0"},
    "dependencies": {
        "left-pad": {"version": "1.2.0", "integrity": "sha512-x"},
        "pads": {"version": "2.0.0", "requires": {"evil": "^1.0.0", "left-pad": "0.x"}, "dependencies": {
            "left-pad": {"version": "0.1.0"},
        }},
        "evil": {"version": "1.0.1", "dev": True, "requires": {"left-pad": "^1.0.0"}},
        "fine": {"version": "3.0.0", "optional": True},
        "alias": {"version": "npm:evil@1.0.1"},
    },
}  # fmt: skip


def audit(reader: Person, tree: object, path: str = FULL) -> dict:
    answer = reader.send("POST", path, body=tree)
    assert answer.status == 200, answer.body
    return answer.json()


@pytest.mark.parametrize("path", [FULL, QUICK, QUICK + "/"])
def test_a_report_on_a_tree(path, anyone):
    report = audit(anyone, TREE, path)
    found = {one["module_name"]: one for one in report["advisories"].values()}
    assert {name: one["findings"] for name, one in found.items()} == {
        "left-pad": [
            {"version": "1.2.0", "paths": ["left-pad", "pads>evil>left-pad"]},
            {"version": "0.1.0", "paths": ["pads>left-pad"]},
        ],
        "evil": [{"version": "1.0.1", "paths": ["pads>evil", "evil"]}],
    }
    assert report["metadata"] == {
        "vulnerabilities": {"info": 0, "low": 0, "moderate": 0, "high": 3, "critical": 2},
        "dependencies": 4,
        "devDependencies": 1,
        "optionalDependencies": 1,
        "totalDependencies": 6,
    }
    assert found["left-pad"]["patched_versions"] == ">=1.3.0"
    assert found["left-pad"]["cves"] == ["CVE-2026-1234"]
    assert found["left-pad"]["github_advisory_id"] == "GHSA-aaaa-bbbb-cccc"
    resolved = {(one["id"], one["path"]) for action in report["actions"] for one in action["resolves"]}
    assert len(resolved) == 5
    assert all(str(number) in report["advisories"] for number, _ in resolved)


def test_actions_say_what_mends_it(anyone, alice):
    for number in ("0.1.0", "1.2.0", "1.3.0", "1.4.0", "2.0.0"):
        assert alice.publish("left-pad", number).status == 201
    Package.objects.filter(name="left-pad").update(origin="upstream")
    report = audit(anyone, TREE)
    actions = [{key: value for key, value in one.items() if key != "resolves"} for one in report["actions"]]
    assert actions == [
        {"action": "install", "module": "left-pad", "target": "1.4.0", "isMajor": False},
        {"action": "update", "module": "left-pad", "target": "1.4.0", "depth": 3},
        {"action": "review", "module": "evil"},
        {"action": "review", "module": "left-pad"},
    ]
    tree = {"requires": {"left-pad": "1.2.0"}, "dependencies": {"left-pad": {"version": "1.2.0"}}}
    [major] = audit(anyone, tree)["actions"]
    assert (major["action"], major["target"], major["isMajor"]) == ("install", "2.0.0", True)


def test_the_tree_that_pnpm_sends(anyone):
    """Its projects are the first level, and it repeats what several packages need."""
    left_pad = {"version": "1.2.0", "dev": False, "integrity": "sha512-x"}
    project = {"version": "1.0.0", "requires": {"pads": "2.0.0"}, "dependencies": {
        "pads": {"version": "2.0.0", "requires": {"left-pad": "1.2.0"}, "dependencies": {"left-pad": left_pad}},
    }}  # fmt: skip
    tree = {"name": None, "version": None, "install": [], "remove": [], "metadata": {}, "requires": {".": "1.0.0"},
            "dependencies": {".": project}}  # fmt: skip
    [found] = audit(anyone, tree, QUICK)["advisories"].values()
    assert found["findings"] == [{"version": "1.2.0", "paths": [".>pads>left-pad"]}]


@pytest.mark.parametrize(
    "tree",
    [
        {},
        {"dependencies": None},
        {"dependencies": {"a": None, "b": {"version": 7, "requires": True}, "c": {"version": "file:../c"}}},
        {"dependencies": {"left-pad": {"version": "1.3.0", "requires": {"left-pad": {}}}}, "requires": True},
        {"requires": {"left-pad": "*"}, "dependencies": {"other": {"version": "1.2.0", "dependencies": 3}}},
    ],
)
def test_a_clean_or_odd_tree_gives_an_empty_report(tree, anyone):
    report = audit(anyone, tree)
    assert (report["actions"], report["advisories"], report["muted"]) == ([], {}, [])
    assert sum(report["metadata"]["vulnerabilities"].values()) == 0


def test_packages_that_require_each_other_end(anyone):
    tree = {"requires": {"a": "*"}, "dependencies": {
        "a": {"version": "1.0.0", "requires": {"left-pad": "*"}},
        "left-pad": {"version": "1.2.0", "requires": {"a": "*", "left-pad": "*"}},
    }}  # fmt: skip
    [found] = audit(anyone, tree)["advisories"].values()
    assert found["findings"] == [{"version": "1.2.0", "paths": ["a>left-pad"]}]


def test_of_many_ways_to_a_package_some_are_told(anyone):
    """Each of forty layers requires both packages of the next: 2 ** 40 ways."""
    layers = {
        f"{side}{n}": {
            "version": "1.0.0",
            "requires": {f"a{n + 1}": "*", f"b{n + 1}": "*"} if n < 40 else {"left-pad": "*"},
        }
        for n in range(41)
        for side in "ab"
    }
    tree = {"requires": {"a0": "*"}, "dependencies": {**layers, "left-pad": {"version": "1.2.0"}}}
    [found] = audit(anyone, tree)["advisories"].values()
    assert 0 < len(found["findings"][0]["paths"]) <= 20


def test_a_tree_is_bounded(anyone, settings):
    deep: dict = {"version": "1.0.0"}
    for _ in range(250):
        deep = {"version": "1.0.0", "dependencies": {"a": deep}}
    assert anyone.send("POST", FULL, body=deep).status == 400
    settings.MAX_AUDIT_NODES = 5
    wide = {"dependencies": {f"p{n}": {"version": "1.0.0"} for n in range(6)}}
    assert anyone.send("POST", FULL, body=wide).status == 413
    assert anyone.send("POST", FULL, body=[1]).status == 400


def test_a_tree_that_lacks_its_packages_is_not_called_clean(anyone):
    """npm 9 and 10 send such a one when the other endpoint fails and the lockfile is of version 3."""
    answer = anyone.send("POST", QUICK, body={"requires": {"left-pad": "^1.0.0"}})
    assert (answer.status, "has no packages" in answer.json()["error"]) == (400, True)
