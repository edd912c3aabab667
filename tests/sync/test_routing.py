"""The import guard: which names are asked for upstream, on every road, and which never are."""

from collections.abc import Iterator

import pytest

from registry.errors import Forbidden
from registry.models import Package
from registry.names import PackageName
from sync import apply, queue, routing, running
from sync.models import Fallback, ScopeRule, SyncTask, Upstream
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
        ({"@mix/o*": Mode.PROXY, "@mix/*": Mode.PRIVATE, "@mix/on-*": Mode.BLOCKED}, "other"),
        ({"@mix/o*": Mode.PRIVATE, "@mix/on*": Mode.PROXY}, "other"),
        ({"@mix/one*": Mode.MIRROR, "@mix": Mode.PRIVATE}, "default"),
        ({"one*": Mode.PRIVATE, "m*": Mode.PRIVATE, "*": Mode.PROXY}, "other"),
        ({"@mix/*": Mode.PROXY, "@mix": Mode.PRIVATE}, None),
        ({"@MIX": Mode.PRIVATE}, None),
        ({"no pattern": Mode.PRIVATE}, "default"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_most_specific_rule_wins(upstream, other, patterns, expected):
    for pattern, mode in patterns.items():
        rule(pattern, mode, other if mode == Mode.PROXY else None)
    found = route("@mix/one").upstream
    assert (found.name if found else None) == expected


@pytest.mark.parametrize(
    ("name", "patterns", "expected"),
    [
        ("left-pad", ["left-*", "left-p*", "le*"], "left-p*"),
        ("left-pad", ["left-pad", "left-pad*"], "left-pad"),
        ("left-pad", ["right-*", "left-pads", "left-pads*"], None),
        ("left-pad", ["l*", "*"], "l*"),
        ("@tools/left-pad", ["left-*", "@tools/left-*", "@tools/*"], "@tools/left-*"),
        ("@tools-labs/pad", ["@tools/*"], None),
    ],
)
def test_of_beginnings_the_longest_wins(upstream, name, patterns, expected):
    for pattern in patterns:
        rule(pattern, Mode.PROXY)
    found = route(name).rule
    assert (found.pattern if found else None) == expected


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
        assert elsewhere.count() == 0
    assert Package.objects.get().origin == "default"
    assert route("left-pad").why == "it came from default, which the rule for left-pad does not name"


def test_the_last_guard_is_where_the_rows_are_written(upstream, alice):
    alice.publish("mine", "1.0.0")
    with pytest.raises(Forbidden, match="comes from this registry, not from default"):
        apply.bring_in(PackageName.parse("mine"), b'{"name":"mine","versions":{}}', Upstream.objects.get())


# --- Several upstreams ----------------------------------------------------------------------------------------------


@pytest.fixture
def second(upstream) -> Iterator[FakeUpstream]:
    """Another registry, asked for names of @team after the first one."""
    with FakeUpstream() as fake:
        row = Upstream.objects.create(name="second", url=fake.url)
        made = ScopeRule.objects.create(pattern="@team/*", mode=Mode.PROXY, upstream=routing.default_upstream())
        Fallback.objects.create(rule=made, upstream=row)
        routing.forget()
        yield fake


def test_the_next_is_asked_when_the_first_has_never_heard_of_a_name(upstream, second, anyone):
    second.publish("@team/pad", "1.0.0")
    assert [one.name for one in route("@team/pad").upstreams] == ["default", "second"]
    assert list(anyone.view("@team/pad").json()["versions"]) == ["1.0.0"]
    assert anyone.download("@team/pad", "1.0.0").raw == second.tarball("@team/pad", "1.0.0")
    assert Package.objects.get().origin == "second"
    assert (upstream.count(), second.count()) == (1, 2)


def test_the_first_that_has_it_is_the_last_that_is_asked(upstream, second, anyone):
    upstream.publish("@team/pad", "1.0.0")
    second.publish("@team/pad", "6.6.6")
    assert list(anyone.view("@team/pad").json()["versions"]) == ["1.0.0"]
    assert second.count() == 0


def test_what_nobody_has_is_not_found(upstream, second, anyone):
    assert anyone.view("@team/pad").status == 404
    assert (upstream.count(), second.count()) == (1, 1)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        *((("status", {"code": code}), 503) for code in (401, 403, 429, 500, 503)),
        *((("status", {"code": code}), 404) for code in (410, 451)),
        (("reset", {}), 503),
        (("not_json", {}), 503),
        (("slow", {"seconds": 5}), 503),
    ],
    ids=str,
)
def test_the_next_is_not_asked_because_the_first_is_ill_or_withholds_a_name(
    upstream, second, anyone, settings, fault, status
):
    settings.UPSTREAM_TIMEOUT_SECONDS = 0.3
    second.publish("@team/pad", "6.6.6")
    kind, options = fault
    upstream.fault("*", kind, **options)
    settings.MISSING_SECONDS = 300  # also the second reader, who is told what is remembered
    for _ in range(2):
        assert anyone.view("@team/pad").status == status
    assert second.count() == 0
    assert not Package.objects.exists()


