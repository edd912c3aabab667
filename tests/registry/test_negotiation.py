"""What clients ask for in their headers, and what they get when they write nonsense."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.negotiation import encoding, flavour, is_current
from registry.packuments import Flavour

MODIFIED = 1_750_000_000  # Sun, 15 Jun 2025 15:06:40 GMT


@pytest.mark.parametrize(
    "accept",
    [
        "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*",  # npm 6 to 9, pnpm, bun
        "application/vnd.npm.install-v1+json",
        "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8",  # corepack
        "application/json,application/vnd.npm.install-v1+json",
        "APPLICATION/VND.NPM.INSTALL-V1+JSON;Q=1.0, application/json;Q=0.5",
    ],
)
def test_who_names_the_abbreviated_document_gets_it(accept):
    assert flavour(accept) is Flavour.ABBREVIATED


@pytest.mark.parametrize(
    "accept",
    [
        "",  # yarn berry
        "application/json",  # npm 10.4 and later
        "*/*",  # deno
        "application/json; q=1.0, */*",
        "application/json, application/vnd.npm.install-v1+json; q=0.5",
        "application/vnd.npm.install-v1+json; q=0",
        "application/vnd.npm.install-v1+json; q=much",
        "text/html,application/xhtml+xml,*/*;q=0.8",
    ],
)
def test_everybody_else_gets_the_full_one(accept):
    assert flavour(accept) is Flavour.FULL


@pytest.mark.parametrize(
    ("accept_encoding", "expected"),
    [
        ("gzip,deflate", "gzip"),
        ("gzip, deflate, br", "gzip"),
        ("gzip, deflate, br, zstd", "zstd"),
        ("zstd,gzip,deflate", "zstd"),
        ("gzip;q=1.0, identity;q=0.5", "gzip"),
        ("zstd;q=0.5, gzip;q=0.9", "gzip"),
        ("GZIP", "gzip"),
        ("gzip;q=0", "identity"),
        ("gzip;Q=0", "identity"),
        ("gzip;q=nan", "identity"),
        ("zstd;q=nan, gzip", "gzip"),
        ("identity", "identity"),
        ("gzip/deflate", "identity"),
        ("br", "identity"),
        ("", "identity"),
        (",;,=;q=", "identity"),
    ],
)
def test_the_encoding_is_the_best_that_the_client_names(accept_encoding, expected):
    assert encoding(accept_encoding) == expected


@pytest.mark.parametrize("given_tags", ['"abc"', 'W/"abc"', '"x", W/"abc"', '"x","abc"', "*", ' "abc" '])
@pytest.mark.parametrize("ours", ['"abc"', 'W/"abc"'])
def test_etags_are_compared_weakly_and_in_lists(given_tags, ours):
    assert is_current(ours, MODIFIED, given_tags, None)


@pytest.mark.parametrize("given_tags", ['"ab"', "abc", "", '"abc', '"ABC"'])
def test_another_etag_is_not_ours(given_tags):
    assert not is_current('W/"abc"', MODIFIED, given_tags, None)


def test_an_etag_wins_over_a_date():
    late = "Fri, 01 Jan 2100 00:00:00 GMT"
    assert not is_current('"new"', MODIFIED, '"old"', late)
    assert is_current('"new"', MODIFIED, '"new"', "Thu, 01 Jan 1970 00:00:00 GMT")


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        ("Sun, 15 Jun 2025 15:06:40 GMT", True),
        ("Sun, 15 Jun 2025 15:06:39 GMT", False),
        ("Sunday, 15-Jun-25 15:06:40 GMT", True),
        ("Sun, 15 Jun 2025 15:06:41 GMT", False),
        ("yesterday", False),
        ("Sun, 99 Jun 2025 15:06:40 GMT", False),
        ("Sun, 15 Jun 99999 15:06:40 GMT", False),
        ("", False),
        (None, False),
    ],
)
def test_a_date_is_compared_to_the_second(since, expected):
    assert is_current('"abc"', MODIFIED, None, since) is expected


header = st.text(st.sampled_from('gzipstdapplication/json;q=,.*"W -+0123456789é\0'), max_size=60) | st.text(max_size=60)


@given(header, header, header)
def test_no_header_is_an_error(accept, tags, since):
    assert flavour(accept) in Flavour
    assert encoding(accept) in ("zstd", "gzip", "identity")
    assert is_current('"abc"', MODIFIED, tags, None) in (True, False)
    assert is_current('"abc"', MODIFIED, None, since) in (True, False)
