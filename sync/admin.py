"""Upstreams and tasks for operators."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ActionForm
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path

from registry.admin import ReadOnly, ThroughVerbs, _actor
from registry.errors import Invalid, RegistryError
from registry.names import PackageName
from sync import admin_binaries, cutting_over, doubts, following, moving, queue, routing, rules, upstreams
from sync.http import UpstreamError
from sync.models import Doubt, Fallback, FeedCursor, Migration, ScopeRule, SyncTask, Upstream
from sync.upstreams import Facts

__all__ = ["admin_binaries"]  # its pages come with these

_MOST_NAMES = 200


class UpstreamForm(forms.ModelForm):
    """Its URL and its credentials are fields of their own: a host need have no dot, and a secret is never shown."""

    address = forms.CharField(label="URL", max_length=500, help_text="https://…, or file:///… for a folder of tarballs")
    secret = forms.CharField(
        label="New credentials",
        required=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        help_text="A token, or user:password. They replace those that are set, and cannot be shown again.",
    )
    is_without = forms.BooleanField(label="Forget the credentials", required=False)

    class Meta:
        model = Upstream
        fields = ["name", "kind", "is_enabled", "feed_url", "max_at_once", "max_per_minute"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["address"].initial = self.instance.url


@admin.register(Upstream)
class UpstreamAdmin(ThroughVerbs):
    form = UpstreamForm
    list_display = ["name", "url", "kind", "is_enabled", "has_credentials", "failures", "resting_until"]
    search_fields = ["name", "url"]
    actions: Any = ["reset"]
    fields = [
        "name", "address", "kind", "is_enabled", "has_credentials", "secret", "is_without",
        "feed_url", "max_at_once", "max_per_minute", "failures", "resting_until", "last_error",
    ]  # fmt: skip

    @admin.display(description="Credentials")
    def has_credentials(self, obj: Upstream) -> str:
        """Whether there are some, and never which."""
        return "set" if obj.credentials else "not set"

    def get_readonly_fields(self, request: HttpRequest, obj: Upstream | None = None) -> list[str]:
        """An upstream keeps its name: packages know it by that."""
        health = ["has_credentials", "failures", "resting_until", "last_error"]
        return ["name", *health] if obj else health

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Not the one that deletes rows."""
        return {name: action for name, action in super().get_actions(request).items() if name != "delete_selected"}

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[Any], dict[str, int], set[str], list[Any]]:
        """The upstream alone: what hangs on it keeps it from being deleted, and the verb says so."""
        return [str(obj) for obj in objs], {}, set(), []

    def save_model(self, request: HttpRequest, obj: Upstream, form: Any, change: bool) -> None:
        """Add or change it, and then its credentials."""
        given, actor = form.cleaned_data, _actor(request)
        facts = {field: given[field] for field in Facts.__annotations__ if field in given} | {"url": given["address"]}
        if change:
            upstreams.change(obj.name, actor=actor, **facts)
        else:
            obj.pk = upstreams.add(obj.name, actor=actor, **facts).pk
        if given["secret"] or given["is_without"]:
            upstreams.set_credentials(obj.name, given["secret"], actor=actor)

    def delete_model(self, request: HttpRequest, obj: Upstream) -> None:
        """Remove it, when nothing hangs on it."""
        moving.remove(obj.name, actor=_actor(request))

    @admin.action(description="Ask again at once, however often they failed", permissions=["change"])
    def reset(self, request: HttpRequest, chosen: QuerySet[Upstream]) -> None:
        """For one that is well again."""
        for upstream in chosen:
            reset = partial(upstreams.reset, upstream.name, actor=_actor(request))
            _say(self, request, reset, f"{upstream} is asked again at once.")


class FallbackInline(admin.TabularInline):
    model = Fallback
    extra = 0
    fields = ["position", "upstream"]
    verbose_name_plural = "Upstreams that are asked next, each when all before it said 404"


