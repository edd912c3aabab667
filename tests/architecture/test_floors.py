"""Imports go down, never up, never sideways; edges never import each other; HTTP stops at the edges."""

import ast

import pytest

from tests.architecture.source import FLOORS, imports, modules

EDGES = ("api", "web", "admin", "tasks", "subscribers", "management")
PURE = (
    "names",
    "semver",
    "digests",
    "keys",
    "errors",
    "jsontext",
    "manifests",
    "packuments",
    "negotiation",
    "paths",
    "patterns",
)
MAY_KNOW_REQUESTS = (
    "registry.api",
    "registry.web",
    "registry.middleware",
    "registry.admin",
    "sync.admin",
    "sync.api",
    "bugversions.api",
    "audit.context",
    "audit.admin",
    "bugversions.admin",
)
MAY_OPEN_TRANSACTIONS = {
    "audit.sequencer", "audit.drain", "audit.parking", "audit.leases",
    "registry.publishing", "registry.ingesting", "registry.people", "registry.tokens", "registry.janitor",
    "registry.deprecating", "registry.unpublishing",
    "registry.attempts", "registry.profile", "registry.second_factor",
    "registry.owners", "registry.stars", "registry.tags", "registry.visibility", "registry.orgs", "registry.teams",
    "registry.invitations", "registry.weblogin", "registry.identities",
    "registry.counting", "registry.searching.indexing",
    "registry.burying", "registry.immigration", "sync.doubts", "sync.migrating", "sync.cutting_over",
    "bugversions.clocks", "bugversions.editing", "bugversions.repacking", "bugversions.importing",
    "bugversions.advisories",
    "sync.arriving", "sync.binaries.categories", "sync.binaries.documents",
    "sync.queue", "sync.upstreams", "sync.rules", "sync.moving", "sync.asking", "sync.following",
}  # fmt: skip


def app_of(name: str) -> str:
    return name.partition(".")[0]


@pytest.mark.parametrize("module", modules())
def test_imports_go_down(module):
    mine = app_of(module)
    for name in imports(modules()[module]):
        theirs = app_of(name)
        if theirs in FLOORS and theirs != mine:
            assert FLOORS[theirs] < FLOORS[mine], f"{module} imports {name}, which is not below it"


@pytest.mark.parametrize("module", modules())
def test_edges_do_not_import_each_other(module):
    def edge(name: str) -> str | None:
        parts = name.split(".")
        if name.startswith("audit.subscribers"):  # the registry of subscribers, which edges of all floors use
            return None
        return parts[1] if len(parts) > 1 and parts[0] in FLOORS and parts[1] in EDGES else None

    mine = edge(module)
    for name in imports(modules()[module]):
        theirs = edge(name)
        if theirs is None or app_of(name) != app_of(module):
            continue
        assert mine is not None or module.endswith(".apps"), f"{module} is no edge and imports the edge {name}"
        assert theirs == mine or module.endswith(".apps"), f"{module} imports {name}"


PURE_ABOVE = [
    "sync.plan", "sync.reading", "sync.binaries.layouts",
    "bugversions.values", "bugversions.rewriting", "bugversions.osv", "bugversions.cvss", "bugversions.trees",
]  # fmt: skip


@pytest.mark.parametrize("module", [f"registry.{name}" for name in PURE] + PURE_ABOVE)
def test_values_do_not_know_django(module):
    django = {name for name in imports(modules()[module]) if name.startswith(("django", "rest_framework"))}
    assert not django


@pytest.mark.parametrize("module", [name for name in modules() if not name.startswith(MAY_KNOW_REQUESTS)])
def test_http_stops_at_the_edges(module):
    assert not {"django.http.HttpRequest", "rest_framework.request"} & imports(modules()[module])


@pytest.mark.parametrize("module", [name for name in modules() if name not in MAY_OPEN_TRANSACTIONS])
def test_transactions_are_opened_by_verbs(module):
    opened = [
        node.lineno
        for node in ast.walk(modules()[module])
        if isinstance(node, ast.Attribute)
        and node.attr in ("atomic", "durable")
        and isinstance(node.value, ast.Name)
        and node.value.id == "transaction"
    ]
    assert not opened, f"{module} opens a transaction in lines {opened}"


@pytest.mark.parametrize("module", [name for name in modules() if ".models" in name and name != "audit.models"])
def test_rows_have_no_side_effects(module):
    """`audit.models` is left out: there `save` and `delete` refuse, because events are only ever added."""
    methods = {node.name for node in ast.walk(modules()[module]) if isinstance(node, ast.FunctionDef)}
    assert not {"save", "delete"} & methods
    assert not {name for name in imports(modules()[module]) if name.startswith("django.db.models.signals")}


@pytest.mark.parametrize("module", modules())
def test_no_module_is_named_after_nothing(module):
    vague = {"utils", "util", "helpers", "services", "managers", "handlers", "common", "misc"}
    assert not vague & set(module.split("."))


def test_only_one_file_uses_the_cache():
    users = [name for name, tree in modules().items() if "django.core.cache" in imports(tree)]
    assert users == ["registry.cache"]
