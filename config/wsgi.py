"""The WSGI entry point: Django, with the front door put on, and everything loaded before the first request."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

django_application = get_wsgi_application()

from django.urls import get_resolver  # noqa: E402 (apps must be loaded first)

from registry import upstream  # noqa: E402
from registry.frontdoor import FrontDoor  # noqa: E402

get_resolver().check()
upstream.elsewhere()

application = FrontDoor(django_application)
