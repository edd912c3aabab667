"""Many people publish at one moment, to real processes: nothing is lost, and nothing is published twice."""

import hashlib
from collections.abc import Iterator

import pytest

from tests.server import Server
from tests.stories.publisher import Publisher, publish_at_once
from tests.stories.uploads import Upload
from tests.wsgi import Answer


@pytest.fixture(scope="module")
def server(database: str) -> Iterator[Server]:
    # As many threads in each process as there are clients: which of them gets a connection is for the kernel to say.
    with Server(workers=2, threads=64) as server:
        yield server


def the_winner(uploads: list[Upload], answers: list[Answer]) -> Upload:
    [winner] = [upload for upload, answer in zip(uploads, answers, strict=True) if answer.status == 201]
    return winner


def assert_serves(server: Server, upload: Upload) -> None:
    packument = server.get(upload.path).json()
    assert packument["versions"][upload.version]["dist"]["integrity"] == upload.integrity
    assert hashlib.sha512(server.get(upload.tarball_path).body).hexdigest() == upload.sha512


@pytest.mark.parametrize("is_new", [True, False], ids=["of a new package", "of a package"])
def test_of_sixteen_who_publish_one_version_one_wins(server: Server, alice: Publisher, box: str, is_new: bool):
    if not is_new:
        assert alice.publish(Upload(box, "1.0.0")).status == 201
    uploads = [Upload(box, "2.0.0", size=10_000, seed=seed) for seed in range(16)]

    answers = publish_at_once([alice] * 16, uploads)

    assert sorted(answer.status for answer in answers) == [201] + [403] * 15
    refusals = {answer.json()["error"] for answer in answers if answer.status == 403}
    assert refusals == {"You cannot publish over the previously published versions: 2.0.0."}
    assert_serves(server, the_winner(uploads, answers))
    assert alice.publish(Upload(box, "2.0.1")).status == 201  # and the losers go on


def test_one_upload_that_a_client_sends_again_and_again_is_published_once(server: Server, alice: Publisher, box: str):
    upload = Upload(box, "1.0.0", size=100_000)

    answers = publish_at_once([alice] * 8, [upload] * 8)

    assert sorted(answer.status for answer in answers) == [201] + [403] * 7
    assert_serves(server, upload)


@pytest.mark.parametrize("is_new", [True, False], ids=["of a new package", "of a package"])
def test_fifty_versions_at_once_are_all_there(server: Server, alice: Publisher, box: str, is_new: bool):
    if not is_new:
        assert alice.publish(Upload(box, "0.1.0")).status == 201
    uploads = [Upload(box, f"1.{minor}.0", seed=minor) for minor in range(50)]

    answers = publish_at_once([alice] * 50, uploads)

    assert {(answer.status, answer.body) for answer in answers if answer.status != 201} == set()
    packument = server.get(f"/{box}").json()
    numbers = {upload.version for upload in uploads}
    assert packument["versions"].keys() - {"0.1.0"} == numbers
    assert packument["time"].keys() - {"created", "modified", "0.1.0"} == numbers
    for upload in uploads:
        assert packument["versions"][upload.version]["dist"]["integrity"] == upload.integrity
    latest = packument["dist-tags"]["latest"]
    assert latest in numbers
    assert packument["description"] == packument["versions"][latest]["description"]


def test_each_tag_stays_at_the_version_that_was_published_under_it(server: Server, alice: Publisher, box: str):
    uploads = [Upload(box, f"1.0.{patch}", tag=f"line-{patch}") for patch in range(10)]

    publish_at_once([alice] * 10, uploads)

    tags = server.get(f"/-/package/{box}/dist-tags").json()
    assert tags.pop("latest") in {upload.version for upload in uploads}
    assert tags == {f"line-{patch}": f"1.0.{patch}" for patch in range(10)}


def test_twenty_new_packages_come_to_be_side_by_side(server: Server, alice: Publisher, box: str):
    names = [f"{name}-{number}" for number in range(10) for name in (box, box.removeprefix("@acme/"))]
    uploads = [Upload(name) for name in names]

    answers = publish_at_once([alice] * 20, uploads)

    assert [answer.status for answer in answers] == [201] * 20
    for upload in uploads:
        assert_serves(server, upload)


def test_a_new_name_goes_to_one_of_the_people_who_want_it(server: Server, box: str):
    people = {name: Publisher.sign_in(server, name) for name in ("alice", "bob", "carol", "dave")}
    uploads = [Upload(box, f"{major}.0.0") for major in range(1, 5)]

    answers = publish_at_once(list(people.values()), uploads)

    winner = the_winner(uploads, answers)
    assert sorted(answer.status for answer in answers) == [201, 403, 403, 403]
    packument = server.get(f"/{box}").json()
    assert [one["name"] for one in packument["maintainers"]] == [list(people)[uploads.index(winner)]]
    assert packument["versions"].keys() == {winner.version}
