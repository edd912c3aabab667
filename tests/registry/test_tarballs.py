import gzip
import io
import json
import os
import tarfile
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.errors import Invalid, TooLarge
from registry.tarballs import TarballLimits, inspect
from tests.tarballs import device, file, folder, link, package, patched, pipe, tar, tarball, zipped

MANIFEST = {"name": "left-pad", "version": "1.0.0"}
PACKAGE_JSON = file("package/package.json", MANIFEST)


def look(data, **limits):
    return inspect(io.BytesIO(data), TarballLimits(**limits))


def refusal(data, error=Invalid, **limits):
    with pytest.raises(error) as caught:
        look(data, **limits)
    return caught.value.sentence


def archive_of(*members, tar_format=tarfile.USTAR_FORMAT):
    return zipped(tar([PACKAGE_JSON, *members], tar_format))


# --- What honest packers make ----------------------------------------------------------------------------------------


def test_a_package_is_described():
    report = look(package(files={"README.md": "# Left pad", "lib/index.js": "x" * 600}))
    assert report.package_json == MANIFEST
    assert report.readme == "# Left pad"
    assert report.has_install_script is False
    assert report.entries == 3
    assert report.unpacked_size == len(json.dumps(MANIFEST)) + 10 + 600


@pytest.mark.parametrize("top", ["package/", "left-pad/", "./", "a-commit-1234567/", "node v20/"])
def test_the_first_folder_may_have_any_name(top):
    assert look(tarball({"package.json": MANIFEST, "README": "words"}, top=top)).readme == "words"


def test_several_first_folders_are_one_to_npm():
    report = look(archive_of(file("other/README.md", "words"), file("third/lib/package.json", {})))
    assert (report.package_json, report.readme, report.entries) == (MANIFEST, "words", 3)


def test_folders_are_not_counted_whatever_size_they_claim():
    archive = tar([folder("package/"), PACKAGE_JSON, folder("package/lib")])
    sized = patched(archive, 124, b"00000010000\0")
    assert look(zipped(archive)).entries == look(zipped(sized)).entries == 1


@pytest.mark.parametrize("tar_format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_paths_are_read_in_every_dialect(tar_format):
    long = "package/" + "deeply/" * 20 + "nested.js"
    assert look(archive_of(file(long, "x"), tar_format=tar_format)).entries == 2
    assert repr(f"{long}/../x") in refusal(archive_of(file(f"{long}/../x"), tar_format=tar_format))


def test_extended_headers_are_read_for_paths_and_otherwise_ignored():
    attributes = {"mtime": "1700000000.25", "SCHILY.xattr.com.apple.provenance": "\n\x01\x02", "comment": "é"}
    archive = tar([file("placeholder", MANIFEST, path="package/package.json", **attributes)], tarfile.PAX_FORMAT)
    assert look(zipped(archive)).package_json == MANIFEST


def test_archives_of_git_name_their_commit_for_all_entries():
    with io.BytesIO() as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "1a2b"}) as writer:
            member, content = PACKAGE_JSON
            writer.addfile(member, io.BytesIO(content))
        assert look(zipped(out.getvalue())).package_json == MANIFEST


def test_times_behind_the_prefix_are_no_part_of_the_path():
    """node-tar writes them there when it is not told to be portable."""
    archive = patched(tar([PACKAGE_JSON]), 476, b"14524770000\0" * 2)
    assert look(zipped(archive)).package_json == MANIFEST


def test_an_archive_may_end_without_empty_blocks():
    assert look(zipped(tar([PACKAGE_JSON])[:1024])).package_json == MANIFEST


# --- package.json ----------------------------------------------------------------------------------------------------


