"""Pages for people, under /-/web/."""

from django.urls import path

from registry.web import views

urlpatterns = [path("", views.home, name="home")]
