"""`manage.py advisories import`, and the fetch on a schedule: a diff, all of it or nothing."""

import io
import json
import zipfile

import pytest
from django.core.management import CommandError, call_command

from audit.models import Event
from bugversions import advisories
from bugversions.models import Advisory, AdvisoryFeed
from bugversions.tasks import fetch_advisories
from tests.bugversions.osv_entries import archive, folder, ghsa, malware

pytestmark = pytest.mark.django_db(transaction=True)


def bring_in(path, *options) -> str:
    out = io.StringIO()
    call_command("advisories", "import", str(path), *options, stdout=out, stderr=out)
    return out.getvalue().strip()


def here() -> dict[str, str]:
    return dict(Advisory.objects.order_by("source").values_list("source", "vulnerable_versions"))


def several(count: int) -> list[dict]:
    return [ghsa(f"package-{n}", source=f"GHSA-{n:04}") for n in range(count)]


def test_a_dump_comes_in_and_the_next_one_is_a_diff(tmp_path, effects):
    first = archive(tmp_path / "all.zip", *several(8), malware("evil"))
    assert bring_in(first) == "9 added, 0 changed, 0 removed, 0 as before"
    assert effects() == ["advisories.imported advisories:all.zip by manage.py advisories"]
    untouched = dict(Advisory.objects.values_list("source", "pk"))

    second = [*several(8)[2:], malware("evil", "1.0.0"), ghsa("new", source="GHSA-new")]
    second[0]["withdrawn"] = "2026-11-01T00:00:00Z"
    assert bring_in(archive(tmp_path / "all.zip", *second)) == "1 added, 1 changed, 3 removed, 5 as before"
    assert here() == {
        **{f"GHSA-{n:04}": "<1.3.0" for n in range(3, 8)},
        "GHSA-new": "<1.3.0",
        "MAL-2026-1": "1.0.0",
    }
    kept = dict(Advisory.objects.exclude(source="GHSA-new").values_list("source", "pk"))
    assert kept.items() <= untouched.items()
    assert Event.objects.latest("pk").facts["removed"] == 3


def test_the_same_dump_again_changes_and_records_nothing(tmp_path, effects):
    bring_in(folder(tmp_path / "dump", *several(3)))
    effects()
    assert bring_in(tmp_path / "dump") == "0 added, 0 changed, 0 removed, 3 as before"
    assert effects() == []


def test_one_advisory_about_several_packages(tmp_path):
    entry = ghsa("a")
    entry["affected"] += ghsa("b", {"introduced": "0"})["affected"]
    bring_in(folder(tmp_path / "dump", entry))
    entry["affected"].pop()
    bring_in(folder(tmp_path / "dump", entry))
    assert list(Advisory.objects.values_list("package", flat=True)) == ["a"]


def test_what_cannot_be_read_is_told_and_the_rest_comes_in(tmp_path):
    dump = folder(tmp_path / "dump", *several(2), {"id": "GHSA-odd", "affected": [{"package": {"ecosystem": "npm"}}]})
    (dump / "torn.json").write_text('{"id": "GHSA-to')
    said = bring_in(dump)
    assert "not readable: torn.json: it is not JSON" in said
    assert "2 added, 0 changed, 0 removed, 0 as before, 2 not readable" in said


def _bomb(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for n in range(4):
            file.writestr(f"{n}.json", b" " * (1 << 20))


def _torn(path):
    archive(path, *several(3))
    path.write_bytes(path.read_bytes()[:-40])


def _damaged(path):
    archive(path, *several(3))
    data = bytearray(path.read_bytes())
    data[60:90] = bytes(30)
    path.write_bytes(data)


def _twice(path):
    with zipfile.ZipFile(path, "w") as file:
        for name in ("a.json", "b/a.json"):
            file.writestr(name, json.dumps(ghsa()))


def _garbage(path):
    with zipfile.ZipFile(path, "w") as file:
        for n in range(100):
            file.writestr(f"{n}.json", "garbage")
        file.writestr("good.json", json.dumps(ghsa()))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_bomb, "LARDER_MAX_ADVISORIES_MB"),
        (_torn, "not a zip that can be read"),
        (_damaged, "not a zip that can be read"),
        (_twice, "GHSA-aaaa-bbbb-cccc twice"),
        (_garbage, "100 of its 101 entries cannot be read"),
        (archive, "no advisories about npm packages"),
        (lambda path: archive(path, *several(21)), "more than 20 files"),
        (lambda path: archive(path, *several(1)), "lacks 4 of the 5"),
        (lambda path: path.write_text("not a zip"), "not a zip that can be read"),
        (lambda path: None, "there is no file or folder"),
    ],
)
def test_a_dump_that_makes_no_sense_changes_nothing(make, why, tmp_path, settings, effects):
    bring_in(folder(tmp_path / "before", *several(5)))
    settings.MAX_ADVISORIES_BYTES, settings.MAX_ADVISORIES = 2 << 20, 200 if make is _garbage else 20
    before, _ = here(), effects()
    make(tmp_path / "all.zip")
    with pytest.raises(CommandError, match=f"nothing was imported: .*{why}"):
        bring_in(tmp_path / "all.zip")
    assert (here(), effects()) == (before, [])


