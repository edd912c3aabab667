from django.apps import AppConfig
from django.core.checks import register

from audit import checks


class AuditConfig(AppConfig):
    name = "audit"
    verbose_name = "What happened"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        register(checks.subscribers_have_names_of_their_own)
        register(checks.subscribers_hear_defined_kinds)
        register(checks.wake_can_be_called)
