"""How settings are read: from the environment, then from `.env` beside `manage.py`."""

from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()
env.read_env(BASE_DIR / ".env")


def number(name: str, default: int) -> int:
    """The whole number that the variable holds."""
    try:
        value = int(env.int(name, default=default))
    except ValueError:
        value = -1
    if value < 0:
        raise ImproperlyConfigured(f"{name} is {env.str(name)!r}; it must be a whole number, and not below zero")
    return value
