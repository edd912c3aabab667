"""Upstreams and tasks for operators."""

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest

from sync import routing
from sync.models import ScopeRule, SyncTask, Upstream


class RoutingAdmin(admin.ModelAdmin):
    """Of rows that decide where packages come from: a change counts at once."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: Any) -> None:
        """Save, and have every process read it."""
        super().save_model(request, obj, form, change)
        transaction.on_commit(routing.forget)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        """Delete, and have every process know."""
        super().delete_model(request, obj)
        transaction.on_commit(routing.forget)


@admin.register(Upstream)
class UpstreamAdmin(RoutingAdmin):
    list_display = ["name", "url", "is_enabled", "failures", "resting_until"]


@admin.register(ScopeRule)
class ScopeRuleAdmin(RoutingAdmin):
    list_display = ["pattern", "mode", "upstream"]
    list_select_related = ["upstream"]


@admin.register(SyncTask)
class SyncTaskAdmin(admin.ModelAdmin):
    list_display = ["name", "state", "priority", "attempts", "due_at", "why", "error"]
    list_filter = ["state", "priority"]
    search_fields = ["name"]
    show_full_result_count = False