def test_a_byte_order_mark_is_tolerated():
    assert look(tarball({"package.json": b"\xef\xbb\xbf" + json.dumps(MANIFEST).encode()})).package_json == MANIFEST


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"nonsense", b'{"a": NaN}', b'{"a": "\xff"}', b"[" * 100_000, json.dumps(MANIFEST).encode("utf-16")],
)
def test_a_package_json_that_is_not_json_is_refused(content):
    assert "package.json in the tarball is not JSON" in refusal(tarball({"package.json": content}))


@pytest.mark.parametrize("content", [b"[]", b"null", b'"left-pad"'])
def test_a_package_json_must_be_an_object(content):
    assert "not a JSON object" in refusal(tarball({"package.json": content}))


@pytest.mark.parametrize(
    "members",
    [
        [],
        [file("package.json", MANIFEST)],
        [file("./package/package.json", MANIFEST)],
        [file("package/lib/package.json", MANIFEST)],
        [folder("package/package.json/")],
    ],
)
def test_a_tarball_without_package_json_is_refused(members):
    assert "has no package.json" in refusal(zipped(tar(members)))


@pytest.mark.parametrize(
    "path", ["package/package.json", "other/package.json", "package/PACKAGE.json", "x/package.json."]
)
def test_a_second_package_json_is_refused(path):
    """npm unpacks the one over the other; which one wins depends on who unpacks, and on which system."""
    assert f"{path!r} is the second package.json" in refusal(archive_of(file(path, {"name": "evil"})))


def test_a_package_json_in_other_letters_is_refused():
    assert "must be spelled package.json" in refusal(tarball({"Package.JSON": MANIFEST}))


def test_a_giant_package_json_is_refused():
    assert "larger than 4,194,304" in refusal(tarball({"package.json": {**MANIFEST, "x": "x" * 2**22}}), TooLarge)


# --- Scripts and readme ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "files", "expected"),
    [
        ({}, {}, False),
        ({"scripts": {"test": "x", "prepare": "x"}}, {}, False),
        ({"scripts": {"preinstall": "x"}}, {}, True),
        ({"scripts": {"install": "x"}}, {}, True),
        ({"scripts": {"postinstall": "x"}}, {}, True),
        ({"scripts": {"install": ""}}, {}, False),
        ({"scripts": ["install"]}, {}, False),
        ({}, {"binding.gyp": "{}"}, True),
        ({}, {"BINDING.gyp": "{}"}, True),
        ({}, {"lib/binding.gyp": "{}"}, False),
        ({"gypfile": False}, {"binding.gyp": "{}"}, False),
        ({"gypfile": False, "scripts": {"install": "x"}}, {"binding.gyp": "{}"}, True),
    ],
)
def test_it_is_known_whether_installing_runs_a_script(fields, files, expected):
    assert look(package(files=files, **fields)).has_install_script is expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, None),
        ({"readme.txt": "text", "README.md": "markdown"}, "markdown"),
        ({"Readme.markdown": "markdown", "README": "text"}, "markdown"),
        ({"README": "one", "README.txt": "two"}, "one"),
        ({"docs/README.md": "deep", "readmemore.md": "other", "readme.d/x.md": "part"}, None),
        ({"README.md": b"caf\xe9"}, "caf\ufffd"),
        ({"README.md": "x" * 2**20}, "x" * 2**20),
        ({"README.md": "x" * (2**20 + 1)}, None),
    ],
)
def test_the_readme_is_found_as_npm_finds_it(files, expected):
    assert look(package(files=files)).readme == expected


# --- Hostile entries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("member", "what"),
    [
        (link("package/x", "package.json"), "a link"),
        (link("package/x", "/etc/passwd"), "a link"),
        (link("package/x", "package/package.json", hard=True), "a link"),
        (device("package/x"), "a device"),
        (device("package/x", block=True), "a device"),
        (pipe("package/x"), "a pipe"),
        (file("package/x/", "content"), "neither a file nor a folder"),
    ],
)
def test_only_files_and_folders_are_unpacked(member, what):
    assert f"is {what}" in refusal(archive_of(member))


