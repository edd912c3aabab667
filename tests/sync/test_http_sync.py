"""Asking for a package over HTTP and watching it come, as clients of cnpmcore and cnpmjs.org do."""

import json

import pytest

from audit.models import Event
from registry.models import Attempt, Package, User, Version
from sync import queue, routing, running
from sync.models import ScopeRule, SyncTask, Upstream
from tests.actors import Person
from tests.registry.cast import with_token

pytestmark = pytest.mark.django_db(transaction=True)

State = SyncTask.State


@pytest.fixture(autouse=True)
def _published(upstream):
    upstream.publish("left-pad", "1.0.0", dependencies={"repeat": "1"})
    upstream.publish("repeat", "1.0.0")


def ask(person: Person, name: str = "left-pad", body: object = None):
    return person.send("PUT", f"/-/package/{name}/syncs", body=body if body is None else json.dumps(body))


def watch(person: Person, name: str, task_id: str, *, part: str = ""):
    return person.send("GET", f"/-/package/{name}/syncs/{task_id}{part}")


def refusal(answer) -> tuple[int, str]:
    return answer.status, answer.json()["error"]


# --- As clients do ----------------------------------------------------------------------------------------------------


def test_a_person_asks_and_watches_it_come(alice, anyone, upstream, effects):
    answer = ask(alice)
    told = answer.json()
    task = SyncTask.objects.get()
    assert answer.status == 201
    assert told == {"ok": True, "id": str(task.pk), "type": "sync_package", "state": "waiting"}
    assert effects() == ["sync.asked package:left-pad by alice", "sync of left-pad: waiting"]
    assert Event.objects.get(kind="sync.asked").facts["task"] == task.pk
    assert (task.priority, task.with_tarballs, task.with_dependencies, task.versions) == (0, False, True, None)
    assert watch(anyone, "left-pad", told["id"], part="/log").body.decode().endswith("asked for\n")

    running.run(task.pk)
    state = watch(anyone, "left-pad", told["id"])
    assert state.status == 200
    assert state.json() == {
        **told,
        "state": "success",
        "logUrl": f"http://registry.test/-/package/left-pad/syncs/{task.pk}/log",
        "error": None,
    }
    assert state.headers["cache-control"] == "private, no-store"
    assert Version.objects.get(package__name="left-pad").number == "1.0.0"
    assert SyncTask.objects.filter(name="repeat").exists()


def test_the_log_is_read_while_it_runs(alice, anyone):
    told = ask(alice).json()
    task = queue.claim(int(told["id"]))
    queue.note(task, "half of it is here")
    assert watch(anyone, "left-pad", told["id"]).json()["state"] == "processing"
    log = watch(anyone, "left-pad", told["id"], part="/log")
    assert (log.status, log.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert log.headers["cache-control"] == "private, no-store"
    lines = log.body.decode().splitlines()
    assert [line.split(maxsplit=1)[1] for line in lines] == ["asked for", "half of it is here"]
    queue.finish(task)
    assert watch(anyone, "left-pad", told["id"], part="/log").body.decode().splitlines()[-1].endswith(" success")


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (State.WAITING, "waiting"),
        (State.RUNNING, "processing"),
        (State.DONE, "success"),
        (State.REFUSED, "fail"),
        (State.CANCELLED, "fail"),
    ],
)
def test_states_are_cnpmcores(alice, anyone, state, word):
    told = ask(alice).json()
    SyncTask.objects.update(state=state, error="" if word != "fail" else "an operator said no")
    answer = watch(anyone, "left-pad", told["id"]).json()
    assert (answer["state"], answer["error"]) == (word, "an operator said no" if word == "fail" else None)
    old = anyone.send("GET", f"/left-pad/sync/log/{told['id']}").json()
    assert old["syncDone"] == (word in ("success", "fail"))


@pytest.mark.parametrize(("query", "with_dependencies"), [("", True), ("?nodeps=true", False), ("?nodeps=false", True)])
def test_as_cnpmjs_org_has_it(alice, anyone, query, with_dependencies):
    answer = alice.send("PUT", f"/left-pad/sync{query}", body="{}")
    task = SyncTask.objects.get()
    assert (answer.status, answer.json()) == (201, {"ok": True, "logId": str(task.pk)})
    assert task.with_dependencies == with_dependencies
    running.run(task.pk)
    log = anyone.send("GET", f"/left-pad/sync/log/{task.pk}?offset=0").json()
    assert (log["ok"], log["syncDone"], log["error"]) == (True, True, None)
    assert log["log"] == anyone.send("GET", log["logUrl"]).body.decode()


