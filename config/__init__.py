"""The roof: settings, URLs, Celery and the entry points. It knows every app; no app imports it."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
