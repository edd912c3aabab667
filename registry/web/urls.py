"""Pages for people, under /-/web/."""

from django.urls import path

from registry.web import login, openid, views

urlpatterns = [
    path("", views.home, name="home"),
    path("login/<str:secret>", login.LoginPage.as_view(), name="web-login"),
    path("sign-up", login.SignUpPage.as_view(), name="sign-up"),
    path("sign-up/<str:code>", login.SignUpPage.as_view(), name="sign-up"),
    path("openid", openid.begin, name="openid"),
    path("openid/callback", openid.callback, name="openid-callback"),
]
