"""Mirrors of binaries for operators; `sync.admin` takes it in."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from registry.admin import ReadOnly, ThroughVerbs, _actor
from sync.binaries import categories
from sync.binaries.categories import Facts
from sync.models import BinaryCategory, BinaryFile


class CategoryForm(forms.ModelForm):
    """Its URL is a field of its own: a host need have no dot."""

    address = forms.CharField(label="URL", max_length=500, help_text="https://…, of the folder that has index.json")

    class Meta:
        model = BinaryCategory
        fields = ["name", "layout", "description", "is_enabled"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["address"].initial = self.instance.url


@admin.register(BinaryCategory)
class BinaryCategoryAdmin(ThroughVerbs):
    form = CategoryForm
    list_display = ["name", "url", "layout", "is_enabled", "failures", "resting_until"]
    search_fields = ["name", "url"]
    actions: Any = ["reset"]
    fields = [
        "name", "address", "layout", "description", "is_enabled", "failures", "resting_until", "last_error",
    ]  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: BinaryCategory | None = None) -> list[str]:
        """A category keeps its name: clients are set to it."""
        health = ["failures", "resting_until", "last_error"]
        return ["name", *health] if obj else health

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Not the one that deletes rows."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """The category, and how many files go with it."""
        return [f"{obj}: {obj.files.count()} files" for obj in objs], {}, set(), []

    def save_model(self, request: HttpRequest, obj: BinaryCategory, form: Any, change: bool) -> None:
        """Add or change it."""
        given = form.cleaned_data
        facts: Facts = {
            "url": given["address"],
            "layout": given["layout"],
            "description": given["description"],
            "is_enabled": given["is_enabled"],
        }
        if change:
            categories.change(obj.name, actor=_actor(request), **facts)
        else:
            obj.pk = categories.add(obj.name, actor=_actor(request), **facts).pk

    def delete_model(self, request: HttpRequest, obj: BinaryCategory) -> None:
        """Mirror it no longer."""
        categories.remove(obj.name, actor=_actor(request))

    @admin.action(description="Ask again at once, however often they failed", permissions=["change"])
    def reset(self, request: HttpRequest, chosen: QuerySet[BinaryCategory]) -> None:
        """For one that is well again."""
        for category in chosen:
            categories.reset(category.name, actor=_actor(request))


@admin.register(BinaryFile)
class BinaryFileAdmin(ReadOnly):
    list_display = ["path", "category", "size", "checked_at", "refusal"]
    list_select_related = ["category", "blob"]
    list_filter = ["category", ("refusal", admin.EmptyFieldListFilter)]
    search_fields = ["path"]
    actions = ["forget"]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whoever may change files, as Django counts permissions."""
        return admin.ModelAdmin.has_change_permission(self, request)

    @admin.display(description="Bytes")
    def size(self, obj: BinaryFile) -> int | None:
        """Empty for one that is not here."""
        return obj.blob.size if obj.blob else None

    @admin.action(description="Believe the upstream: fetch their releases anew", permissions=["decide"])
    def forget(self, request: HttpRequest, chosen: QuerySet[BinaryFile]) -> None:
        """For a release whose checksums have changed, and should have."""
        for file in chosen:
            categories.forget(file, actor=_actor(request))
        self.message_user(request, "They are fetched anew when somebody asks for them.")
