"""The WSGI entry point: Django, with the front door put on."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django_application = get_wsgi_application()

from registry.frontdoor import FrontDoor  # noqa: E402 (apps must be loaded first)

application = FrontDoor(django_application)