@pytest.mark.parametrize("spelling", ["@public%2fpad", "@public/pad", "%40public%2Fpad"])
def test_scoped_names_in_every_spelling(alice, anyone, upstream, spelling):
    upstream.publish("@public/pad", "1.0.0")
    told = ask(alice, spelling).json()
    assert watch(anyone, spelling, told["id"]).json()["logUrl"].endswith(f"/@public%2fpad/syncs/{told['id']}/log")
    assert alice.send("PUT", f"/{spelling}/sync").json()["logId"] == told["id"]
    assert anyone.send("GET", f"/{spelling}/sync/log/{told['id']}").status == 200


def test_the_tag_sync_is_read_like_any_other(alice, anyone):
    alice.publish("@acme/pad", "1.0.0")
    alice.send("PUT", "/-/package/@acme%2fpad/dist-tags/sync", body='"1.0.0"')
    assert anyone.send("GET", "/@acme%2fpad/sync").json()["version"] == "1.0.0"


def test_a_person_waits_behind_nobody_and_asking_again_changes_nothing(alice, bob, effects):
    queue.ask("left-pad", why="it changed", priority=SyncTask.Priority.FEED)
    effects()
    first, second = ask(alice).json(), ask(bob).json()
    assert first["id"] == second["id"]
    assert SyncTask.objects.get().priority == SyncTask.Priority.PERSON
    assert effects() == ["sync.asked package:left-pad by alice", "sync.asked package:left-pad by bob"]


def test_what_is_mirrored_comes_with_tarballs(alice):
    ScopeRule.objects.create(pattern="left-*", mode=ScopeRule.Mode.MIRROR)
    routing.forget()
    ask(alice)
    assert SyncTask.objects.get().with_tarballs


# --- What may be asked ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "wishes"),
    [
        ({"skipDependencies": True}, {"with_dependencies": False}),
        ({"specificVersions": '["1.0.0", "1.1.0", "1.0.0"]'}, {"versions": ["1.0.0", "1.1.0"]}),
        ({"specificVersions": ["1.0.0"]}, {"versions": ["1.0.0"]}),
        ({"specificVersions": "[]", "tips": "please", "force": True}, {"versions": None}),
        ({"registryName": "default"}, {}),
        ({}, {"with_dependencies": True}),
    ],
    ids=str,
)
def test_wishes(alice, body, wishes):
    assert ask(alice, body=body).status == 201
    task = SyncTask.objects.get()
    assert {key: getattr(task, key) for key in wishes} == wishes


@pytest.mark.parametrize(
    "body",
    [
        *[[], [1], "text", 5, True],
        *[{"specificVersions": bad} for bad in ("{", "5", '"1.0.0"', '["x"]', '["1.0.0", 5]', {"1": 1}, ["\x00"])],
        *[{"specificVersions": bad} for bad in (["9" * 300], "\ud83d", ["\ud83d"], [["1.0.0"]])],
        *[{"registryName": bad} for bad in (5, ["default"], {"name": "default"})],
    ],
    ids=repr,
)
def test_what_cannot_be_understood_is_refused_in_words(alice, effects, body):
    status, sentence = refusal(ask(alice, body=body))
    assert (status, bool(sentence)) == (400, True)
    assert effects() == []


@pytest.mark.parametrize("name", ["%20", "not a name", "a%00b", "@acme", "x" * 300, ".hidden"])
def test_what_is_no_name_is_refused(alice, effects, name):
    assert ask(alice, name.replace(" ", "%20")).status in (400, 404)
    assert alice.send("PUT", f"/{name.replace(' ', '%20')}/sync").status in (400, 404)
    assert effects() == []


def test_where_it_comes_from_is_for_the_rules_to_say(alice, effects):
    Upstream.objects.create(name="another", url="http://another.example")
    for other in ("another", "none", "\x00", "x" * 5000):
        status, sentence = refusal(ask(alice, body={"registryName": other}))
        assert (status, "left-pad is fetched from default here" in sentence) == (403, True)
    assert refusal(ask(alice, body={"syncDownloadData": True}))[0] == 403
    assert effects() == []


# --- The import guard -------------------------------------------------------------------------------------------------


@pytest.fixture(params=["/-/package/{}/syncs", "/{}/sync"])
def road(request) -> str:
    return request.param


def test_a_private_name_is_not_asked_for_upstream(alice, upstream, effects, road):
    ScopeRule.objects.create(pattern="ours", mode=ScopeRule.Mode.PRIVATE)
    ScopeRule.objects.create(pattern="evil", mode=ScopeRule.Mode.BLOCKED)
    routing.forget()
    alice.publish("pad", "1.0.0")
    alice.publish("was-ours", "1.0.0")
    alice.unpublish("was-ours")
    requests = upstream.count()
    effects()
    for name in ("@acme%2fnew", "@acme%2fpad", "@ACME%2fpad", "ours", "evil", "pad", "was-ours"):
        upstream.publish(name.replace("%2f", "/"), "6.6.6")
        status, sentence = refusal(alice.send("PUT", road.format(name)))
        assert (status, "is not fetched: " in sentence) == (403, True), sentence
    assert upstream.count() == requests
    assert effects() == []


