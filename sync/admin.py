"""Upstreams and tasks for operators."""

from django.contrib import admin

from sync.models import ScopeRule, SyncTask, Upstream


@admin.register(Upstream)
class UpstreamAdmin(admin.ModelAdmin):
    list_display = ["name", "url", "is_enabled", "failures", "resting_until"]


@admin.register(ScopeRule)
class ScopeRuleAdmin(admin.ModelAdmin):
    list_display = ["pattern", "mode", "upstream"]
    list_select_related = ["upstream"]


@admin.register(SyncTask)
class SyncTaskAdmin(admin.ModelAdmin):
    list_display = ["name", "state", "priority", "attempts", "due_at", "why", "error"]
    list_filter = ["state", "priority"]
    search_fields = ["name"]
    show_full_result_count = False