def test_nor_because_the_first_is_away_for_long(upstream, second, anyone):
    second.publish("@team/pad", "6.6.6")
    upstream.stop()
    for _ in range(7):  # until its breaker is open, and then
        assert anyone.view("@team/pad").status == 503
    task = queue.ask("@team/pad", why="a test")
    assert not running.run(task.pk).is_done
    assert second.count() == 0


def test_nor_because_the_first_is_switched_off(upstream, second, anyone):
    second.publish("@team/pad", "6.6.6")
    Upstream.objects.filter(name="default").update(is_enabled=False)
    found = route("@team/pad")
    assert (found.upstreams, "nobody is asked in its place" in found.why) == ((), True)
    assert anyone.view("@team/pad").status == 404
    assert second.count() == 0


def test_a_package_stays_with_its_upstream_whatever_happens_there(upstream, second, anyone, later):
    upstream.publish("@team/pad", "1.0.0")
    anyone.view("@team/pad")
    upstream.unpublish("@team/pad")
    second.publish("@team/pad", "6.6.6")
    later()
    assert list(anyone.view("@team/pad").json()["versions"]) == ["1.0.0"]
    assert anyone.send("GET", "/@team%2fpad/6.6.6").status == 404
    assert second.count() == 0
    assert route("@team/pad").why == "it came from default"


def test_a_task_asks_in_the_same_order(upstream, second):
    second.publish("@team/pad", "1.0.0")
    task = queue.ask("@team/pad", why="a test", with_tarballs=True)
    assert running.run(task.pk).is_done
    assert Package.objects.get().origin == "second"
    assert upstream.count() == 1


def test_whether_a_name_is_free_all_are_asked(upstream, alice):
    with FakeUpstream() as fake:
        row = Upstream.objects.create(name="second", url=fake.url)
        made = ScopeRule.objects.create(pattern="*", mode=Mode.PROXY)
        Fallback.objects.create(rule=made, upstream=row)
        fake.publish("taken", "1.0.0")
        routing.forget()
        assert [alice.publish(name, "1.0.0").status for name in ("taken", "free")] == [403, 201]


# --- Whom somebody asks for -----------------------------------------------------------------------------------------


def wanted(name: str, upstream: Upstream) -> tuple[list[str], str]:
    routing.forget()
    found = routing.route(PackageName.parse(name), wanted=upstream)
    return [one.name for one in found.upstreams], found.why


def test_somebody_may_say_where_a_name_comes_from_that_no_rule_is_about(upstream, other):
    assert wanted("left-pad", other) == (["other"], "asked for at other")
    Package.objects.create(name="left-pad", origin="other")
    assert [one.name for one in route("left-pad").upstreams] == ["other"]


def test_but_not_against_a_rule_nor_where_it_did_not_come_from(upstream, other):
    rule("@team", Mode.PROXY, routing.default_upstream())
    assert wanted("@team/pad", other) == ([], "asked for at other, which the rule for @team does not name")
    assert wanted("@acme/pad", other)[0] == []
    Package.objects.create(name="left-pad", origin="default")
    names, why = wanted("left-pad", other)
    assert (names, why.startswith("it came from default, not from other")) == ([], True)


def test_what_came_from_an_upstream_that_is_gone_comes_from_nowhere(upstream):
    Package.objects.create(name="left-pad", origin="gone")
    found = route("left-pad")
    assert (found.upstreams, found.why) == ((), "it came from gone, which is no upstream any more")
