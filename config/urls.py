"""Every URL: the admin, the pages, and the registry at the root."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from registry.web.views import root

urlpatterns = [
    path("-/admin/", admin.site.urls),
    path("-/admin", RedirectView.as_view(url="/-/admin/")),
    path("-/web/", include("registry.web.urls")),
    path("", root),
    path("", include("sync.api.urls")),
    path("", include("bugversions.api.urls")),
    path("", include("registry.api.urls")),
]

handler404 = "registry.api.errors.not_found"
handler400 = "registry.api.errors.bad_request"
handler500 = "registry.api.errors.server_error"
