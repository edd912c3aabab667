from datetime import datetime
from typing import Any, NoReturn, Self

from django.db import models
from django.utils import timezone

from audit import kinds
from audit.actors import ActorKind


class EventIsFinal(TypeError):
    """History is appended to, never edited."""


class EventQuerySet(models.QuerySet["Event"]):
    def unsequenced(self) -> Self:
        """Committed events that have no place in the order yet."""
        return self.filter(serial__isnull=True).order_by("id")

    def sequenced(self) -> Self:
        """Events that have their place, in commit order."""
        return self.filter(serial__isnull=False).order_by("serial")

    def after(self, serial: int) -> Self:
        """What happened after this place, in commit order."""
        return self.filter(serial__gt=serial).order_by("serial")


class Event(models.Model):
    """Something that happened: audit trail, outbox and changes feed in one row.

    Written by `journal.record` alone. Afterwards only the sequencer touches it, once, to give it a serial
    and its link in the hash chain.
    """

    kind = models.CharField(max_length=100)
    subject = models.CharField(max_length=300, help_text="What it is about, such as package:left-pad.")
    actor_kind = models.CharField(max_length=20, choices=[(kind.value, kind.value) for kind in ActorKind])
    actor_name = models.CharField(max_length=255, blank=True)
    origin = models.CharField(max_length=64, blank=True, help_text="The network address it came from.")
    request_id = models.CharField(max_length=64, blank=True)
    facts = models.JSONField(default=dict, blank=True)
    at = models.DateTimeField(default=timezone.now)
    serial = models.BigIntegerField(null=True, unique=True, editable=False, help_text="Place in commit order.")
    previous_hash = models.CharField(max_length=64, blank=True, editable=False)
    hash = models.CharField(max_length=64, blank=True, editable=False)

    objects = EventQuerySet.as_manager()

    class Meta:
        default_permissions = ["view"]
        indexes = [
            models.Index(fields=["subject", "id"], name="audit_event_subject"),
            models.Index(fields=["id"], condition=models.Q(serial__isnull=True), name="audit_event_unsequenced"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Writes a new event; refuses to write over one."""
        if not self._state.adding:
            raise EventIsFinal("an event is never changed; record what happened since")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise EventIsFinal("an event is never deleted")

    @property
    def place(self) -> int:
        """The serial of an event that has one."""
        if self.serial is None:
            raise ValueError(f"event {self.pk} has not been sequenced yet")
        return self.serial

    @property
    def sentence(self) -> str:
        """What happened, in words; the bare kind and subject when the kind is no longer defined."""
        try:
            kind = kinds.find(self.kind)
        except kinds.UndefinedKind:
            return str(self)
        return kind.tell(self.subject, self.actor_name or self.actor_kind, self.facts)


SEQUENCER = "audit.sequencer"


class CursorQuerySet(models.QuerySet["Cursor"]):
    def head(self) -> int:
        """The serial given last; no subscriber can be further than this."""
        return self.filter(name=SEQUENCER).values_list("serial", flat=True).first() or 0


class Cursor(models.Model):
    """How far one reader of the events has come, and who is reading for it at the moment."""

    name = models.CharField(max_length=100, unique=True)
    serial = models.BigIntegerField(default=0)
    leased_by = models.CharField(max_length=64, blank=True)
    leased_until = models.DateTimeField(null=True, blank=True)

    objects = CursorQuerySet.as_manager()

    class Meta:
        default_permissions = ["view"]

    def __str__(self) -> str:
        return self.name

    def is_leased(self, now: datetime) -> bool:
        return self.leased_until is not None and self.leased_until >= now


class ParkedQuerySet(models.QuerySet["Parked"]):
    def due(self) -> Self:
        """Deliveries whose next try has come, the longest waiting first."""
        return self.filter(next_try__lte=timezone.now()).order_by("next_try", "id")


class Parked(models.Model):
    """An event that a subscriber failed to hear, set aside to be tried again."""

    subscriber = models.CharField(max_length=100)
    # PROTECT: an event that somebody still has to hear is not pruned.
    event = models.ForeignKey(Event, on_delete=models.PROTECT, related_name="parked")
    error = models.TextField(blank=True)
    attempts = models.PositiveIntegerField(default=1)
    next_try = models.DateTimeField(db_index=True)

    objects = ParkedQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "parked"
        default_permissions = ["view", "change"]
        constraints = [
            models.UniqueConstraint(fields=["subscriber", "event"], name="audit_parked_once_per_subscriber"),
        ]

    def __str__(self) -> str:
        return f"{self.subscriber}: {self.event}"
