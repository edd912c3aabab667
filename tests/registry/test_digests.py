import base64
import hashlib

import pytest

from registry.digests import Digests, Integrity

TARBALL = b"the bytes of a tarball"


def sri(algorithm, content=TARBALL):
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, content).digest()).decode()}"


def shasum(content=TARBALL):
    return hashlib.sha1(content).hexdigest()


def accepts(dist, content=TARBALL):
    checker = Integrity.of(dist).checker()
    for at in range(0, len(content), 5):
        checker.update(content[at : at + 5])
    return checker.matches()


def test_digests_say_what_dist_says():
    digests = Digests()
    digests.update(TARBALL[:7])
    digests.update(TARBALL[7:])
    assert digests.sha1 == shasum()
    assert digests.sha512 == hashlib.sha512(TARBALL).hexdigest()
    assert digests.integrity == sri("sha512")
    assert digests.size == len(TARBALL)


def test_digests_of_nothing_are_those_of_an_empty_file():
    assert (Digests().size, Digests().sha1) == (0, shasum(b""))


@pytest.mark.parametrize("algorithm", ["sha512", "sha384", "sha256", "sha1"])
def test_a_promise_holds_for_its_bytes_only(algorithm):
    dist = {"integrity": sri(algorithm)}
    assert accepts(dist)
    assert not accepts(dist, TARBALL + b".")


def test_packages_from_before_integrity_are_checked_by_shasum():
    assert accepts({"shasum": shasum()})
    assert accepts({"shasum": shasum().upper()})
    assert not accepts({"shasum": shasum()}, b"other bytes")


def test_only_the_strongest_algorithm_counts():
    dist = {
        "integrity": f"{sri('sha1', b'other')} {sri('sha512')} {sri('sha256', b'other')}",
        "shasum": shasum(b"other"),
    }
    assert accepts(dist)
    assert not accepts({"integrity": f"{sri('sha1')} {sri('sha512', b'other')}", "shasum": shasum()})


def test_any_of_several_hashes_of_the_strongest_algorithm_may_match():
    dist = {"integrity": f"{sri('sha512', b'other')}\n  {sri('sha512')}"}
    assert accepts(dist)
    assert accepts(dist, b"other")
    assert not accepts(dist, b"third")


def test_options_of_an_entry_are_ignored():
    assert accepts({"integrity": sri("sha512") + "?foo?bar=1"})


def test_a_weak_integrity_is_not_widened_by_the_shasum():
    dist = {"integrity": sri("sha1"), "shasum": shasum(b"other")}
    assert accepts(dist)
    assert not accepts(dist, b"other")


@pytest.mark.parametrize(
    "malformed",
    [
        "sha512-",
        "sha512",
        "sha512-AAAA",
        "sha512-" + "A" * 85 + "*==",
        "sha512-" + "A" * 86,
        "sha999-" + "A" * 86 + "==",
        "sha512-" + "é" * 86 + "==",
        "-" + "A" * 86 + "==",
        "",
        None,
        7,
        ["sha512-" + "A" * 86 + "=="],
    ],
)
def test_what_is_malformed_is_passed_over(malformed):
    assert Integrity.of({"integrity": malformed}) is None
    assert accepts({"integrity": malformed, "shasum": shasum()})
    assert accepts({"integrity": f"{malformed} {sri('sha256')}"})


@pytest.mark.parametrize("useless", [None, 5, "", "0" * 39, "g" * 40, "0" * 41, " " + "0" * 38 + " "])
def test_a_useless_shasum_promises_nothing(useless):
    assert Integrity.of({"shasum": useless}) is None


def test_md5_alone_promises_nothing():
    assert Integrity.of({"integrity": sri("md5")}) is None
    assert Integrity.of({}) is None


def test_what_is_kept_of_bytes_shows_whether_they_are_the_promised_ones():
    kept = {"sha512": hashlib.sha512(TARBALL).hexdigest(), "sha1": shasum()}
    assert Integrity.of({"integrity": sri("sha512")}).admits(**kept)
    assert Integrity.of({"integrity": f"{sri('sha512')} {sri('sha512', b'other')}"}).admits(**kept)
    assert Integrity.of({"shasum": shasum()}).admits(**kept)
    assert not Integrity.of({"integrity": sri("sha512", b"other")}).admits(**kept)
    assert not Integrity.of({"integrity": sri("sha256")}).admits(**kept), "it cannot be shown"


def test_checkers_of_one_promise_do_not_disturb_each_other():
    integrity = Integrity.of({"integrity": sri("sha512")})
    first, second = integrity.checker(), integrity.checker()
    first.update(b"other bytes")
    second.update(TARBALL)
    assert (first.matches(), second.matches()) == (False, True)
