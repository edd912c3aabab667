"""Rules for operators: what is in force, what a rule would do, what an import changed; and undoing it."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.clickjacking import xframe_options_sameorigin

from audit.models import Event
from bugversions import clocks, editing, previewing
from bugversions.models import BugVersion, Freeze, Hold, RuleImport
from bugversions.previewing import Preview
from bugversions.values import Rule
from registry.admin import ReadOnly, ThroughVerbs, _actor
from registry.errors import Invalid, RegistryError

_ID = re.compile("[0-9]{1,18}")
_KINDS = ("bugversion.added", "bugversion.changed", "bugversion.retired")


class RuleForm(forms.ModelForm):
    """What a rule says; whether that makes sense is for the verbs."""

    class Meta:
        model = BugVersion
        fields = [
            "package",
            "versions",
            "action",
            "replacement",
            "overrides",
            "repack",
            "reason",
            "valid_from",
            "valid_until",
        ]
        help_texts = {
            "versions": "A version, or a range such as >=1.2.0 <1.2.5; a range is about prereleases too.",
            "replacement": "For replace: the version that installs get in its place.",
            "overrides": 'For override: {"scripts": {"postinstall": ""}, "dependencies": {"less": "^2.7.0"}}',
            "reason": "In ten characters or more. People who install read it.",
        }

    def rule(self) -> Rule:
        """The rule in the form."""
        given = self.cleaned_data
        return Rule(**{**given, "overrides": given["overrides"] or {}})


class ReasonForm(ActionForm):
    """Asks why, beside what to do."""

    reason = forms.CharField(required=False, label="Reason")


class Reasoned(admin.ModelAdmin):
    """Actions that take a reason, and say of each row what came of it."""

    action_form = ReasonForm

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whoever may change them, as Django counts permissions."""
        return admin.ModelAdmin.has_change_permission(self, request)

    def act(self, request: HttpRequest, rows: QuerySet[Any], verb: Callable[..., Any], done: str) -> None:
        """Call the verb with each row and the reason."""
        for row in rows:
            try:
                partial(verb, row)(reason=request.POST.get("reason", ""), actor=_actor(request))
            except RegistryError as error:
                self.message_user(request, error.sentence, messages.ERROR)
            else:
                self.message_user(request, f"{row} {done}.")


