"""Every URL: the admin, the pages, and the registry at the root."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("-/admin/", admin.site.urls),
    path("-/web/", include("registry.web.urls")),
    path("", include("registry.api.urls")),
]

handler404 = "registry.api.errors.not_found"
handler400 = "registry.api.errors.bad_request"
handler500 = "registry.api.errors.server_error"
