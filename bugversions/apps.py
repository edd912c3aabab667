from django.apps import AppConfig


class BugVersionsConfig(AppConfig):
    name = "bugversions"
    default_auto_field = "django.db.models.BigAutoField"
