"""Packages, people and tokens for operators. Rows that verbs write are shown, not edited."""

from dataclasses import replace
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from audit import context, journal
from audit.actors import Actor
from registry import invitations, orgs, profile, second_factor, teams, tokens, unpublishing
from registry.admin_login import AdminLoginForm
from registry.errors import RegistryError
from registry.events import USER_CHANGED
from registry.models import Blob, Grant, Invitation, Member, Package, Scope, Team, Token, User, Version


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


class Restorable(ReadOnly):
    """Rows of what can be unpublished."""

    actions = ["restore"]

    @admin.action(description="Restore what was unpublished")
    def restore(self, request: HttpRequest, chosen: Any) -> None:
        """Restore the chosen rows, one after the other, and say of each what came of it."""
        for row in chosen:
            package, number = (row.package, row.number) if isinstance(row, Version) else (row, None)
            try:
                unpublishing.restore(package.parsed_name, number, actor=_actor(request))
            except RegistryError as error:
                self.message_user(request, error.sentence, messages.ERROR)
            else:
                self.message_user(request, f"{row} was restored")


@admin.register(Package)
class PackageAdmin(Restorable):
    list_display = ["name", "origin", "blocked_reason", "updated_at", "unpublished_at"]
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
class VersionAdmin(Restorable):
    list_display = ["package", "number", "published_at", "published_by", "unpublished_at"]
    list_select_related = ["package", "published_by"]
    search_fields = ["package__name"]


@admin.register(Blob)
class BlobAdmin(ReadOnly):
    list_display = ["sha512", "size", "state", "stored_at"]
    search_fields = ["sha512", "sha1"]


@admin.register(Token)
class TokenAdmin(ReadOnly):
    list_display = ["prefix", "user", "kind", "name", "last_used_at", "expires_at", "revoked_at"]
    list_select_related = ["user"]
    list_filter = ["kind", "is_admin"]
    search_fields = ["prefix", "name", "user__username"]
    exclude = ["key_hash"]
    actions = ["revoke"]

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whoever may change tokens, as Django counts permissions."""
        return admin.ModelAdmin.has_change_permission(self, request)

    @admin.action(description="Revoke selected tokens", permissions=["revoke"])
    def revoke(self, request: HttpRequest, rows: QuerySet[Token]) -> None:
        """End them: from the next request on they open nothing."""
        actor = Actor.user(request.user.get_username(), user_id=request.user.pk).as_of(context.current())
        for token in rows.select_related("user"):
            tokens.revoke(token, actor=actor)
        self.message_user(request, "The tokens open nothing any more.")


class InvitationForm(forms.ModelForm):
    days = forms.IntegerField(initial=7, min_value=1, max_value=invitations.MAX_DAYS, label="Days that it is good")

    class Meta:
        model = Invitation
        fields = ["note"]


@admin.register(Invitation)
class InvitationAdmin(ReadOnly):
    list_display = ["__str__", "created_by", "created_at", "expires_at", "used_by", "used_at"]
    list_select_related = ["created_by", "used_by"]
    exclude = ["code_hash"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Where people sign up by invitation."""
        return settings.SIGNUP == "invite" and request.user.has_perm("registry.add_invitation")

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **options: Any) -> Any:
        """For whom and how long, of a new one."""
        return super().get_form(request, obj, change, **options) if obj else InvitationForm

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """All but the code of one that is there."""
        return super().get_fields(request, obj) if obj else ["note", "days"]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Make it, and show its URL this once."""
        made, code = invitations.invite(actor=_actor(request), note=obj.note, days=form.cleaned_data["days"])
        obj.pk = made.pk
        base = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
        page = base + reverse("sign-up", args=[code])
        self.message_user(request, f"Give this to the person you invite; it cannot be shown again: {page}")


class ThroughVerbs(admin.ModelAdmin):
    """Saved by verbs, one row after the other. What they refuse is said above the page, and then nothing was saved."""

    show_full_result_count = False
    actions = None

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Show the form, or save it."""
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except RegistryError as error:
            return self._refused(request, error)

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask, or delete."""
        try:
            return super().delete_view(request, object_id, extra_context)
        except RegistryError as error:
            return self._refused(request, error)

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        """Save what was added and changed, then delete: of two owners who take turns one is always there."""
        formset.save(commit=False)
        for row in [*formset.new_objects, *(row for row, _ in formset.changed_objects)]:
            self.save_row(form.instance, row, _actor(request))
        for row in formset.deleted_objects:
            self.delete_row(form.instance, row, _actor(request))

    def save_row(self, of: Any, row: Any, actor: Actor) -> None:
        """Save one row of an inline; `of` is what it belongs to."""
        raise NotImplementedError

    def delete_row(self, of: Any, row: Any, actor: Actor) -> None:
        """Delete one row of an inline."""
        raise NotImplementedError

    def _refused(self, request: HttpRequest, error: RegistryError) -> HttpResponse:
        self.message_user(request, error.sentence, messages.ERROR)
        return HttpResponseRedirect(request.get_full_path())


class RowForm(forms.ModelForm):
    """Who or what a row is about is said once; only what they may do changes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in {"user", "package"} & set(self.fields):
            self.fields[name].disabled = self.instance.pk is not None