def test_a_dump_that_shrinks_is_taken_when_it_is_meant(tmp_path):
    bring_in(folder(tmp_path / "before", *several(5)))
    assert bring_in(archive(tmp_path / "all.zip", *several(1)), "--shrink").startswith("0 added, 0 changed, 4 removed")


def test_names_in_a_zip_and_links_in_a_folder_lead_nowhere(tmp_path):
    outside = folder(tmp_path / "outside", ghsa("secret", source="GHSA-outside"))
    dump = folder(tmp_path / "dump", ghsa())
    (dump / "link.json").symlink_to(outside / "GHSA-outside.json")
    (dump / "linked").symlink_to(outside)
    bring_in(dump)
    assert list(here()) == ["GHSA-aaaa-bbbb-cccc"]

    with zipfile.ZipFile(tmp_path / "slip.zip", "w") as file:
        file.writestr("../../../slipped.json", json.dumps(ghsa()))
    bring_in(tmp_path / "slip.zip")
    assert not list(tmp_path.parent.rglob("slipped.json"))


# --- On a schedule ---------------------------------------------------------------------------------------------------


@pytest.fixture
def feed(upstream, settings, tmp_path):
    """A place that has the dump of the entries that were put there last."""
    settings.ADVISORIES_URL, settings.ADVISORIES_SECONDS = f"{upstream.url}/all.zip", 0

    def put(*entries):
        data = archive(tmp_path / "feed.zip", *entries).read_bytes()
        etag = f'"{len(entries)}"'
        upstream.put_raw("all.zip", data, content_type="application/zip", headers={"etag": etag})

    return put


def test_nothing_is_fetched_unless_a_place_is_set(effects):
    assert advisories.fetch() is None
    assert not AdvisoryFeed.objects.exists()


def test_a_dump_is_fetched_when_it_is_due_and_has_changed(feed, upstream, settings, effects):
    feed(*several(3))
    fetch_advisories()
    assert len(here()) == 3
    assert effects() == [f"advisories.imported advisories:{settings.ADVISORIES_URL} by advisories"]

    settings.ADVISORIES_SECONDS = 3600
    feed(*several(4))
    fetch_advisories()
    assert (upstream.count("/all.zip"), len(here())) == (1, 3)

    settings.ADVISORIES_SECONDS = 0
    fetch_advisories()
    assert upstream.last("/all.zip").headers["if-none-match"] == '"3"'
    assert len(here()) == 4
    effects()

    upstream.fault("/all.zip", "status", code=304, times=1)
    fetch_advisories()
    assert upstream.last("/all.zip").headers["if-none-match"] == '"4"'
    assert (len(here()), effects()) == (4, [])


def test_when_nothing_is_here_the_dump_is_fetched_whatever_we_remember(feed, upstream):
    feed(*several(3))
    advisories.fetch()
    Advisory.objects.all().delete()
    advisories.fetch()
    assert "if-none-match" not in upstream.last("/all.zip").headers
    assert len(here()) == 3


@pytest.mark.parametrize(
    ("fault", "options", "why"),
    [
        ("status", {"code": 500}, "answered 500"),
        ("status", {"code": 404}, "answered 404"),
        ("reset", {}, "broke the connection off"),
        ("truncate", {}, "broke off before the end"),
        ("not_json", {}, "not a zip"),
        ("redirect", {"to": "http://10.0.0.1/all.zip"}, "neither public nor"),
    ],
)
def test_what_goes_wrong_changes_nothing_and_is_told_once(fault, options, why, feed, upstream, effects):
    feed(*several(3))
    advisories.fetch()
    effects()
    upstream.fault("/all.zip", fault, **options)
    for _ in range(2):
        assert advisories.fetch() is None
    assert why in AdvisoryFeed.objects.get().refusal
    assert [effect.split()[0] for effect in effects()] == ["advisories.refused"]
    assert len(here()) == 3

    upstream.heal()
    feed(*several(2))
    assert advisories.fetch().removed == 1
    assert AdvisoryFeed.objects.get().refusal == ""


def test_a_dump_that_is_too_large_is_not_taken(feed, settings):
    settings.MAX_ADVISORIES_BYTES = 100
    feed(*several(3))
    advisories.fetch()
    assert "100 are allowed" in AdvisoryFeed.objects.get().refusal
