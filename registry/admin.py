"""Packages, people and tokens for operators. Rows that verbs write are shown, not edited."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.http import HttpRequest

from registry.models import Blob, Package, Scope, Team, Token, User, Version


class ReadOnly(admin.ModelAdmin):
    """Shown, found, never changed."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Verbs make these rows."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Verbs change these rows."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """Nothing is deleted by hand."""
        return False


@admin.register(Package)
class PackageAdmin(ReadOnly):
    list_display = ["name", "origin", "blocked_reason", "updated_at"]
    search_fields = ["name"]
    fields = [
        "name",
        "scope",
        "origin",
        "revision",
        "blocked_reason",
        "created_at",
        "updated_at",
        "unpublished_at",
    ]


@admin.register(Version)
class VersionAdmin(ReadOnly):
    list_display = ["package", "number", "published_at", "published_by", "unpublished_at"]
    list_select_related = ["package", "published_by"]
    search_fields = ["package__name"]


@admin.register(Blob)
class BlobAdmin(ReadOnly):
    list_display = ["sha512", "size", "state", "stored_at"]
    search_fields = ["sha512", "sha1"]


@admin.register(Token)
class TokenAdmin(ReadOnly):
    list_display = ["prefix", "user", "kind", "created_at", "expires_at", "revoked_at"]
    list_select_related = ["user"]
    exclude = ["key_hash"]


admin.site.register(User, DjangoUserAdmin)
admin.site.register([Scope, Team])
admin.site.site_header = admin.site.site_title = "Larder"
