"""Where log lines go: one handler, which lets no secret through."""

from typing import Any


def lines(level: str) -> dict[str, Any]:
    """Django's `LOGGING`: lines of at least this level, one each."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
        "filters": {
            "redaction": {"()": "registry.redaction.Redaction"},
            "failures": {"()": "registry.redaction.Failures"},
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line", "filters": ["redaction"]}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django": {"level": "INFO"},  # without the handlers that Django gives it: all lines go through ours
            "django.server": {"propagate": True},
            "django.request": {"level": "ERROR", "filters": ["failures"]},  # what nobody foresaw; not what was answered
            "django.security.DisallowedHost": {"level": "CRITICAL"},  # the client is told; anybody can cause it
            "celery": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
        },
    }