@admin.register(ScopeRule)
class ScopeRuleAdmin(ThroughVerbs):
    list_display = ["pattern", "mode", "sources"]
    list_select_related = ["upstream"]
    search_fields = ["pattern"]
    fields = ["pattern", "mode", "upstream", "tarballs"]
    inlines = [FallbackInline]

    @admin.display(description="Upstreams")
    def sources(self, obj: ScopeRule) -> str:
        """Those that it names, in order."""
        return ", ".join(rules.names_of(obj)) or ("the default one" if obj.mode in ScopeRule.FROM_UPSTREAMS else "none")

    def get_readonly_fields(self, request: HttpRequest, obj: ScopeRule | None = None) -> list[str]:
        """A rule stays about what it is about."""
        return ["pattern"] if obj else []

    def get_urls(self) -> list[Any]:
        """With the page that says where names come from."""
        return [path("route/", self.admin_site.admin_view(self.route), name="sync_route"), *super().get_urls()]

    def route(self, request: HttpRequest) -> HttpResponse:
        """Say of each name which rule and which upstreams it falls to, and why."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        asked = request.GET.get("names", "")
        told = [_told(text) for text in asked.split()[:_MOST_NAMES]]
        page = {**self.admin_site.each_context(request), "title": "Where names come from", "asked": asked, "told": told}
        return TemplateResponse(request, "sync/route.html", page)

    def save_model(self, request: HttpRequest, obj: ScopeRule, form: Any, change: bool) -> None:
        """Wait for the upstreams that come with it: they are saved together."""

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Save the rule with its upstreams, in order."""
        rule: ScopeRule = form.instance
        for formset in formsets:
            formset.save(commit=False)  # so that the admin's own log knows what changed
        rows = [row.cleaned_data for formset in formsets for row in formset.forms if row.cleaned_data]
        others = sorted((row for row in rows if not row.get("DELETE")), key=lambda row: row["position"])
        first = rule.upstream or (routing.default_upstream() if others else None)
        names = [upstream.name for upstream in [first, *(row["upstream"] for row in others)] if upstream]
        rule.pk = rules.put(rule.pattern, rule.mode, names, tarballs=rule.tarballs, actor=_actor(request)).pk

    def delete_model(self, request: HttpRequest, obj: ScopeRule) -> None:
        """Let the next more general rule decide."""
        rules.remove(obj.pattern, actor=_actor(request))


def _told(text: str) -> dict[str, Any]:
    try:
        return routing.route(PackageName.parse(text)).told()
    except Invalid as error:
        return {"name": text, "error": error.sentence}


def _why(request: HttpRequest) -> str:
    return str(request.POST.get("reason", ""))


def _say(page: ThroughVerbs | ReadOnly, request: HttpRequest, decide: Callable[[], object], done: str) -> None:
    """Decide, and tell the operator what came of it."""
    try:
        decide()
    except (RegistryError, UpstreamError) as error:
        page.message_user(request, error.sentence, messages.ERROR)
    else:
        page.message_user(request, done)


class ReasonForm(ActionForm):
    """Asks why, beside what to do with the chosen tasks."""

    reason = forms.CharField(required=False, label="Reason")


@admin.register(SyncTask)
class SyncTaskAdmin(ReadOnly):
    list_display = ["name", "state", "priority", "attempts", "due_at", "why", "error"]
    list_filter = ["state", "needs_human", "priority"]
    search_fields = ["name"]
    search_help_text = "Names of packages"
    action_form = ReasonForm
    actions = ["cancel", "retry"]

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """Whoever may change tasks, as Django counts permissions."""
        return admin.ModelAdmin.has_change_permission(self, request)

    @admin.action(description="Cancel, for the reason given", permissions=["decide"])
    def cancel(self, request: HttpRequest, tasks: QuerySet[SyncTask]) -> None:
        """End them; what has come in stays."""
        self._decide(request, tasks, queue.cancel, "was cancelled")

    @admin.action(description="Try again now, for the reason given", permissions=["decide"])
    def retry(self, request: HttpRequest, tasks: QuerySet[SyncTask]) -> None:
        """Have them tried now, whatever became of them."""
        self._decide(request, tasks, queue.retry, "is tried again")

    def _decide(self, request: HttpRequest, tasks: QuerySet[SyncTask], verb: Callable[..., None], outcome: str) -> None:
        for task in tasks:
            decide = partial(verb, task, _why(request), actor=_actor(request))
            _say(self, request, decide, f"The sync of {task.name} {outcome}.")


