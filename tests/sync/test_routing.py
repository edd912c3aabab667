"""The import guard: which names are asked for upstream, on every road, and which never are."""

import pytest

from registry.errors import Forbidden
from registry.models import Package
from registry.names import PackageName
from sync import apply, queue, routing, running
from sync.models import ScopeRule, SyncTask, Upstream
from tests.fake_upstream import FakeUpstream

pytestmark = pytest.mark.django_db(transaction=True)

Mode = ScopeRule.Mode


def route(name: str) -> routing.Route:
    routing.forget()
    return routing.route(PackageName.parse(name))


def rule(pattern: str, mode: str, upstream: Upstream | None = None) -> None:
    ScopeRule.objects.create(pattern=pattern, mode=mode, upstream=upstream)
    routing.forget()


@pytest.fixture
def other() -> Upstream:
    return Upstream.objects.create(name="other", url="http://other.example")


def test_a_name_comes_from_the_upstream_of_the_settings(upstream):
    found = route("left-pad").upstream
    assert (found.name, found.url) == ("default", upstream.url)


def test_the_settings_win_over_the_row_and_a_new_upstream_is_a_healthy_one(upstream, settings):
    route("left-pad")
    Upstream.objects.update(failures=7)
    settings.UPSTREAM_URL = "http://upstream.example"
    assert route("left-pad").upstream.url == "http://upstream.example"
    row = Upstream.objects.get()
    assert (row.url, row.failures) == ("http://upstream.example", 0)


@pytest.mark.parametrize("url", ["", "none"])
def test_without_an_upstream_names_come_from_nowhere(upstream, settings, url):
    settings.UPSTREAM_URL = url
    assert route("left-pad").upstream is None


def test_an_upstream_that_was_switched_off_is_not_asked(upstream, anyone):
    route("left-pad")
    Upstream.objects.update(is_enabled=False)
    routing.forget()
    assert anyone.view("left-pad").status == 404
    assert upstream.count() == 0


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        ({"@mix/one": Mode.PRIVATE, "@mix": Mode.PROXY}, None),
        ({"@mix": Mode.PRIVATE, "*": Mode.PROXY}, None),
        ({"@mix/*": Mode.BLOCKED, "*": Mode.PROXY}, None),
        ({"@mix/one": Mode.PROXY, "@mix": Mode.PRIVATE, "*": Mode.BLOCKED}, "other"),
        ({"@mix/two": Mode.PRIVATE, "@mi": Mode.PRIVATE, "mix": Mode.PRIVATE}, "default"),
        ({"*": Mode.PROXY}, "other"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_most_specific_rule_wins(upstream, other, patterns, expected):
    for pattern, mode in patterns.items():
        rule(pattern, mode, other if mode == Mode.PROXY else None)
    found = route("@mix/one").upstream
    assert (found.name if found else None) == expected


def test_a_rule_counts_at_once(upstream, anyone):
    upstream.publish("left-pad", "1.0.0")
    rule("left-pad", Mode.BLOCKED)
    assert anyone.view("left-pad").status == 404
    assert upstream.count() == 0
    ScopeRule.objects.all().delete()
    routing.forget()
    assert anyone.view("left-pad").status == 200


def test_a_name_that_is_published_here_is_never_asked_for_elsewhere(upstream, alice, anyone, later):
    assert alice.publish("mine", "1.0.0").status == 201
    upstream.publish("mine", "6.6.6")
    asked = upstream.count()
    later()
    assert list(anyone.view("mine").json()["versions"]) == ["1.0.0"]
    for path in ("/mine/6.6.6", "/mine/-/mine-6.6.6.tgz", "/mine/%5E6.0.0"):
        assert anyone.send("GET", path).status == 404
    assert upstream.count() == asked


@pytest.mark.parametrize("name", ["@acme/secret", "@acme%2fsecret", "@acme%2Fsecret", "%40acme%2fsecret"])
def test_a_private_scope_is_never_asked_for_elsewhere(upstream, anyone, alice, name):
    upstream.publish("@acme/secret", "6.6.6")
    for path in (f"/{name}", f"/{name}/6.6.6", f"/{name}/-/secret-6.6.6.tgz", "/-/package/@acme%2fsecret/dist-tags"):
        assert anyone.send("GET", path).status == 404
    assert alice.publish("@acme/secret", "1.0.0").status == 201
    assert upstream.count() == 0


def test_a_task_for_a_private_name_is_refused_without_a_request(upstream):
    upstream.publish("@acme/secret", "6.6.6")
    task = queue.ask("@acme/secret", why="a test")
    assert not running.run(task.pk).is_done
    task.refresh_from_db()
    assert (task.state, task.error) == (
        SyncTask.State.REFUSED, "not fetched: @acme is a private scope of this registry",
    )  # fmt: skip
    assert upstream.count() == 0


def test_who_publishes_a_name_while_it_is_fetched_keeps_it(upstream, anyone, alice, crowd):
    """The guard was asked before the request; what is published meanwhile is not overwritten by its answer."""
    upstream.publish("contested", "6.6.6")
    with upstream.gate("/contested") as gate:
        [reader] = crowd(1, lambda: anyone.view("contested"))
        gate.wait_arrived(1)
        Package.objects.create(name="contested", head='{"name":"contested"}')
    assert list(reader.result(20).json()["versions"]) == []
    assert Package.objects.get().origin is None


def test_a_package_of_one_upstream_is_not_overwritten_by_another(upstream, other, anyone, later):
    upstream.publish("left-pad", "1.0.0")
    anyone.view("left-pad")
    with FakeUpstream() as elsewhere:
        elsewhere.publish("left-pad", "6.6.6")
        Upstream.objects.filter(pk=other.pk).update(url=elsewhere.url)
        rule("left-pad", Mode.PROXY, other)
        later()
        assert list(anyone.view("left-pad").json()["versions"]) == ["1.0.0"]
        assert elsewhere.count() == 1
    assert Package.objects.get().origin == "default"


def test_the_last_guard_is_where_the_rows_are_written(upstream, alice):
    alice.publish("mine", "1.0.0")
    with pytest.raises(Forbidden, match="comes from this registry, not from default"):
        apply.bring_in(PackageName.parse("mine"), b'{"name":"mine","versions":{}}', Upstream.objects.get())