class MemberInline(admin.TabularInline):
    model = Member
    form = RowForm
    autocomplete_fields = ["user"]
    extra = 0


@admin.register(Scope)
class ScopeAdmin(ThroughVerbs):
    list_display = ["name", "created_at"]
    search_fields = ["name"]
    fields = ["name"]
    inlines = [MemberInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Scope | None = None) -> list[str]:
        """A scope keeps its name."""
        return ["name"] if obj else []

    def save_model(self, request: HttpRequest, obj: Scope, form: Any, change: bool) -> None:
        """Create it."""
        if not change:
            scope = orgs.create(obj.name, actor=_actor(request))
            obj.pk, obj.name = scope.pk, scope.name

    def delete_model(self, request: HttpRequest, obj: Scope) -> None:
        """Give it up."""
        orgs.delete(obj.name, actor=_actor(request))

    def save_row(self, of: Scope, row: Member, actor: Actor) -> None:
        """Let somebody in, or give them another role."""
        orgs.set_member(of.name, row.user.username, row.role, actor=actor)

    def delete_row(self, of: Scope, row: Member, actor: Actor) -> None:
        """Take somebody out."""
        orgs.remove_member(of.name, row.user.username, actor=actor)


class TeamMemberInline(admin.TabularInline):
    model = Team.members.through
    form = RowForm
    autocomplete_fields = ["user"]
    extra = 0
    verbose_name = "member"


class GrantInline(admin.TabularInline):
    model = Grant
    form = RowForm
    autocomplete_fields = ["package"]
    extra = 0


@admin.register(Team)
class TeamAdmin(ThroughVerbs):
    list_display = ["name", "scope", "description"]
    list_select_related = ["scope"]
    search_fields = ["name", "scope__name"]
    fields = ["scope", "name", "description"]
    autocomplete_fields = ["scope"]
    inlines = [TeamMemberInline, GrantInline]

    def get_readonly_fields(self, request: HttpRequest, obj: Team | None = None) -> list[str]:
        """A team stays what it is."""
        return ["scope", "name", "description"] if obj else []

    def save_model(self, request: HttpRequest, obj: Team, form: Any, change: bool) -> None:
        """Create it."""
        if not change:
            obj.pk = teams.create(obj.scope.name, obj.name, description=obj.description, actor=_actor(request)).pk

    def delete_model(self, request: HttpRequest, obj: Team) -> None:
        """Remove it."""
        teams.delete(obj.scope.name, obj.name, actor=_actor(request))

    def save_row(self, of: Team, row: Any, actor: Actor) -> None:
        """Put somebody into it, or give it rights."""
        if isinstance(row, Grant):
            teams.grant(of.scope.name, of.name, row.package.parsed_name, row.permission, actor=actor)
        else:
            teams.add_member(of.scope.name, of.name, row.user.username, actor=actor)

    def delete_row(self, of: Team, row: Any, actor: Actor) -> None:
        """Take somebody out of it, or rights from it."""
        if isinstance(row, Grant):
            teams.revoke(of.scope.name, of.name, row.package.parsed_name, actor=actor)
        else:
            teams.remove_member(of.scope.name, of.name, row.user.username, actor=actor)


def _actor(request: HttpRequest) -> Actor:
    """The operator at the browser. Who has a second factor showed it when they signed in there."""
    user = cast(User, request.user)
    known = Actor.user(user.username, user_id=user.pk).as_of(context.current())
    return replace(known, has_shown_otp=second_factor.is_on(user))


@admin.register(User)
class PersonAdmin(DjangoUserAdmin):
    actions = ["switch_off_second_factor"]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        """Save, and tell the journal who may do what from now on."""
        super().save_model(request, obj, form, change)
        journal.record(
            USER_CHANGED, f"user:{obj.username}", actor=_actor(request), fields=", ".join(sorted(form.changed_data)),
            is_active=obj.is_active, is_operator=obj.is_superuser,
        )  # fmt: skip

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:  # noqa: A002
        """Set a password; whoever was logged in with the old one is not any more."""
        response = super().user_change_password(request, id, form_url)
        if request.method == "POST" and response.status_code == 302:
            profile.end_sessions(User.objects.get(pk=id), actor=_actor(request))
        return response

    @admin.action(description="Switch off the second factor of people who have lost it", permissions=["change"])
    def switch_off_second_factor(self, request: HttpRequest, chosen: QuerySet[User]) -> None:
        """For who has neither the app nor recovery codes any more."""
        for user in chosen:
            second_factor.switch_off(user, actor=_actor(request))


admin.site.login_form, admin.site.login_template = AdminLoginForm, "registry/admin_login.html"
admin.site.site_header = admin.site.site_title = "Larder"
