"""What people do to a package, again and again: each of these is one person's part in a crowd (`ledger`)."""

from tests.stories.ledger import Somebody
from tests.stories.uploads import Upload

ROUNDS = 4
TEAM = "/-/team/acme/writers"


def path(box: str) -> str:
    return Upload(box).path


def api(box: str, part: str) -> str:
    return f"/-/package{path(box)}/{part}"


def publish(who: Somebody, box: str, number: str, tag: str = "latest") -> None:
    body = b"".join(Upload(box, number, tag=tag).body())
    who.send("PUT", path(box), body, tells="package.version.published")


def publish_a_line(who: Somebody, box: str, major: int) -> None:
    for minor in range(ROUNDS):
        publish(who, box, f"{major}.{minor}.0", tag=f"line-{major}")


def move_a_tag(who: Somebody, box: str, tag: str) -> None:
    """Nobody else moves it."""
    for _ in range(ROUNDS):
        for number in ("0.0.0", "0.1.0"):
            who.send("PUT", api(box, f"dist-tags/{tag}"), number, tells="package.tag.set")
    if tag.endswith("gone"):
        who.send("DELETE", api(box, f"dist-tags/{tag}"), tells="package.tag.removed")


def move_our_tag(who: Somebody, box: str) -> None:
    for number in ("0.0.0", "0.1.0", "0.3.0") * ROUNDS:
        who.send("PUT", api(box, "dist-tags/ours"), number)


def let_in_and_out(who: Somebody, box: str, name: str) -> None:
    """`pnpm owner`."""
    for _ in range(ROUNDS):
        who.send("PUT", api(box, "owners"), {"user": name}, tells="package.owner.added")
        who.send("DELETE", api(box, f"owners/{name}"), tells="package.owner.removed")
    who.send("PUT", api(box, "owners"), {"user": name}, tells="package.owner.added")


def let_in_and_out_as_npm_does(who: Somebody, box: str, name: str) -> None:
    def make(document: dict) -> tuple:
        owners = [owner for owner in document["maintainers"] if owner["name"] != name]
        if len(owners) == len(document["maintainers"]):
            owners.append({"name": name, "email": ""})
        return "PUT", f"{path(box)}/-rev/{document['_rev']}", {"_id": box, "maintainers": owners}

    kinds = ("package.owner.added", "package.owner.removed")
    for turn in range(ROUNDS):
        who.change(path(box), make, tells=kinds[turn % 2])


def deprecate(who: Somebody, box: str, number: str) -> None:
    for turn in range(ROUNDS):

        def make(document: dict, message: str = f"{who.name} says so, {turn}") -> tuple:
            document["versions"][number]["deprecated"] = message
            return "PUT", path(box), document

        who.change(path(box), make, tells="package.deprecated")


def unpublish(who: Somebody, box: str, number: str) -> None:
    """With the one request that some clients send."""
    who.change(
        path(box),
        lambda document: ("DELETE", f"{Upload(box, number).tarball_path}/-rev/{document['_rev']}", None),
        tells="package.version.unpublished",
    )


def unpublish_as_npm_does(who: Somebody, box: str, number: str) -> None:
    def make(document: dict) -> tuple:
        del document["versions"][number]
        return "PUT", f"{path(box)}/-rev/{document['_rev']}", document

    who.change(path(box), make, tells="package.version.unpublished")


def unpublish_all(who: Somebody, box: str) -> None:
    for _ in range(ROUNDS):
        who.change(
            path(box),
            lambda document: ("DELETE", f"{path(box)}/-rev/{document['_rev']}", None),
            tells="package.unpublished",
        )


def star_and_unstar(who: Somebody, box: str) -> None:
    for method in ("PUT", "DELETE") * ROUNDS + ("PUT",):
        who.send(method, "/-/user/v1/star", {"package": box})


def hide_and_show(who: Somebody, box: str, *, tells: str = "") -> None:
    for access in ("restricted", "public") * ROUNDS:
        who.send("POST", api(box, "access"), {"access": access}, tells=tells)


def grant(who: Somebody, box: str) -> None:
    for may in ("read-only", "read-write") * ROUNDS:
        who.send("PUT", f"{TEAM}/package", {"package": box, "permissions": may}, tells="team.package.granted")


def revoke(who: Somebody, box: str) -> None:
    for _ in range(ROUNDS):
        who.send("DELETE", f"{TEAM}/package", {"package": box}, tells="team.package.revoked")


def read(who: Somebody, box: str) -> None:
    """Whenever it is read, it fits together."""
    for _ in range(5 * ROUNDS):
        answer = who.send("GET", path(box))
        if answer.status == 200:
            document = answer.json()
            assert set(document["dist-tags"].values()) <= document["versions"].keys()
            assert document["time"].keys() == {"created", "modified", *document["versions"]}
