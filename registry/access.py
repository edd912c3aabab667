"""Who may do what: the one place that decides. Everything that gives something away or changes it asks here."""

from django.conf import settings

from audit.actors import Actor
from registry.errors import Forbidden, Unauthenticated
from registry.models import Maintainer, Package, User
from registry.names import PackageName


def is_private_scope(name: PackageName) -> bool:
    """Whether the name's scope is ours. Capitals make no other scope of it: npm has no scopes with capitals."""
    return name.scope.lower() in settings.PRIVATE_SCOPES


def may_publish(actor: Actor, package: Package) -> bool:
    """Whether `actor` may publish versions of `package`: its maintainers, and people who may do everything."""
    if actor.user_id is None or package.origin is not None:
        return False
    mine = Maintainer.objects.filter(package=package, user_id=actor.user_id)
    return mine.exists() or User.objects.filter(pk=actor.user_id, is_superuser=True).exists()


def require_publish(actor: Actor, name: PackageName, package: Package | None) -> None:
    """Raise unless `actor` may publish under `name`; `package` is its row, None for a new name."""
    if actor.user_id is None:
        raise Unauthenticated("you must be signed in to publish: run npm login")
    if package is not None and package.origin is not None:
        raise Forbidden(f"{name} comes from the upstream {package.origin}: publish under a name or scope of your own")
    if package is not None and not may_publish(actor, package):
        raise Forbidden(f"{actor.name} may not publish {name}: ask one of its maintainers to add you")
    if package is None and name.scope and not is_private_scope(name):
        raise Forbidden(f"{name.scope} is not a scope of this registry: an operator adds it to LARDER_PRIVATE_SCOPES")
