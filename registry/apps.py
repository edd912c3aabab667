from django.apps import AppConfig


class RegistryConfig(AppConfig):
    name = "registry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the checks, the kinds of events that we say, and what we hear."""
        from registry import checks, events, subscribers  # noqa: F401, PLC0415
