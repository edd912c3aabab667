"""Entries of OSV as its dumps have them, and dumps made of them."""

import json
import zipfile
from pathlib import Path
from typing import Any


def ghsa(
    package: str = "left-pad",
    *events: dict[str, str],
    source: str = "GHSA-aaaa-bbbb-cccc",
    severity: str = "HIGH",
    **change: Any,
) -> dict[str, Any]:
    """A reviewed advisory of GitHub's; without events all before 1.3.0 are vulnerable."""
    ranges = [{"type": "SEMVER", "events": list(events or ({"introduced": "0"}, {"fixed": "1.3.0"}))}]
    return {
        "schema_version": "1.4.0",
        "id": source,
        "modified": "2026-10-01T12:00:00Z",
        "published": "2026-09-30T08:00:00Z",
        "aliases": ["CVE-2026-1234"],
        "summary": f"{package} pads too far",
        "details": "# What happens\n\nToo much.",
        "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}],
        "affected": [
            {"package": {"ecosystem": "npm", "name": package, "purl": f"pkg:npm/{package}"}, "ranges": ranges}
        ],
        "references": [{"type": "WEB", "url": "https://example.com"}],
        "database_specific": {"cwe_ids": ["CWE-400"], "severity": severity, "github_reviewed": True},
        **change,
    }


def malware(package: str, *versions: str, source: str = "MAL-2026-1", **change: Any) -> dict[str, Any]:
    """An entry about malicious versions, or a package that is nothing else."""
    about: dict[str, Any] = {"package": {"ecosystem": "npm", "name": package}}
    if versions:
        about["versions"] = list(versions)
    else:
        about["ranges"] = [{"type": "SEMVER", "events": [{"introduced": "0"}]}]
    return {
        "schema_version": "1.7.4",
        "id": source,
        "modified": "2026-10-02T00:00:00Z",
        "summary": f"Malicious code in {package} (npm)",
        "affected": [about],
        "database_specific": {"malicious-packages-origins": [{"source": "somebody"}]},
        **change,
    }


def folder(path: Path, *entries: dict[str, Any]) -> Path:
    """A folder with a file for each entry."""
    path.mkdir(parents=True, exist_ok=True)
    for entry in entries:
        (path / f"{entry['id']}.json").write_text(json.dumps(entry))
    return path


def archive(path: Path, *entries: dict[str, Any]) -> Path:
    """A zip as OSV gives it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for entry in entries:
            file.writestr(f"{entry['id']}.json", json.dumps(entry))
    return path
