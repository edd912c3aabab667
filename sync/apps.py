from django.apps import AppConfig


class SyncConfig(AppConfig):
    name = "sync"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks and the kinds of events that we say."""
        from sync import checks, events  # noqa: F401, PLC0415
