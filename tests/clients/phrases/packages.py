"""The life of a package: publish, find, tag, deprecate, unpublish."""

from tests.clients.commands import Completed
from tests.clients.phrasebook import Cannot, Chapter, Words, everybody
from tests.clients.walks import Walk

LIFE, END = Chapter(), Chapter()


def publish(name: str, version: str, **options: str) -> Words:
    """Publish a version of one of the walk's packages."""
    return lambda walk: walk.publish(getattr(walk, name), version, **options)


def publish_two(walk: Walk) -> Completed:
    """Publish a package with a scope, and one without."""
    done = walk.publish(walk.package, "1.0.0")
    return done if done.returncode else walk.publish(walk.plain, "1.0.0")


@LIFE.row("publish", **everybody(publish_two))
def publish_a_version(walk: Walk, said: str) -> None:
    for name in (walk.package, walk.plain):
        assert walk.versions(name)["1.0.0"]["description"] == f"made by {walk.person}"
    assert walk.maintainers() == {walk.person}


@LIFE.row("publish --tag", **everybody(publish("package", "1.1.0", tag="next")))
def publish_under_a_tag(walk: Walk, said: str) -> None:
    assert walk.tags() == {"latest": "1.0.0", "next": "1.1.0"}


@LIFE.row("publish --access restricted", **everybody(publish("hidden", "1.0.0", access="restricted")))
def publish_restricted(walk: Walk, said: str) -> None:
    assert list(walk.versions(walk.hidden)) == ["1.0.0"]
    assert walk.anyone_gets(f"/{walk.hidden}") in (401, 404)


@LIFE.row("publish --access public", **everybody(publish("package", "1.2.0", access="public", tag="third")))
def publish_public(walk: Walk, said: str) -> None:
    assert walk.get(f"/-/package/{walk.package}/visibility") == {"public": True}
    assert walk.anyone_gets(f"/{walk.package}") == 200


def publish_a_batch(walk: Walk) -> Completed:
    """Publish a workspace of two packages in one request."""
    project = walk.project
    for name in ("one", "two"):
        place = project.app / name
        walk.written(f"@{walk.scope}/{name}", "1.0.0").rename(place)
    (project.app / "pnpm-workspace.yaml").write_text("packages: [one, two]\n")
    try:
        return project.run("publish", "--recursive", "--batch", "--no-git-checks")
    finally:
        (project.app / "pnpm-workspace.yaml").unlink()


ONE_BY_ONE = Cannot("publishes one by one")


@LIFE.row(
    "publish --batch", pnpm=publish_a_batch, **dict.fromkeys(("npm", "old_pnpm", "yarn_1", "yarn_4", "bun"), ONE_BY_ONE)
)
def publish_at_once(walk: Walk, said: str) -> None:
    assert [list(walk.versions(f"@{walk.scope}/{name}")) for name in ("one", "two")] == [["1.0.0"], ["1.0.0"]]


def install(walk: Walk) -> Completed:
    """Install what was published, also what only its owner may."""
    wanted = {walk.package: "1.0.0", walk.hidden: "1.0.0"}
    reader = walk.new_project(token=walk.eyes, **wanted)
    done = reader.install()
    assert done.returncode == 0, done
    assert set(reader.tree().values()) == {(walk.package, "1.0.0"), (walk.hidden, "1.0.0")}
    return done


@LIFE.row("install", **everybody(install))
def install_what_was_published(walk: Walk, said: str) -> None:
    """`install` has looked at the tree already."""


@LIFE.row(
    "view",
    npm="view {package} description",
    yarn_1="info {package} description",
    yarn_4="npm info {package} --fields description",
    bun="info {package} description",
)
def view(walk: Walk, said: str) -> None:
    assert f"made by {walk.person}" in said


def search(walk: Walk) -> Completed:
    """Search for what a worker has heard of by then."""
    walk.larder.manage("drain")
    return walk.say("search {scope}")


@LIFE.row("search", npm=search)
def searched(walk: Walk, said: str) -> None:
    assert walk.package in said
    assert walk.hidden in said, "its owner may find it"


@LIFE.row(
    "dist-tag add",
    npm="dist-tag add {package}@1.0.0 old",
    yarn_1="tag add {package}@1.0.0 old",
    yarn_4="npm tag add {package}@1.0.0 old",
)
def dist_tag_add(walk: Walk, said: str) -> None:
    assert walk.tags()["old"] == "1.0.0"


@LIFE.row("dist-tag ls", npm="dist-tag ls {package}", yarn_1="tag list {package}", yarn_4="npm tag list {package}")
def dist_tag_ls(walk: Walk, said: str) -> None:
    assert "old" in said
    assert "next" in said


@LIFE.row(
    "dist-tag rm",
    npm="dist-tag rm {package} old",
    yarn_1="tag remove {package} old",
    yarn_4="npm tag remove {package} old",
)
def dist_tag_rm(walk: Walk, said: str) -> None:
    assert "old" not in walk.tags()


@LIFE.row("deprecate", npm=lambda walk: walk.project.run("deprecate", f"{walk.package}@1.0.0", "use another one"))
def deprecate(walk: Walk, said: str) -> None:
    found = {number: version.get("deprecated") for number, version in walk.versions(walk.package).items()}
    assert found == {"1.0.0": "use another one", "1.1.0": None, "1.2.0": None}


# npm has the command from 11 on; before that, people say it with an empty message.
@LIFE.row(
    "undeprecate",
    npm=lambda walk: walk.project.run("deprecate", f"{walk.package}@1.0.0", ""),
    npm_11="undeprecate {package}@1.0.0",
    old_pnpm=lambda walk: walk.project.run("deprecate", f"{walk.package}@1.0.0", ""),
    pnpm="undeprecate {package}@1.0.0",
)
def undeprecate(walk: Walk, said: str) -> None:
    assert not walk.versions(walk.package)["1.0.0"].get("deprecated")


@END.row("unpublish a version", npm="unpublish {package}@1.2.0")
def unpublish_a_version(walk: Walk, said: str) -> None:
    assert set(walk.versions(walk.package)) == {"1.0.0", "1.1.0"}
    assert walk.anyone_gets(f"/{walk.package}/-/tool-1.2.0.tgz") == 404
    assert walk.tags() == {"latest": "1.0.0", "next": "1.1.0"}


@END.row("unpublish all", npm="unpublish {package} --force")
def unpublish_all(walk: Walk, said: str) -> None:
    assert walk.get(f"/{walk.package}") == 404
    assert walk.anyone_gets(f"/{walk.package}/-/tool-1.0.0.tgz") == 404
