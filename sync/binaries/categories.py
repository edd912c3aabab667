"""Categories as operators keep them: what is mirrored under `/-/binary/`, and from where."""

import re
from typing import TypedDict, Unpack

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from audit import journal
from audit.actors import Actor
from registry import access
from registry.errors import Invalid, NotFound
from sync import upstreams
from sync.events import BINARY_ADDED, BINARY_CHANGED, BINARY_FORGOTTEN, BINARY_REMOVED, BINARY_RESET
from sync.models import BinaryCategory, BinaryFile

NODE = "node"
# Behind a category's name: the same without what is unsafe.
SAFE = "-safe"

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,49}")
_LONGEST_DESCRIPTION = 200


class Facts(TypedDict, total=False):
    """What an operator says about a category."""

    url: str
    layout: str
    description: str
    is_enabled: bool


def find(name: str) -> tuple[BinaryCategory, bool]:
    """The category that is served under a name, and whether without what is unsafe. Raises `NotFound`."""
    default = default_category()
    wanted = name.removesuffix(SAFE)
    category = default if wanted == NODE else BinaryCategory.objects.filter(name=wanted).first()
    if category is None:
        raise NotFound(f'Binary "{name[:100]}" not found: /-/binary/ lists those that are mirrored here')
    return category, name != wanted


def listed() -> list[BinaryCategory]:
    """All that are served, by name."""
    default = default_category()
    others = BinaryCategory.objects.exclude(name=NODE)
    return sorted([*others, *([default] if default else [])], key=lambda category: category.name)


def default_category() -> BinaryCategory | None:
    """The one of `LARDER_NODE_DIST_URL`. The setting wins over the row, which keeps what the breaker knows."""
    url = settings.NODE_DIST_URL
    if url in ("", "none"):
        return None
    facts = {"url": url, "description": "Releases of Node"}
    category, _ = BinaryCategory.objects.get_or_create(name=NODE, defaults=facts)
    if category.url != url:
        category.url, category.failures, category.resting_until = url, 0, None
        category.save(update_fields=["url", "failures", "resting_until"])
        _ask_again(category)
    return category


def add(name: str, *, actor: Actor, **facts: Unpack[Facts]) -> BinaryCategory:
    """Mirror another tree. Nothing is fetched before somebody asks for it."""
    access.require_operator(actor)
    if not _NAME.fullmatch(name) or name.endswith(SAFE):
        raise Invalid(
            f'a category\'s name has lower-case letters, digits, ".", "_" and "-", 50 at most, and does not '
            f"end in {SAFE}: that is how the view without what is unsafe is called"
        )
    category = _changed(BinaryCategory(name=name), facts)
    with transaction.atomic():
        kept = {field: getattr(category, field) for field in Facts.__annotations__}
        category, is_new = BinaryCategory.objects.get_or_create(name=name, defaults=kept)
        if not is_new or name == NODE:
            raise Invalid(f"there is a category {name} already: change that one, or choose another name")
        journal.record(BINARY_ADDED, f"binary:{name}", actor=actor, url=category.url)
    return category


def change(name: str, *, actor: Actor, **facts: Unpack[Facts]) -> BinaryCategory:
    """Change what is given. What is here of it stays, and what vouches for it too."""
    access.require_operator(actor)
    with transaction.atomic():
        category = _locked(name)
        before = {field: getattr(category, field) for field in Facts.__annotations__}
        _changed(category, facts)
        if name == NODE and category.url != before["url"]:
            raise Invalid(f"the URL of {name} is LARDER_NODE_DIST_URL: set that")
        fields = sorted(field for field, value in before.items() if getattr(category, field) != value)
        if fields:
            category.save(update_fields=fields)
            if "url" in fields:
                _heal(category)
                _ask_again(category)
            journal.record(BINARY_CHANGED, f"binary:{name}", actor=actor, fields=fields, url=category.url)
    return category


def remove(name: str, *, actor: Actor) -> None:
    """Mirror it no longer. Its files go; the janitor takes their bytes."""
    access.require_operator(actor)
    if name == NODE and settings.NODE_DIST_URL not in ("", "none"):
        raise Invalid(f"{name} is mirrored from LARDER_NODE_DIST_URL: set that to none, or switch {name} off")
    with transaction.atomic():
        _locked(name).delete()
        journal.record(BINARY_REMOVED, f"binary:{name}", actor=actor)


def reset(name: str, *, actor: Actor) -> None:
    """Ask its upstream again at once, however often it failed."""
    access.require_operator(actor)
    with transaction.atomic():
        _heal(_locked(name))
        journal.record(BINARY_RESET, f"binary:{name}", actor=actor)


def forget(file: BinaryFile, *, actor: Actor) -> None:
    """Believe the upstream about a file, and all beside it: they are fetched anew when they are asked for."""
    access.require_operator(actor)
    folder = file.path.partition("/")[0]
    with transaction.atomic():
        rows = BinaryFile.objects.filter(category=file.category)
        beside = rows.filter(path__startswith=f"{folder}/") if "/" in file.path else rows.filter(path=file.path)
        count, _ = beside.delete()
        journal.record(BINARY_FORGOTTEN, f"binary:{file.category}/{folder}", actor=actor, files=count)


def _locked(name: str) -> BinaryCategory:
    default_category()  # so that there is a row of it
    category = BinaryCategory.objects.select_for_update(no_key=True).filter(name=name).first()
    if category is None:
        raise NotFound(f"there is no category {name[:100]} of binaries")
    return category


def _heal(category: BinaryCategory) -> None:
    BinaryCategory.objects.filter(pk=category.pk).update(failures=0, resting_until=None, last_error="")


def _ask_again(category: BinaryCategory) -> None:
    """Another server has other validators, and may have what the one before had not."""
    long_ago = timezone.now().replace(year=2000, day=1)
    category.files.update(etag="", last_modified="", checked_at=long_ago)


def _changed(category: BinaryCategory, facts: Facts) -> BinaryCategory:
    """The row with these facts. Raises `Invalid` where they make no sense."""
    for field, value in facts.items():
        setattr(category, field, value)
    category.url = category.url.strip().rstrip("/")
    upstreams.require_root(category.url)
    if category.layout not in BinaryCategory.Layout.values:
        known = ", ".join(BinaryCategory.Layout.values)
        raise Invalid(f"there is no layout {category.layout[:50]!r} of binaries: {known}")
    if len(category.description) > _LONGEST_DESCRIPTION or not category.description.isprintable():
        raise Invalid(f"a description is one line of {_LONGEST_DESCRIPTION} letters at most")
    return category
