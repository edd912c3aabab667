"""Documents built before somebody asks: into the shared cache, where every web process finds them."""

from django.conf import settings

from audit.actors import Actor
from registry import cache, catalog
from registry.errors import RegistryError
from registry.names import PackageName
from registry.packuments import Flavour

_VIEWER = Actor.system("warming")  # it sees what everybody sees, and what is for some only is not kept anyway


def warm(name: str) -> None:
    """Build the package's documents as most clients ask for them. Without a shared cache there is nothing to warm."""
    if not cache.is_shared():
        return
    base = settings.PUBLIC_URL or f"http://{settings.HOST}:{settings.PORT}"
    for flavour in Flavour:
        try:
            catalog.document(PackageName.parse(name), flavour, encoding="gzip", base=base, viewer=_VIEWER)
        except RegistryError:
            return  # unpublished or blocked since: a reader will be told
