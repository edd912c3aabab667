from django.apps import AppConfig


class BugVersionsConfig(AppConfig):
    name = "bugversions"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Register the kinds of events that we say, and what we hear."""
        from bugversions import events, subscribers  # noqa: F401, PLC0415
