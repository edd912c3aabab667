"""`npm deprecate`: a warning that those who install a version read, and its taking back.

Clients send the whole packument back, with the messages in it. Only those are compared with what readers see; nothing
else in it is believed.
"""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from django.db import transaction

from audit import journal
from audit.actors import Actor
from registry import access, jsontext, lifecycle, manifests, revisions
from registry.errors import Invalid, NotFound
from registry.events import PACKAGE_DEPRECATED, PACKAGE_UNDEPRECATED
from registry.models import Package, Version
from registry.names import PackageName
from registry.policies import Judgement

LONGEST_MESSAGE = 4_096
_BATCH = 200


def deprecate(name: PackageName, messages: Mapping[str, Any], *, rev: str | None, actor: Actor) -> None:
    """Give versions the messages that `messages` has for their numbers; `""`, false and None take one back.

    Where nothing differs nothing happens. Raises `Conflict` when the package is not at `rev` any more.
    """
    with transaction.atomic():
        package = lifecycle.lock(name)
        access.require_write(actor, package)
        shown = _shown(package, revisions.require_current(package, rev))
        unknown = messages.keys() - shown.keys()
        if unknown:
            raise NotFound(f"{name} has no version {min(unknown)[:100]}: a publish brings its tarball in _attachments")
        changed = {number: _message(wanted) for number, wanted in messages.items() if _differs(wanted, shown[number])}
        if not changed:
            return
        _rewrite(package, changed)
        lifecycle.edit(package)
        _record(package, changed, actor)


def _shown(package: Package, judgement: Judgement) -> dict[str, Any]:
    """What readers see as `deprecated`, by number: a policy may say something there that is not the publisher's."""
    said = {number: texts.abbreviated for number, texts in judgement.rewritten.items()}
    rows = Version.objects.published().filter(package=package).values_list("number", "abbreviated")
    return {number: manifests.parse(said.get(number, text)).get("deprecated") for number, text in rows.iterator()}


def _differs(wanted: Any, shown: Any) -> bool:
    return wanted != shown and not (_is_none(wanted) and _is_none(shown))


def _is_none(deprecated: Any) -> bool:
    """Whether it says that a version is not deprecated: clients have several ways."""
    return deprecated is None or deprecated is False or deprecated == ""


def _message(wanted: Any) -> str | None:
    if _is_none(wanted):
        return None
    if not isinstance(wanted, str) or len(wanted) > LONGEST_MESSAGE:
        raise Invalid(f"deprecated must be a text of {LONGEST_MESSAGE:,} characters at most, or empty")
    return wanted


def _rewrite(package: Package, messages: Mapping[str, str | None]) -> None:
    numbers = sorted(messages)
    for start in range(0, len(numbers), _BATCH):
        rows = list(Version.objects.filter(package=package, number__in=numbers[start : start + _BATCH]))
        for row in rows:
            texts = manifests.texts(row.manifest)
            texts.pop("deprecated", None)
            if message := messages[row.number]:
                texts["deprecated"] = jsontext.encode(message)
            rewritten = manifests.fragments(texts, package.parsed_name, row.number)
            row.manifest, row.abbreviated = rewritten.full, rewritten.abbreviated
        Version.objects.bulk_update(rows, ["manifest", "abbreviated"])


def _record(package: Package, messages: Mapping[str, str | None], actor: Actor) -> None:
    """One event for each message: clients send one at a time."""
    numbers = defaultdict[str | None, list[str]](list)
    for number, message in messages.items():
        numbers[message].append(number)
    subject = f"package:{package.name}"
    for message, versions in numbers.items():
        if message is None:
            journal.record(PACKAGE_UNDEPRECATED, subject, actor=actor, versions=versions)
        else:
            journal.record(PACKAGE_DEPRECATED, subject, actor=actor, versions=versions, message=message)