def test_links_with_long_targets_are_links():
    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        assert "in the tarball" in refusal(archive_of(link("package/x", "y" * 200), tar_format=tar_format))


@pytest.mark.parametrize("kind", [b"S", b"7", b"D", b"M", b"V", b"X", b"A", b"\xff"])
def test_kinds_that_npm_does_not_know_are_refused(kind):
    archive = patched(tar([file("package/x"), PACKAGE_JSON]), 156, kind)
    assert "'package/x' in the tarball is neither" in refusal(zipped(archive))


@pytest.mark.parametrize(
    "path",
    [
        "/package/x",
        "/etc/passwd",
        "../x",
        "package/../../x",
        "package/..",
        "package/./x",
        "package//x",
        "package/C:/x",
        "C:/x",
        "package/x\\..\\y",
        "package\\x",
        "package/x\ny",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(path):
    assert refusal(archive_of(file(path))).startswith(repr(path))
    pax = archive_of(file("package/fine", b"", path=path), tar_format=tarfile.PAX_FORMAT)
    assert repr(path)[:8] in refusal(pax)


def test_a_nul_in_an_extended_path_is_refused():
    """Where it is not refused, some readers see the part before it."""
    archive = archive_of(file("x", {}, path="package/package.json\0.txt"), tar_format=tarfile.PAX_FORMAT)
    assert r"'package/package.json\x00.txt'" in refusal(archive)


def test_a_path_that_is_not_utf8_is_refused():
    archive = patched(tar([file("package/xyz"), PACKAGE_JSON]), 8, b"\xe9")
    assert "not UTF-8" in refusal(zipped(archive))


def test_paths_have_a_limit():
    path = "package/" + "x" * 1016
    assert look(archive_of(file(path), tar_format=tarfile.GNU_FORMAT)).entries == 2
    assert "longer than 1,024" in refusal(archive_of(file(path + "x"), tar_format=tarfile.GNU_FORMAT))


# --- What two readers would read in two ways -------------------------------------------------------------------------

EVIL = file("package/package.json", {"name": "evil"})


def test_an_archive_behind_the_end_of_the_archive_is_refused():
    """tarfile stops at one empty block, node-tar goes on."""
    archive = tar([PACKAGE_JSON])[:1024]
    assert "behind the end of its archive" in refusal(zipped(archive + bytes(512) + tar([EVIL])))
    assert look(zipped(archive + bytes(10_240))).package_json == MANIFEST


def test_a_prefix_that_only_some_readers_know_is_refused():
    """Outside of POSIX archives these bytes mean something else; tarfile takes them for a path all the same."""
    archive = patched(tar([EVIL], tarfile.GNU_FORMAT), 345, b"hidden")
    assert "two ways" in refusal(zipped(archive))


def test_a_file_that_claims_to_point_somewhere_is_refused():
    """node-tar skips its header and then takes its content for headers."""
    archive = patched(tar([file("package/x", tar([EVIL])), PACKAGE_JSON]), 157, b"target")
    assert "two ways" in refusal(zipped(archive))
    archive = patched(tar([file("x", MANIFEST, path="package/package.json")], tarfile.PAX_FORMAT), 157, b"target")
    assert "two ways" in refusal(zipped(archive))


@pytest.mark.parametrize("offset", [100, 108, 116, 136, 329, 337, 476, 488])
@pytest.mark.parametrize("number", [b"\x81\0\0\0\0\0\0\1", b"\x80\1\0\0\0\0\0\1", b"\xff\0\0\0\0\0\0\1"])
def test_a_header_with_a_number_that_npm_cannot_read_is_refused(offset, number):
    """node-tar skips such a header, too."""
    archive = patched(tar([file("package/x", tar([EVIL])), PACKAGE_JSON]), offset, number)
    assert "two ways" in refusal(zipped(archive))


def test_large_user_ids_are_read():
    archive = patched(tar([PACKAGE_JSON]), 108, b"\x80\0\0\0\x7f\xff\xff\xff")
    assert look(zipped(archive)).package_json == MANIFEST


def test_bytes_behind_a_name_are_refused():
    """node-tar drops them up to a line end only."""
    archive = patched(tar([file("package/p"), PACKAGE_JSON]), 10, b"\nackage.json")
    assert "two ways" in refusal(zipped(archive))


@pytest.mark.parametrize(
    "pax",
    [
        {"path": "package/fine", "comment": "x\n30 path=package/package.json\n"},
        {"comment": "x\n30 path=package/package.json\n"},
        {"comment": "x\n30_path=package/package.json\n"},
        {"comment": "x\n12 size=1024\n"},
        {"size": "1024"},
        {"size": "-1"},
    ],
)
def test_extended_headers_that_say_two_things_are_refused(pax):
    assert "two ways" in refusal(archive_of(file("package/x", b"", **pax), tar_format=tarfile.PAX_FORMAT))


def test_an_extended_header_with_two_paths_is_refused():
    content = b"23 path=package/one.js\n23 path=package/two.js\n"
    archive = patched(tar([file("PaxHeader", content), PACKAGE_JSON]), 156, b"x")
    assert "two ways" in refusal(zipped(archive))


def test_two_extended_headers_for_one_entry_are_refused():
    pax = tar([file("package/x", b"", path="package/fine")], tarfile.PAX_FORMAT)
    assert "two ways" in refusal(zipped(pax[:1024] + pax))


def test_a_path_for_all_entries_is_refused():
    with io.BytesIO() as out:
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT, pax_headers={"path": "p/x"}) as writer:
            writer.addfile(PACKAGE_JSON[0], io.BytesIO(PACKAGE_JSON[1]))
        assert "for all its entries" in refusal(zipped(out.getvalue()))


def test_sparse_files_are_refused():
    sparse = {"GNU.sparse.major": "1", "GNU.sparse.name": "package/package.json"}
    assert "sparse" in refusal(archive_of(file("package/x", b"", **sparse), tar_format=tarfile.PAX_FORMAT))


@pytest.mark.parametrize(
    "content", [b"30 path\n", b"9 path=x", b"99 path=package/x\n", b"path=x\n", b"0 path=x\n", b"7 a=b\n"]
)
def test_damaged_extended_headers_are_refused(content):
    archive = patched(tar([file("PaxHeader", content), PACKAGE_JSON]), 156, b"x")
    assert "damaged extended header" in refusal(zipped(archive))


# --- Damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"nonsense", tar([PACKAGE_JSON]), b"\x1f\x8b", b"PK\x03\x04" + bytes(100)])
def test_what_is_not_gzip_is_refused(data):
    assert "tarball" in refusal(data)


@pytest.mark.parametrize("content", [b"nonsense", b"x" * 2000, os.urandom(1024), b"\0" * 100 + b"x" * 1000])
def test_what_is_not_tar_is_refused(content):
    assert "tarball" in refusal(zipped(content))


def test_a_tarball_that_ends_early_is_refused_wherever_it_ends():
    whole = package(files={"index.js": os.urandom(2000)})
    for end in range(len(whole)):
        assert "in the middle" in refusal(whole[:end]), end


def test_an_archive_that_ends_inside_an_entry_is_refused():
    archive = tar([file("package/x", path="package/y"), PACKAGE_JSON], tarfile.PAX_FORMAT)
    for end in (100, 512, 600, 1024, 1100, 1600, 2048):
        assert "in the middle" in refusal(zipped(archive[:end])), end


def test_the_checksum_of_gzip_is_checked():
    whole = bytearray(package())
    whole[-6] ^= 1
    assert "damaged" in refusal(bytes(whole))
    whole = bytearray(package())
    whole[-2] ^= 1
    assert "damaged" in refusal(bytes(whole))


@pytest.mark.parametrize(
    "rest",
    [b"x", b"\0" * 512, zipped(tar([EVIL])), gzip.compress(b"", mtime=0)],
    ids=["a letter", "zeros", "another archive", "nothing, zipped"],
)
def test_bytes_behind_the_gzip_stream_are_refused(rest):
    assert "behind the end of its gzip" in refusal(package() + rest)


@pytest.mark.parametrize(
    "size", [b"\0" * 12, b"\xff" * 12, b"\x80" + b"\0" * 10 + b"\1", b"-0000000001\0", b"0x000000001\0"]
)
def test_odd_sizes_are_refused(size):
    assert "damaged header" in refusal(zipped(patched(tar([PACKAGE_JSON]), 124, size)))


# --- Bombs -----------------------------------------------------------------------------------------------------------


def test_a_bomb_is_stopped_while_it_is_small():
    """A hundred megabytes of zeros in a hundred kilobytes, and nothing of it in memory."""
    bomb = archive_of(file("package/zeros", bytes(100_000_000)))
    tracemalloc.start()
    try:
        assert "more than 200 times" in refusal(bomb)
        assert "more than 200 times" in refusal(bomb, ratio_free_bytes=1_000_000)
        assert "more than 50,000,000 bytes" in refusal(bomb, TooLarge, unpacked_bytes=50_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000


def test_honest_zeros_are_no_bomb():
    assert look(archive_of(file("package/empty.img", bytes(8_000_000)))).unpacked_size > 8_000_000


def test_giant_extended_headers_are_not_taken_into_memory():
    for kind in (b"x", b"g", b"L"):
        archive = patched(tar([file("header", bytes(2**21)), PACKAGE_JSON]), 156, kind)
        assert "a header of 2,097,152 bytes" in refusal(zipped(archive))


def test_entries_have_a_limit_that_counts_headers_of_all_kinds():
    many = archive_of(*(file(f"package/{number}") for number in range(10)))
    assert look(many, entries=11).entries == 11
    assert "more than 10 entries" in refusal(many, TooLarge, entries=10)
    folders = archive_of(*(folder(f"package/{number}") for number in range(10)))
    assert "more than 10 entries" in refusal(folders, TooLarge, entries=10)


# --- Anything at all -------------------------------------------------------------------------------------------------

SEEDS = [
    tar([PACKAGE_JSON, file("package/README.md", "words"), folder("package/lib")]),
    tar([file("x", MANIFEST, path="package/package.json"), file("package/y", path="z" * 200)], tarfile.PAX_FORMAT),
    tar([file("package/" + "x" * 200, "y"), PACKAGE_JSON, link("package/z", "t" * 200)], tarfile.GNU_FORMAT),
]
_edits = st.lists(
    st.tuples(
        st.integers(0, 10_000), st.binary(min_size=1, max_size=12) | st.sampled_from([b"x", b"L", b"g", b"\0" * 12])
    ),
    min_size=1,
    max_size=5,
)


def edited(data, edits):
    for at, value in edits:
        start = at % len(data)
        data = data[:start] + value + data[start + len(value) :]
    return data


@settings(max_examples=200, deadline=None)
@given(seed=st.sampled_from(SEEDS), edits=_edits)
def test_a_damaged_gzip_file_is_read_or_refused(seed, edits):
    with suppress(Invalid, TooLarge):
        look(edited(zipped(seed), edits))


@settings(max_examples=300, deadline=None)
@given(seed=st.sampled_from(SEEDS), edits=_edits, block=st.integers(0, 4), offset=st.integers(0, 511))
def test_a_damaged_archive_is_read_or_refused(seed, edits, block, offset):
    """The checksum of one header is made right again, so that the damage gets further."""
    with suppress(Invalid, TooLarge):
        look(zipped(patched(edited(seed, edits[1:]), min(offset, 500), edits[0][1], block=block)))