@admin.register(BugVersion)
class BugVersionAdmin(Reasoned, ThroughVerbs):
    form = RuleForm
    list_display = ["package", "versions", "action", "replacement", "source", "since", "in_force", "reason"]
    list_filter = ["action", "source", "is_active"]
    search_fields = ["package"]
    search_help_text = "Names of packages"
    actions: Any = ["retire"]
    change_form_template = "bugversions/change_form.html"

    @admin.display(description="Since", ordering="created_at")
    def since(self, obj: BugVersion) -> Any:
        """When it began to count."""
        return obj.valid_from or obj.created_at

    @admin.display(description="In force", boolean=True)
    def in_force(self, obj: BugVersion) -> bool:
        """Whether it counts now."""
        now = timezone.now()
        is_begun = obj.valid_from is None or obj.valid_from <= now
        return obj.is_active and is_begun and (obj.valid_until is None or obj.valid_until > now)

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """A rule is retired, for a reason, and stays to be read."""
        return False

    def save_model(self, request: HttpRequest, obj: BugVersion, form: Any, change: bool) -> None:
        """Make or change the rule."""
        if change:
            stored = BugVersion.objects.get(pk=obj.pk)
            editing.change(stored, form.rule(), actor=_actor(request))
        else:
            obj.pk = editing.add(form.rule(), actor=_actor(request)).pk

    @admin.action(description="Retire, for the reason given", permissions=["decide"])
    def retire(self, request: HttpRequest, chosen: QuerySet[BugVersion]) -> None:
        """Let them count no more."""
        self.act(request, chosen, editing.retire, "counts no more")

    def get_urls(self) -> list[Any]:
        """With the pages that show what a rule would do, what is withheld, and the undoing of an event."""
        view = self.admin_site.admin_view
        return [
            path("preview/", xframe_options_sameorigin(view(self.preview)), name="bugversions_preview"),
            path("withheld/", view(self.withheld), name="bugversions_withheld"),
            path("undo/<int:event_id>/", view(self.undo), name="bugversions_undo"),
            *super().get_urls(),
        ]

    def preview(self, request: HttpRequest) -> HttpResponse:
        """What the rule in the form would do."""
        self._require_view(request)
        form = RuleForm(request.POST)
        shown, error = Preview(), ""
        try:
            rule = form.rule() if form.is_valid() else _refuse(form)
            row = request.POST.get("row", "")
            shown = previewing.preview(rule, instead_of=int(row) if _ID.fullmatch(row) else None)
        except RegistryError as refused:
            error = refused.sentence
        return TemplateResponse(request, "bugversions/preview.html", {"preview": shown, "error": error})

    def withheld(self, request: HttpRequest) -> HttpResponse:
        """Everything that rules, holds and a freeze keep from installs now; and what was done to rules of late."""
        self._require_view(request)
        page = {
            **self.admin_site.each_context(request),
            "title": "What is withheld now",
            "rows": previewing.withheld(),
            "idle": previewing.without_replacement(),
            "holds": Hold.objects.filter(is_active=True),
            "freeze": Freeze.objects.filter(lifted_at=None).first(),
            "events": Event.objects.filter(kind__in=_KINDS).order_by("-pk")[:50],
        }
        return TemplateResponse(request, "bugversions/withheld.html", page)

    def undo(self, request: HttpRequest, event_id: int) -> HttpResponse:
        """Take back what an event says."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        event = Event.objects.filter(pk=event_id).first()
        if request.method == "POST" and event is not None:
            try:
                editing.undo(event, reason=request.POST.get("reason", ""), actor=_actor(request))
            except RegistryError as error:
                self.message_user(request, error.sentence, messages.ERROR)
            else:
                self.message_user(request, f"“{event}” was taken back.")
        return redirect("admin:bugversions_withheld")

    def _require_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied


def _refuse(form: RuleForm) -> NoReturn:
    """Say what is wrong with the fields."""
    wrong = form.errors.get_json_data()
    raise Invalid("; ".join(f"{key}: {one['message']}" for key, said in wrong.items() for one in said))


class HoldForm(forms.ModelForm):
    class Meta:
        model = Hold
        fields = ["pattern", "upstream", "seconds", "allowed", "reason"]
        help_texts = {
            "pattern": "*, a scope (@acme/*), a name, or the beginning of names (left-*)",
            "upstream": "Empty: whatever upstream it came from",
            "allowed": 'Names that are not held, as a list: ["@acme", "typescript"]',
        }


@admin.register(Hold)
class HoldAdmin(Reasoned, ThroughVerbs):
    form = HoldForm
    list_display = ["pattern", "upstream", "seconds", "allowed", "is_active", "reason"]
    actions: Any = ["end"]

    def get_readonly_fields(self, request: HttpRequest, obj: Hold | None = None) -> list[str]:
        """A hold stays about what it is about."""
        return ["pattern", "upstream"] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """A hold is ended, for a reason."""
        return False

    def save_model(self, request: HttpRequest, obj: Hold, form: Any, change: bool) -> None:
        """Hold."""
        given = form.cleaned_data
        obj.pk = clocks.hold(
            obj.pattern, given["seconds"], reason=given["reason"], upstream=obj.upstream,
            allowed=given["allowed"] or (), actor=_actor(request),
        ).pk  # fmt: skip

    @admin.action(description="End, for the reason given", permissions=["decide"])
    def end(self, request: HttpRequest, chosen: QuerySet[Hold]) -> None:
        """Hold no more."""
        self.act(request, chosen, clocks.end_hold, "ended")


class FreezeForm(forms.ModelForm):
    class Meta:
        model = Freeze
        fields = ["since", "reason"]


@admin.register(Freeze)
class FreezeAdmin(Reasoned, ThroughVerbs):
    form = FreezeForm
    list_display = ["since", "reason", "created_at", "lifted_at"]
    actions: Any = ["lift"]

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """A freeze is lifted, for a reason."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        """It is lifted, and another one begun."""
        return obj is None and super().has_change_permission(request)

    def save_model(self, request: HttpRequest, obj: Freeze, form: Any, change: bool) -> None:
        """Freeze."""
        given = form.cleaned_data
        obj.pk = clocks.freeze(given["since"], reason=given["reason"], actor=_actor(request)).pk

    @admin.action(description="Lift, for the reason given", permissions=["decide"])
    def lift(self, request: HttpRequest, chosen: QuerySet[Freeze]) -> None:
        """Serve everything again."""
        self.act(request, chosen.filter(lifted_at=None), lambda _row, **words: clocks.thaw(**words), "was lifted")


@admin.register(RuleImport)
class RuleImportAdmin(ReadOnly):
    """The diff of each import."""

    list_display = ["number", "at", "counts", "refusal"]
    fields = ["number", "at", "refusal", "added", "changed", "removed", "packages"]
    readonly_fields = ["added", "changed", "removed", "packages"]

    @admin.display(description="Added, changed, removed")
    def counts(self, obj: RuleImport) -> str:
        """How many of each."""
        return ", ".join(str(len(obj.diff.get(part, ()))) for part in ("added", "changed", "removed"))

    @admin.display
    def added(self, obj: RuleImport) -> str:
        """One in a line."""
        return "\n".join(obj.diff.get("added", ()))

    @admin.display
    def changed(self, obj: RuleImport) -> str:
        """One in a line."""
        return "\n".join(obj.diff.get("changed", ()))

    @admin.display
    def removed(self, obj: RuleImport) -> str:
        """One in a line."""
        return "\n".join(obj.diff.get("removed", ()))

    @admin.display(description="Packages that look different by it")
    def packages(self, obj: RuleImport) -> str:
        """Their names."""
        return ", ".join(obj.diff.get("packages", ()))
