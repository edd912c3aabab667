"""Documents built before somebody asks: into the shared cache, where every web process finds them."""

from django.conf import settings

from registry import cache, catalog
from registry.errors import RegistryError
from registry.names import PackageName
from registry.packuments import Flavour


def warm(name: str) -> None:
    """Build the package's documents as most clients ask for them. Without a shared cache there is nothing to warm."""
    if not cache.is_shared():
        return
    base = settings.PUBLIC_URL or f"http://{settings.HOST}:{settings.PORT}"
    for flavour in Flavour:
        try:
            catalog.document(PackageName.parse(name), flavour, encoding="gzip", base=base)
        except RegistryError:
            return  # unpublished or blocked since: a reader will be told