@admin.register(Doubt)
class DoubtAdmin(ReadOnly):
    """What is gone from its upstream and still here."""

    list_display = ["name", "upstream", "state", "answer", "missing", "due_at", "reason"]
    list_filter = ["state", "upstream"]
    list_select_related = ["upstream"]
    search_fields = ["name"]
    search_help_text = "Names of packages"
    action_form = ReasonForm
    actions = ["believe", "keep"]

    has_decide_permission = SyncTaskAdmin.has_decide_permission

    @admin.display(description="Gone")
    def missing(self, obj: Doubt) -> str:
        """How much."""
        return "all of it" if obj.gone_since else f"{len(obj.numbers)} versions"

    @admin.action(description="Believe it: make tombstones, for the reason given", permissions=["decide"])
    def believe(self, request: HttpRequest, chosen: QuerySet[Doubt]) -> None:
        """Let the upstream be right."""
        self._decide(request, chosen, doubts.believe, "becomes a tombstone as soon as the upstream says so once more")

    @admin.action(description="Keep it, for the reason given", permissions=["decide"])
    def keep(self, request: HttpRequest, chosen: QuerySet[Doubt]) -> None:
        """Serve it whatever becomes of it upstream."""
        self._decide(request, chosen, doubts.keep, "is kept")

    def _decide(self, request: HttpRequest, chosen: QuerySet[Doubt], verb: Callable[..., None], outcome: str) -> None:
        for doubt in chosen:
            name = PackageName.parse(doubt.name)
            _say(self, request, partial(verb, name, reason=_why(request), actor=_actor(request)), f"{name} {outcome}.")


@admin.register(Migration)
class MigrationAdmin(ReadOnly):
    """Old registries that are being left."""

    list_display = ["pattern", "upstream", "found", "looked_at", "error", "stopped_at", "cut_over_at"]
    list_select_related = ["upstream"]
    exclude = ["names", "owners", "people"]
    action_form = ReasonForm
    actions = ["cut_over", "take_back"]

    has_decide_permission = SyncTaskAdmin.has_decide_permission

    @admin.action(description="Cut over, for the reason given: it is not asked again", permissions=["decide"])
    def cut_over(self, request: HttpRequest, chosen: QuerySet[Migration]) -> None:
        """Make ours what is all here."""
        self._decide(request, chosen, cutting_over.cut_over, "was cut over")

    @admin.action(description="Take the cut-over back, for the reason given", permissions=["decide"])
    def take_back(self, request: HttpRequest, chosen: QuerySet[Migration]) -> None:
        """Let the old registry count again."""
        self._decide(request, chosen, cutting_over.take_back, "comes from there again")

    def _decide(self, request: HttpRequest, chosen: QuerySet[Migration], verb: Callable[..., Any], done: str) -> None:
        for one in chosen.select_related("upstream"):
            _say(self, request, partial(verb, one, reason=_why(request), actor=_actor(request)), f"{one} {done}.")


@admin.register(FeedCursor)
class FeedCursorAdmin(ReadOnly):
    list_display = ["upstream", "since", "newest", "lag", "updated_at", "failures", "resting_until", "error"]
    list_select_related = ["upstream"]

    @admin.display(description="Changes behind")
    def lag(self, obj: FeedCursor) -> int | None:
        """How many; empty where that cannot be told."""
        return following.lag(obj)
