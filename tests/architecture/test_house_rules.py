"""What must not be in the tree, and what must be."""

import subprocess

from tests.architecture.source import ROOT


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    return listed.stdout.split()


def test_every_dependency_is_pinned_and_has_a_word_of_why():
    for file in ("requirements.txt", "requirements-dev.txt"):
        for line in (ROOT / file).read_text().splitlines():
            if line and not line.startswith(("#", "-r")):
                requirement, _, why = line.partition("#")
                assert "==" in requirement, line
                assert why.strip(), line


def test_nothing_generated_is_tracked():
    generated = [name for name in tracked() if name.startswith(("var/", ".venv/")) or name.endswith((".pyc", ".env"))]
    assert not generated