def test_without_an_upstream_nothing_is_asked_for(alice, settings, effects, road):
    settings.UPSTREAM_URL = "none"
    assert refusal(alice.send("PUT", road.format("left-pad")))[1] == (
        "left-pad is not fetched: no upstream may be asked for it"
    )
    assert effects() == []


# --- Who may ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def everybody(alice) -> dict[str, Person]:
    User.objects.create(username="root", is_superuser=True)
    return {
        "anonymous": Person(),
        "revoked": Person("alice", "npm_" + "x" * 36),
        "read-only": with_token("alice", kind="read-only"),
        "person": alice,
        "robot": with_token("alice", kind="automation"),
        "operator": with_token("root", kind="session"),
    }


@pytest.mark.parametrize(
    ("setting", "refused"),
    [
        ("people", {"anonymous": 401, "revoked": 401, "read-only": 403}),
        ("everybody", {"revoked": 401}),
        ("operators", {"anonymous": 401, "revoked": 401, "read-only": 403, "person": 403, "robot": 403}),
        ("a typo", {"anonymous": 401, "revoked": 401, "read-only": 403, "person": 403, "robot": 403}),
    ],
)
def test_who_may_ask_is_a_setting(everybody, settings, road, setting, refused):
    settings.SYNC_BY = setting
    got = {who: person.send("PUT", road.format("left-pad")).status for who, person in everybody.items()}
    assert got == {**dict.fromkeys(everybody, 201), **refused}
    assert Event.objects.filter(kind="sync.asked").count() == len(everybody) - len(refused)


def test_a_closed_registry_lets_nobody_ask_whom_it_does_not_know(alice, anyone, settings, road):
    told = ask(alice).json()
    settings.ANONYMOUS_READ, settings.SYNC_BY = False, "everybody"
    assert anyone.send("PUT", road.format("left-pad")).status == 401
    for part in ("", "/log"):
        assert watch(anyone, "left-pad", told["id"], part=part).status == 401
        assert watch(alice, "left-pad", told["id"], part=part).status == 200
    assert anyone.send("GET", f"/left-pad/sync/log/{told['id']}").status == 401


def test_what_somebody_may_not_see_is_as_if_it_were_not_there(alice, bob, effects, road):
    alice.publish("secret", "1.0.0")
    Package.objects.update(is_restricted=True)
    task = SyncTask.objects.create(name="secret", why="a secret reason")
    effects()
    shut = (403, "secret is not fetched: no upstream may be asked for it")  # as of a name that is ours and not taken
    assert refusal(bob.send("PUT", road.format("secret"))) == shut
    missing = "@acme/missing"
    for part in ("", "/log"):
        hidden = refusal(watch(bob, "secret", str(task.pk), part=part))
        none = refusal(watch(bob, missing, str(task.pk), part=part))
        assert hidden == (404, none[1].replace(missing, "secret"))
        assert watch(alice, "secret", str(task.pk), part=part).status == 200
    assert refusal(bob.send("GET", f"/secret/sync/log/{task.pk}"))[0] == 404
    assert effects() == []


@pytest.mark.parametrize("task_id", ["0", "999999999", "9" * 40, "x", "-1", "1.0", "%D9%A1", "null", "%ED%A0%80"])
def test_a_task_that_there_is_not(alice, anyone, task_id):
    ask(alice)
    for url in (f"/-/package/left-pad/syncs/{task_id}", f"/left-pad/sync/log/{task_id}"):
        assert refusal(anyone.send("GET", url))[0] == 404


def test_a_task_of_another_package_is_none_of_this_one(alice, anyone):
    told = ask(alice).json()
    for part in ("", "/log"):
        assert refusal(watch(anyone, "repeat", told["id"], part=part)) == (404, f"repeat has no sync {told['id']}")


# --- How often --------------------------------------------------------------------------------------------------------


def test_nobody_asks_without_end(alice, bob, settings, effects):
    settings.SYNC_PER_MINUTE = 2
    assert [ask(alice, name).status for name in ("left-pad", "repeat")] == [201, 201]
    effects()
    answer = ask(alice, "left-pad")
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert "no more than 2 packages may be asked for in a minute" in answer.json()["error"]
    assert effects() == []
    assert ask(with_token("alice", kind="automation")).status == 429
    assert ask(bob).status == 201
    Attempt.objects.update(since="2020-01-01T00:00:00Z")
    assert ask(alice).status == 201


def test_who_is_not_known_is_counted_by_address(anyone, settings):
    settings.SYNC_BY, settings.SYNC_PER_MINUTE = "everybody", 1
    assert [ask(anyone).status for _ in range(2)] == [201, 429]
