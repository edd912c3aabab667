"""Packages change their upstream only here, and by hand; and only so does an upstream go that something came from."""

from collections.abc import Collection

from django.db import transaction
from django.db.models import Q, QuerySet

from audit import journal
from audit.actors import Actor
from registry import access
from registry.errors import Invalid, NotFound
from registry.models import Package
from registry.names import PackageName
from sync import routing, rules, upstreams
from sync.events import UPSTREAM_MOVED, UPSTREAM_REMOVED
from sync.models import Doubt, Freshness, Migration, ScopeRule, SyncTask, Upstream


def move(name: str, to: str, packages: Collection[PackageName] = (), *, actor: Actor) -> int:
    """Let packages that came from one upstream come from another: these, or all. Returns how many they were.

    What is here of them stays until the other one has been asked, and then says what that one says.
    """
    access.require_operator(actor)
    with transaction.atomic():
        upstream, heir = _pair(name, to)
        rows = Package.objects.filter(origin=name)
        if packages:
            rows = rows.filter(name__in=[str(one) for one in packages])
            _require_all(packages, rows, upstream)
        moved = _move(rows, upstream, heir, [str(one) for one in packages], actor)
        transaction.on_commit(routing.forget)
    return moved


def remove(name: str, *, to: str | None = None, actor: Actor) -> None:
    """Forget the upstream. What hangs on it goes to the upstream `to`: packages, rules, tasks that are under way.

    Without `to` nothing may hang on it: packages would be left without anybody to ask, and rules would let names
    through to whoever comes next.
    """
    access.require_operator(actor)
    with transaction.atomic():
        if name == routing.DEFAULT and routing.default_upstream() is not None:
            raise Invalid(f"{name} is the upstream of LARDER_UPSTREAM_URL: set that to none, or switch {name} off")
        _require_no_migration(name)
        if to is None:
            [upstream] = upstreams.locked([name])
            _require_unused(upstream)
        else:
            upstream, heir = _pair(name, to)
            _move(Package.objects.filter(origin=name), upstream, heir, [], actor)
            _move_rules(upstream, heir)
            SyncTask.objects.live().filter(upstream=upstream).update(upstream=heir)
            Migration.objects.filter(upstream=upstream, cut_over_at=None).update(upstream=heir)  # they still restrict
        SyncTask.objects.filter(upstream=upstream).update(upstream=None)  # what is over stays to be read
        Migration.objects.filter(upstream=upstream).delete()  # those that are over; there is no way back from here
        upstream.delete()
        journal.record(UPSTREAM_REMOVED, f"upstream:{name}", actor=actor, to=to)
        transaction.on_commit(routing.forget)


def _pair(name: str, to: str) -> tuple[Upstream, Upstream]:
    if name == to:
        raise Invalid(f"{name} cannot be moved to itself: name another upstream")
    upstream, heir = upstreams.locked([name, to])
    return upstream, heir


def _require_no_migration(name: str) -> None:
    patterns = Migration.objects.under_way().filter(upstream__name=name).values_list("pattern", flat=True)
    if patterns:
        raise Invalid(
            f"{', '.join(patterns)} is being migrated from {name}: cut it over, or stop that first "
            "(manage.py migration cutover|stop)"
        )


def _require_all(packages: Collection[PackageName], rows: QuerySet[Package], upstream: Upstream) -> None:
    missing = {str(one) for one in packages} - set(rows.values_list("name", flat=True))
    if missing:
        raise NotFound(f"{', '.join(sorted(missing))} did not come from {upstream}: manage.py route shows where from")


def _move(rows: QuerySet[Package], upstream: Upstream, heir: Upstream, names: list[str], actor: Actor) -> int:
    # What either of them said of the packages was said when they came from the first.
    for said in (Freshness.objects, Doubt.objects):
        said.filter(upstream__in=[upstream, heir], name__in=rows.values("name")).delete()
    moved = rows.update(origin=heir.name)
    if moved:
        subject = f"upstream:{upstream.name}"
        journal.record(UPSTREAM_MOVED, subject, actor=actor, packages=moved, to=heir.name, names=sorted(names))
    return moved


def _rules_of(upstream: Upstream) -> QuerySet[ScopeRule]:
    named = ScopeRule.objects.filter(Q(upstream=upstream) | Q(fallbacks__upstream=upstream))
    return ScopeRule.objects.filter(pk__in=named.values("pk")).order_by("pattern")


def _move_rules(upstream: Upstream, heir: Upstream) -> None:
    """Put the heir where the upstream stood; a rule names nobody twice."""
    for rule in _rules_of(upstream):
        names = [heir.name if one == upstream.name else one for one in rules.names_of(rule)]
        rules.write(rule, upstreams.locked(list(dict.fromkeys(names))))


def _require_unused(upstream: Upstream) -> None:
    packages = Package.objects.filter(origin=upstream.name).count()
    tasks = SyncTask.objects.live().filter(upstream=upstream).count()
    patterns = ", ".join(_rules_of(upstream).values_list("pattern", flat=True))
    used = [f"{packages} packages came from it"] if packages else []
    used += [f"{tasks} tasks want to ask it"] if tasks else []
    used += [f"rules name it ({patterns})"] if patterns else []
    if used:
        raise Invalid(
            f"{upstream} is in use: {'; '.join(used)}. Move all that to another upstream: "
            f"manage.py upstream remove {upstream} --to <upstream>"
        )
