"""For operators: what happened, how far each subscriber has heard, and what it failed to hear."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from audit import kinds
from audit.models import SEQUENCER, Cursor, Event, Parked


class ReadOnlyAdmin(admin.ModelAdmin):
    """Shows rows that only the program writes."""

    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class KindFilter(admin.SimpleListFilter):
    """Offers the defined kinds; asking the table for them would read all of it."""

    title = "kind"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: object) -> list[tuple[str, str]]:
        return [(kind.name, kind.name) for kind in kinds.defined()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    list_display = ["serial", "at", "kind", "what_happened", "who", "origin", "request_id"]
    list_display_links = ["what_happened"]
    list_filter = [KindFilter, "actor_kind", "at"]
    search_fields = ["subject", "actor_name", "kind", "request_id"]
    search_help_text = "Subject, actor, kind or request id"
    ordering = ["-id"]

    @admin.display
    def what_happened(self, event: Event) -> str:
        return event.sentence

    @admin.display(ordering="actor_name")
    def who(self, event: Event) -> str:
        return f"{event.actor_kind} {event.actor_name}".strip()


@admin.register(Cursor)
class CursorAdmin(ReadOnlyAdmin):
    list_display = ["name", "serial", "lag", "leased_until"]
    ordering = ["name"]

    @admin.display
    def lag(self, cursor: Cursor) -> int:
        """How many events this reader has still to read."""
        if cursor.name == SEQUENCER:
            return Event.objects.unsequenced().count()
        return max(Cursor.objects.head() - cursor.serial, 0)


@admin.register(Parked)
class ParkedAdmin(ReadOnlyAdmin):
    list_display = ["subscriber", "event", "attempts", "next_try", "last_line"]
    list_filter = ["subscriber"]
    list_select_related = ["event"]
    search_fields = ["subscriber", "event__subject", "error"]
    ordering = ["next_try"]
    actions = ["try_again"]

    @admin.display(description="error")
    def last_line(self, parked: Parked) -> str:
        return parked.error.strip().rpartition("\n")[2][:200]

    def has_try_again_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("audit.change_parked")

    @admin.action(description="Try again at the next tick", permissions=["try_again"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Parked]) -> None:
        count = queryset.update(next_try=timezone.now())
        self.message_user(request, f"{count} deliveries will be tried again now.", messages.SUCCESS)
